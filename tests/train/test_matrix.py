"""The plan of a grid, and its tables by hand."""

import csv
import io

import pytest

from reid_data.errors import UsageError
from reid_train.config import TrainSettings
from reid_train.matrix.plan import Part, make_plan, union_parts
from reid_train.report.summary import as_csv, as_markdown, as_text, make_table

BASE = TrainSettings(weights="none", backbone="resnet18")


def test_plan_is_the_product_in_the_order_of_the_flags():
    plan = make_plan(["a", "b"], ["x"], BASE, [0, 1], {"temperature": ["0.05", "0.1"]})
    assert [(row.train, row.settings.temperature, row.settings.seed) for row in plan.trainings] == [
        (train, temperature, seed) for train in "ab" for temperature in (0.05, 0.1) for seed in (0, 1)
    ]
    assert plan.trainings[0].axes == (("temperature", 0.05),)
    assert plan.trainings[0].label == "a, temperature=0.05, seed 0"
    assert plan.trainings[0].settings.replace(temperature=0.1) == BASE


def test_unions():
    assert union_parts("market+composite:0.3") == (Part("market"), Part("composite", 0.3))
    for text in ("", "a+", "a:0", "a:2", "a:x", "a+a"):
        with pytest.raises(UsageError):
            union_parts(text)


@pytest.mark.parametrize(
    ("trains", "tests", "axes", "message"),
    [
        ([], ["x"], {}, "--train names no data set"),
        (["a"], [], {}, "--test names no data set"),
        (["a", "a"], ["x"], {}, "more than once"),
        (["a"], ["x"], {"temperature": ["0.1", "0.1"]}, "expected different values"),
        (["a"], ["x"], {"temperature": ["0.1", "0.10"]}, "expected different values"),
        (["a"], ["x"], {"temprature": ["0.1"]}, "Did you mean 'temperature'"),
        (["a"], ["x"], {"flip_test": ["true", "false"]}, "an axis of the grid is a setting of the training"),
    ],
)
def test_plans_that_cannot_be_meant(trains, tests, axes, message):
    with pytest.raises(UsageError, match=message):
        make_plan(trains, tests, BASE, axes=axes)


def document(values: dict[tuple[str, int, str], float | None]) -> dict:
    """A results document with these mAPs by (train, seed, test); None is a failed cell."""
    tests = list(dict.fromkeys(test for _, _, test in values))
    card = {
        "name": "x",
        "kind": "photographs",
        "status": "withdrawn",
        "terms": "<b>terms</b>",
        "notice": "<script>alert(1)</script>",
    }
    names = ("mAP", "rank-1", "rank-5", "rank-10", "mINP")
    return {
        "schema": "reid-matrix/1",
        "axes": [],
        "tests": {name: {"chance_mAP": 0.02, "card": card} for name in tests},
        "trainings": [{"train": train, "seed": seed, "sets": [card]} for train, seed, _ in values],
        "cells": [
            {
                "train": train,
                "seed": seed,
                "axes": {},
                "test": test,
                "status": "failed" if value is None else "ok",
                "reason": "it <broke>" if value is None else "",
                "metrics": {}
                if value is None
                else {**dict.fromkeys(names, value), "queries": 5, "queries_without_match": 0},
            }
            for (train, seed, test), value in values.items()
        ],
    }


def test_tables_average_over_seeds_by_hand():
    table = make_table(document({("a", 0, "x"): 0.40, ("a", 1, "x"): 0.44, ("a", 2, "x"): 0.48, ("b", 0, "x"): None}))
    entry = table.entries["a", "x"]
    assert (round(entry.value, 6), round(entry.spread, 6), entry.num_seeds) == (44.0, 4.0, 3)
    assert table.cells() == [["a", "44.0 ±4.0"], ["b", "failed"], ["(chance)", "2.0"]]
    assert as_text(table).splitlines()[1].split() == ["a", "44.0", "±4.0"]
    assert as_markdown(table).splitlines()[2] == "| a | 44.0 ±4.0 |"


def test_csv_has_a_line_per_cell_and_disarms_formulas():
    rows = list(csv.DictReader(io.StringIO(as_csv(document({("=1+1", 0, "x"): 0.5, ("b", 0, "x"): None})))))
    assert [(row["train"], row["status"], row["mAP"]) for row in rows] == [("'=1+1", "ok", "0.5"), ("b", "failed", "")]
