"""`results.json`: the whole grid from what lies in the run folders, with error bars. Runs nothing.

Holds nothing that differs between two runs of the same grid: times and costs are in the run folders.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reid_data.datasets.card import card_as_parent
from reid_data.errors import InputError
from reid_data.records import count_split
from reid_train.evaluation.bootstrap import OverSeeds, intervals, over_seeds
from reid_train.evaluation.per_query import PER_QUERY_FILE, PerQuery, read_per_query
from reid_train.matrix.cells import Cell, Column
from reid_train.matrix.failures import Failure, Failures
from reid_train.matrix.plan import Training
from reid_train.matrix.reliance import reliance
from reid_train.matrix.study import beside_study
from reid_train.runs.matrix_document import METRICS, SCHEMA, row_name
from reid_train.runs.result import RunResult
from reid_train.settings.train import SETTINGS_SCHEMA

MISSING = "not run yet"
DECIMALS = 6
PerQueries = dict[tuple[str, int, str], PerQuery]


def make_document(cells: Sequence[Cell], tests: Sequence[Column], failures: Failures) -> dict[str, Any]:
    """The document of a grid as far as it is done.

    `trainings` and `cells` (a training on a test set) have a status: `ok`, `failed` (with `reason` and `log_tail`) or
    `missing`. `cells` carry metrics as shares with 95 % `intervals` over the queries' identities; `summary` the same over
    seeds (mean, std, combined interval); `reliance` what the diagnostics say; `study` the reference study's composite table
    beside ours where the grid has it. Unknown numbers are null.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "settings_schema": SETTINGS_SCHEMA,
        "axes": [name for name, _ in cells[0].training.axes],
        "digests": {test.name: test.digest for test in tests}
        | {k: v for cell in cells for k, v in cell.digests.items()},
        "tests": {test.name: _test_facts(test) for test in tests},
        "trainings": [],
        "cells": [],
    }
    rows: PerQueries = {}
    for cell in cells:
        result = cell.result()
        row = _training_row(cell, result, failures)
        document["trainings"].append(row)
        for test in tests:
            square = _square(cell, test, row, result, failures)
            if square["status"] == "ok":
                path = cell.folder / "tests" / test.dataset.name / PER_QUERY_FILE
                rows[row_name(cell.training.row), cell.training.settings.seed, test.name] = found = read_per_query(path)
                square["intervals"] = {name: _pair(one.low, one.high) for name, one in intervals(found).items()}
            document["cells"].append(square)
    document["summary"] = _summary(document["cells"], rows)
    document["reliance"] = reliance(cells, tests, rows)
    document["study"] = beside_study(document)
    return document


def _training_row(cell: Cell, result: RunResult | None, failures: Failures) -> dict[str, Any]:
    row: dict[str, Any] = {
        **_common(cell.training),
        "key": cell.key,
        "run": cell.place,
        "sets": [card_as_parent(dataset.card) for dataset in cell.datasets],
        **_status(result is not None, failures.found.get(cell.key)),
    }
    if result is not None:
        row["unreadable"] = len(result.unreadable)
    return row


def _square(
    cell: Cell, test: Column, row: Mapping[str, Any], result: RunResult | None, failures: Failures
) -> dict[str, Any]:
    """One training on one test set."""
    key = cell.test_keys[test.name]
    entry = result.tests.get(test.dataset.name, {}) if result is not None else {}
    done = entry.get("test_key") == key
    square: dict[str, Any] = {**_common(cell.training), "test": test.name, "metrics": {}, "intervals": {}}
    if result is None:
        return square | {name: row[name] for name in ("status", "reason", "log_tail") if name in row}
    square |= _status(done, failures.found.get(key))
    if done:
        square |= {
            "test_key": key,
            "metrics": result.metrics[test.dataset.name],
            "unreadable": len(entry["unreadable"]),
        }
        if "view" in entry:
            square["masks"] = entry["view"]["masks"]
    return square


def _common(training: Training) -> dict[str, Any]:
    return {**training.row, "seed": training.settings.seed}


def _status(done: bool, failure: Failure | None) -> dict[str, Any]:
    if done:
        return {"status": "ok", "reason": ""}
    if failure is None:
        return {"status": "missing", "reason": MISSING}
    return {"status": "failed", "reason": failure.reason, "log_tail": list(failure.log_tail)}


def _test_facts(test: Column) -> dict[str, Any]:
    counts = {split: count_split(test.dataset.split(split)) for split in ("query", "gallery")}
    return {
        "digest": test.digest,
        "chance_mAP": test.chance,
        "counts": counts,
        "card": card_as_parent(test.dataset.card),
    }


def _summary(squares: Sequence[Mapping[str, Any]], rows: PerQueries) -> list[dict[str, Any]]:
    """Every row and column over its seeds: mean, standard deviation, interval of the mean for other seeds and people."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for square in squares:
        groups.setdefault((row_name(square), square["test"]), []).append(square)
    entries = []
    for (name, test), group in groups.items():
        done = [square for square in group if square["status"] == "ok"]
        entries.append(
            {
                "train": group[0]["train"],
                "axes": group[0]["axes"],
                "test": test,
                "seeds": [square["seed"] for square in done],
                "status": _worst([square["status"] for square in group]),
                "metrics": _over_seeds([rows[name, square["seed"], test] for square in done]),
            }
        )
    return entries


def _worst(statuses: Sequence[str]) -> str:
    return next(status for status in ("failed", "missing", "ok") if status in statuses)


def _over_seeds(results: Sequence[PerQuery]) -> dict[str, dict[str, float | None]]:
    """By metric mean, std, low, high; where seeds left out different images they share no queries, and no interval is had."""
    if not results:
        return {}
    if any(len(one.pid) != len(results[0].pid) or (one.path != results[0].path).any() for one in results):
        means = [{name: one.value for name, one in intervals(rows).items()} for rows in results]
        found = {name: _plain([mean[name] for mean in means]) for name in METRICS}
    else:
        found = over_seeds(results)
    return {
        name: {"mean": one.mean, "std": _known(one.deviation), "low": _number(one.low), "high": _number(one.high)}
        for name, one in found.items()
    }


def _plain(values: Sequence[float]) -> OverSeeds:
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return OverSeeds(mean, deviation, math.nan, math.nan, len(values))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float) -> float | None:
    """A number from resampling, without the last bits that depend on how the sums were taken; None for NaN."""
    return None if math.isnan(value) else round(value, DECIMALS)


def _pair(low: float, high: float) -> list[float | None]:
    return [_number(low), _number(high)]


def num_failed(document: Mapping[str, Any]) -> int:
    """Cells that failed or are missing, and unreadable images: anything above 0 is exit code 1."""
    failed = sum(cell["status"] != "ok" for cell in document["cells"])
    return failed + sum(row.get("unreadable", 0) for row in (*document["trainings"], *document["cells"]))


def require_results(document: Mapping[str, Any]) -> None:
    """Raise InputError if not one cell has a result."""
    if not any(cell["status"] == "ok" for cell in document["cells"]):
        raise InputError("none of these cells has a result yet: run the same command without --collect first.")
