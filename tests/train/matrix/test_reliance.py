"""Background reliance: by hand, and as the end of a grid on people with known masks."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from reid_data.compose import views as diagnostics
from reid_data.compose.views import Diagnostic
from reid_data.datasets import load_dataset
from reid_data.files import write_atomic
from reid_data.images import encode_mask
from reid_train.evaluation.per_query import PerQuery
from reid_train.matrix.cells import Cell, Column, Machine
from reid_train.matrix.plan import make_plan
from reid_train.matrix.reliance import reliance
from reid_train.matrix.run import run_matrix
from reid_train.matrix.tables import as_csv, reliance_table
from tests.data.people import SIZE, write_people_set
from tests.train.conftest import small
from tests.train.test_diagnostics import KeepingSegmenter


def per_query(aps: list[float]) -> PerQuery:
    """Four queries of two people with these APs; the last has no match."""
    num = len(aps)
    some = np.array([1] * (num - 1) + [0])
    ap = np.array([*aps[:-1], np.nan])
    names = np.array([f"query/{number}.jpg" for number in range(num)])
    return PerQuery(names, np.array([1, 1, 2, 2][:num]), np.ones(num, int), ap, ap, some, some)


def columns(tiny: object, base: Path) -> tuple[list[Column], Cell]:
    """The columns `tiny` and `tiny@background`, and a finished training whose first query has a bad mask."""
    plain = dataclasses.replace(tiny)  # type: ignore[type-var]
    view = Diagnostic(
        card=dataclasses.replace(plain.card, name="tiny@background"), root=plain.root, train=(), query=plain.query,
        gallery=plain.gallery, base=plain, view="background",
    )  # fmt: skip
    tests = [Column("tiny", plain, "d1", 0.1), Column("tiny@background", view, "d2", 0.1)]
    cell = Cell(make_plan(["tiny"], ["tiny"], small()).trainings[0], (plain,), "key", base, {}, {})
    rows = [
        {"name": "query/0.jpg", "split": "query", "status": "flagged"},
        {"name": "g", "split": "gallery", "status": "no person"},
    ]
    (base / "tests" / "tiny@background").mkdir(parents=True)
    (base / "tests" / "tiny@background" / "masks.json").write_text(json.dumps(rows))
    return tests, cell


def test_the_drop_by_hand(tiny, tmp_path):
    tests, cell = columns(tiny, tmp_path)
    rows = {
        ("tiny", 0, "tiny"): per_query([0.9, 0.5, 0.4, 0.0]),
        ("tiny", 0, "tiny@background"): per_query([0.3, 0.2, 0.1, 0.0]),
    }
    found = reliance([cell], tests, rows)
    assert len(found) == 1
    entry = found[0]
    assert (entry["base"], entry["view"], entry["chance_mAP"], entry["masks"]) == (
        "tiny",
        "background",
        0.1,
        {"flagged": 1},
    )
    assert (entry["queries"], entry["people"]) == (3, 2)
    assert entry["original"]["mean"] == pytest.approx(0.6)
    assert entry["mAP"]["mean"] == pytest.approx(0.2)
    assert entry["drop"]["value"] == pytest.approx(0.4)
    assert entry["drop"]["low"] == pytest.approx(0.3), "the worst resample: only the second person"
    assert entry["drop"]["high"] == pytest.approx(0.45), "only the first"
    good = entry["good_masks"]
    assert (good["queries"], good["original"]["mean"], good["drop"]["value"]) == (
        2,
        pytest.approx(0.45),
        pytest.approx(0.3),
    )
    assert reliance_table(found).rows[0][:2] == ("tiny", "tiny@background")
    assert reliance_table(found).rows[0][-1] == "1 of 3"
    document = {
        "axes": [],
        "tests": {"tiny@background": {"chance_mAP": 0.1}},
        "cells": [],
        "summary": [],
        "study": None,
    }
    lines = list(csv.DictReader(io.StringIO(as_csv({**document, "reliance": found}))))
    assert [line["row"] for line in lines] == ["reliance", "reliance-good-masks"]
    assert [float(line["drop_value"]) for line in lines] == [entry["drop"]["value"], good["drop"]["value"]]


def test_without_the_plain_column_there_is_no_drop(tiny, tmp_path):
    tests, cell = columns(tiny, tmp_path)
    rows = {("tiny", 0, "tiny@background"): per_query([0.3, 0.2, 0.1, 0.0])}
    entry = reliance([cell], tests[1:], rows)[0]
    assert (entry["drop"], entry["original"], entry["base"]) == (None, None, "tiny")
    assert entry["mAP"]["mean"] == pytest.approx(0.2)
    assert reliance([cell], tests, {}) == []


@pytest.mark.usefixtures("tiny_backbone")
def test_a_grid_ends_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(diagnostics, "build_segmenter", lambda name: KeepingSegmenter())
    write_people_set(tmp_path / "people", num_ids=6)
    write_people_set(tmp_path / "scenes", num_ids=4, seed=100)
    bad = load_dataset("people", tmp_path).query[0]
    write_atomic(
        (tmp_path / "people" / "masks" / bad.name).with_suffix(".png"), encode_mask(np.zeros(SIZE, np.float32))
    )
    tests = ["people", "people@foreground", "people@background", "people@swap:scenes"]
    plan = make_plan(["scenes"], tests, small(batch_ids=2, batch_images=2), [0, 1])
    document = run_matrix(
        plan, tmp_path / "runs" / "matrix", Machine(tmp_path / "runs", tmp_path, "cpu", 1), lambda _: None
    )
    assert [entry["view"] for entry in document["reliance"]] == ["foreground", "background", "swap:scenes"]
    summary = {entry["test"]: entry["metrics"]["mAP"] for entry in document["summary"]}
    for entry in document["reliance"]:
        assert entry["seeds"] == [0, 1]
        assert entry["masks"] == {"no person": 1}
        assert entry["mAP"] == pytest.approx(summary[entry["test"]])
        assert entry["original"] == pytest.approx(summary["people"])
        assert entry["drop"]["value"] == pytest.approx(summary["people"]["mean"] - entry["mAP"]["mean"])
        assert entry["good_masks"]["queries"] == entry["queries"] - 1
    cell = document["cells"][1]
    assert cell["masks"]["query"] == {"no person": 1, "ok": 5}
    assert json.loads(json.dumps(document, allow_nan=False)) == document
