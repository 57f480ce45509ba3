"""The closest images, query expansion, ranked lists and their picture, evaluation of feature files."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.feature_evaluation import evaluate_features
from reid_cli.train.rank import rank

from reid_data.errors import ImageError, InputError, UsageError
from reid_data.images import read_image, write_image
from reid_train.evaluation import expansion, ranked_list
from reid_train.evaluation.compare import read_outcome
from reid_train.evaluation.expansion import closest, expand_queries
from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.ranked_list import BORDERS, Entry, RankedList, draw_lists, ranked_lists, worst_first
from reid_train.features.files import write_features
from tests.train.evaluation import oracle


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("tile", [4, 1000])
def test_closest_like_a_full_sort(monkeypatch, metric, tile):
    monkeypatch.setattr(expansion, "_TILE", tile)
    monkeypatch.setattr(expansion, "_BLOCK", 3)
    rng = np.random.default_rng(0)
    q, g = rng.standard_normal((8, 5)).astype(np.float32), rng.standard_normal((30, 5)).astype(np.float32)
    rows = np.flatnonzero(np.arange(30) % 4)
    index, shown = closest(q, g, 6, metric=metric, rows=rows)
    for i in range(8):
        scores = {j: oracle.score(q[i].tolist(), g[j].tolist(), metric) for j in rows}
        assert index[i].tolist() == sorted(scores, key=lambda j: -scores[j])[:6]
        wanted = [
            unit(q[[i]])[0] @ unit(g[[j]])[0] if metric == "cosine" else np.linalg.norm(q[i] - g[j]) for j in index[i]
        ]
        np.testing.assert_allclose(shown[i], wanted, rtol=1e-5)
    assert closest(q, g[:2], 6)[0].shape == (8, 2)


def test_average_expansion_worked_by_hand():
    q, g = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    # the two closest unit vectors are (.6, .8) and (0, 1)
    np.testing.assert_allclose(expand_queries(q, g, k=2), unit(np.array([[1.6, 1.8]])), rtol=1e-6)
    # weights .6^2 and 0
    np.testing.assert_allclose(
        expand_queries(q, g, k=2, alpha=2.0), unit(np.array([[1 + 0.36 * 0.6, 0.36 * 0.8]])), rtol=1e-6
    )
    # by distance: (-1, 0) at 2 and (0, 2) at sqrt 5
    np.testing.assert_allclose(expand_queries(q, g, k=2, metric="euclidean"), [[0, 2 / 3]], atol=1e-6)
    np.testing.assert_allclose(expand_queries(q, g, k=1, rows=np.array([2])), [[0, 0]], atol=1e-6)


def test_expansion_refuses_senseless_settings():
    for options in ({"k": 0}, {"alpha": -1.0}, {"alpha": 2.0, "metric": "euclidean"}):
        with pytest.raises(UsageError, match="query expansion with"):
            expand_queries(np.ones((1, 2)), np.ones((3, 2)), **options)


def sample(num_gallery=30):
    rng = np.random.default_rng(4)
    return (
        rng.standard_normal((6, 4)).astype(np.float32), np.array([1, 2, 3, 4, 1, 99]), np.array([0, 0, 0, 0, 1, 0]),
        rng.standard_normal((num_gallery, 4)).astype(np.float32), np.arange(num_gallery) % 6 - 1, rng.integers(0, 3, num_gallery),
    )  # fmt: skip


def test_worst_first():
    ap = np.array([0.5, np.nan, 0.1, 0.9, 0.1])
    assert worst_first(ap, 3).tolist() == [2, 4, 0]
    assert worst_first(ap, 99).tolist() == [2, 4, 0, 3]


def test_ranked_lists_say_what_the_protocol_does():
    arrays = sample()
    q, _, _, g, gp, gc = arrays
    result = evaluate(*arrays)
    lists = ranked_lists(arrays, result.ap, worst_first(result.ap, 5), top=30)
    assert [ranked.query for ranked in lists] == worst_first(result.ap, 5).tolist()
    for ranked in lists:
        right = [entry.verdict == "right" for entry in ranked.entries if entry.verdict != "ignored"]
        assert right == oracle.ranking(q[ranked.query].tolist(), ranked.pid, ranked.camid, g.tolist(), gp, gc)
        assert all((entry.verdict == "ignored") >= (gp[entry.row] == -1) for entry in ranked.entries)
        assert [entry.score for entry in ranked.entries] == sorted(
            (entry.score for entry in ranked.entries), reverse=True
        )
        assert ranked.ap == result.ap[ranked.query]
        np.testing.assert_allclose(oracle.numbers(right)[0], ranked.ap)


def test_picture_has_a_border_of_the_right_colour_round_every_image():
    arrays = sample()
    result = evaluate(*arrays)
    lists = ranked_lists(arrays, result.ap, worst_first(result.ap, 3), top=4)

    def image(row):
        if row == lists[0].entries[1].row:
            raise ImageError("is damaged")
        return np.full((40, 20, 3), 255, np.uint8)

    picture = draw_lists(lists, lambda _: np.full((128, 64, 3), 7, np.uint8), image)
    assert picture.dtype == np.uint8
    for line, ranked in enumerate(lists):
        y = 6 + line * (128 + 8 + 14 + 6) + 1
        assert tuple(picture[y, 7]) == BORDERS["query"]
        for column, entry in enumerate(ranked.entries, start=1):
            assert tuple(picture[y, 12 + column * (64 + 8 + 6) + 1]) == BORDERS[entry.verdict]


def test_captions_number_only_what_is_ranked(monkeypatch):
    entries = tuple(
        Entry(row, score, verdict)
        for row, (score, verdict) in enumerate(
            [(0.91, "ignored"), (0.9, "wrong"), (0.8, "ignored"), (0.7, "right"), (0.6, "wrong")]
        )
    )
    strips = []
    monkeypatch.setattr(ranked_list, "draw_sheet", lambda drawn, *_, **__: strips.extend(drawn))
    lists = [RankedList(0, 1, 1, 0.5, entries), RankedList(1, 2, 1, float("nan"), entries[:1])]
    draw_lists(lists, lambda _: np.zeros((8, 4, 3), np.uint8), lambda _: np.zeros((8, 4, 3), np.uint8))
    assert strips[0].captions == ("AP 50.0", "o -  0.910", "x 1  0.900", "o -  0.800", "+ 2  0.700", "x 3  0.600")
    assert strips[1].captions == ("no match", "o -  0.910")


def feature_file(tmp_path, ending="npz", paths=True):
    arrays = sample()
    keys = ("query_feats", "query_pids", "query_camids", "gallery_feats", "gallery_pids", "gallery_camids")
    values = dict(zip(keys, arrays))
    if paths:
        values |= {
            "query_paths": [f"query/{n}.png" for n in range(6)],
            "gallery_paths": [f"gallery/{n}.png" for n in range(30)],
        }
    write_features(tmp_path / f"f.{ending}", values)
    return tmp_path / f"f.{ending}", arrays


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_feature_file_is_evaluated_and_can_be_compared(tmp_path, ending):
    path, arrays = feature_file(tmp_path, ending)
    document = evaluate_features(path, out=tmp_path / "out")
    json.dumps(document, allow_nan=False)
    assert document["metrics"]["mAP"] == pytest.approx(np.nanmean(oracle.evaluate(*arrays)[0]))
    assert document["metrics"]["queries_without_match"] == 1
    low, high = document["intervals"]["mAP"]
    assert low <= document["metrics"]["mAP"] <= high
    outcome = read_outcome(tmp_path / "out", tmp_path)
    assert outcome.tests["out"].path[0] == "query/0.png"
    assert outcome.settings["metric"] == "cosine"


def test_options_of_a_feature_evaluation_reach_it(tmp_path):
    path, _ = feature_file(tmp_path)
    plain = evaluate_features(path)
    for options in (
        {"rerank": (5, 2, 0.3)},
        {"expand": (2, 3.0)},
        {"metric": "euclidean"},
        {"ap": "trapezoid"},
        {"protocol": "no-camera"},
    ):
        found = evaluate_features(path, **options)
        assert found["metrics"]["mAP"] != plain["metrics"]["mAP"]
        assert found["settings"] != plain["settings"]


def test_rank_command(tmp_path):
    path, _ = feature_file(tmp_path)
    for folder, number in (("query", 6), ("gallery", 29)):  # the last gallery image is missing
        (tmp_path / folder).mkdir()
        for n in range(number):
            write_image(tmp_path / folder / f"{n}.png", np.full((32, 16, 3), 5 * n, np.uint8))
    arguments = [
        "--features",
        str(path),
        "--images",
        str(tmp_path),
        "--top",
        "30",
        "--num",
        "2",
        "--out",
        str(tmp_path / "o.png"),
    ]
    shown = CliRunner().invoke(rank, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "the 2 worst of 5 queries" in shown.output
    picture = read_image(str(tmp_path / "o.png"))
    assert picture.shape == (2 * (128 + 8 + 14 + 6) + 6, 31 * (64 + 8 + 6) + 12, 3)


def test_rank_without_paths_or_features_says_what_to_do(tmp_path):
    path, _ = feature_file(tmp_path, paths=False)
    out = ["--out", str(tmp_path / "o.png")]
    with pytest.raises(InputError, match="no query_paths and gallery_paths"):
        CliRunner().invoke(rank, ["--features", str(path), *out], catch_exceptions=False)
    with pytest.raises(UsageError, match="name a run and a test set"):
        CliRunner().invoke(rank, out, catch_exceptions=False)
    with pytest.raises(InputError, match="reid-train extract base market"):
        CliRunner().invoke(rank, ["base", "--test", "market", "--runs", str(tmp_path), *out], catch_exceptions=False)
