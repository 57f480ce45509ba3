"""The best, median and worst queries that a test leaves for the report."""

import json

import numpy as np
import pytest

from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.showcase import TOP, notable_queries, write_showcase


@pytest.mark.parametrize(
    ("ap", "num", "expected"),
    [
        ([0.5, 0.1, 0.9, 0.3, 0.7], 1, {"best": [2], "median": [0], "worst": [1]}),
        ([0.5, np.nan, 0.9, 0.3, 0.7], 1, {"best": [2], "median": [0], "worst": [3]}),
        ([0.2, 0.8], 3, {"best": [1, 0], "median": [], "worst": []}),
        ([0.2, 0.8, 0.4], 1, {"best": [1], "median": [2], "worst": [0]}),
        ([0.2, 0.8, 0.4, 0.6], 3, {"best": [1, 3, 2], "median": [], "worst": [0]}),
        ([np.nan], 3, {"best": [], "median": [], "worst": []}),
        (list(np.arange(11) / 10), 3, {"best": [10, 9, 8], "median": [4, 5, 6], "worst": [0, 1, 2]}),
    ],
)
def test_notable_queries_by_hand(ap, num, expected):
    assert {kind: rows.tolist() for kind, rows in notable_queries(np.array(ap), num).items()} == expected


@pytest.mark.parametrize(("metric", "camera_rule"), [("cosine", True), ("euclidean", False)])
def test_lists_are_those_of_a_full_sort(tmp_path, metric, camera_rule):
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((9, 4)), rng.standard_normal((40, 4))
    query_ids, gallery_ids = 1 + np.arange(9), 1 + np.arange(40) % 9
    cameras = np.ones(9, np.int64), 1 + np.arange(40) % 2
    arrays = [query, query_ids, cameras[0], gallery, gallery_ids, cameras[1]]
    ap = evaluate(*arrays).ap
    names = [f"q{row}.jpg" for row in range(9)], [f"g{row}.jpg" for row in range(40)]
    write_showcase(tmp_path / "lists.json", arrays, names, ap, metric=metric, camera_rule=camera_rule)
    document = json.loads((tmp_path / "lists.json").read_text())
    assert [row["kind"] for row in document["lists"]] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    for row in document["lists"]:
        number = names[0].index(row["query"])
        assert row["ap"] == ap[number]
        if metric == "cosine":
            shown = gallery @ query[number] / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query[number])
        else:
            shown = np.linalg.norm(gallery - query[number], axis=1)
        nearest = np.argsort(-shown if metric == "cosine" else shown)[:TOP]
        assert [entry["image"] for entry in row["entries"]] == [names[1][place] for place in nearest]
        assert [entry["score"] for entry in row["entries"]] == pytest.approx(shown[nearest], abs=6e-5)
        for entry in row["entries"]:
            place = names[1].index(entry["image"])
            same = gallery_ids[place] == query_ids[number]
            expected = "wrong" if not same else "ignored" if camera_rule and cameras[1][place] == 1 else "right"
            assert (entry["verdict"], entry["pid"], entry["camid"]) == (
                expected,
                gallery_ids[place],
                cameras[1][place],
            )
