"""Background reliance: what a model finds in backgrounds alone, and what it loses when people change theirs."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.compose.views import Diagnostic
from reid_train.evaluation.bootstrap import over_seeds, paired
from reid_train.evaluation.per_query import PerQuery
from reid_train.matrix.cells import Cell, Column
from reid_train.runs.matrix_document import row_name
from reid_train.testing import MASKS_FILE

METRIC = "mAP"
DECIMALS = 6
PerQueries = Mapping[tuple[str, int, str], PerQuery]


def reliance(cells: Sequence[Cell], tests: Sequence[Column], rows: PerQueries) -> list[dict[str, Any]]:
    """One entry per row of the grid and diagnostic column, over the seeds that have both results.

    `mAP` and `original` (the same on the set as it is, null where that is no column): mean, std and 95 % interval.
    `drop`: original minus mAP, paired query by query, its interval and p over the queries' identities (and seeds).
    `good_masks`: the same over the queries whose mask passed the quality gate; `masks` counts those that did not.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(row_name(cell.training.row), []).append(cell)
    entries = []
    for name, group in groups.items():
        for test in tests:
            if isinstance(test.dataset, Diagnostic):
                entry = _entry(name, group, test, _plain_column(test.dataset, tests), rows)
                entries += [] if entry is None else [entry]
    return entries


def _plain_column(dataset: Diagnostic, tests: Sequence[Column]) -> Column | None:
    """The column that shows the same set as it is."""
    same = [
        test for test in tests if not isinstance(test.dataset, Diagnostic) and test.dataset.root == dataset.base.root
    ]
    return next((test for test in same if test.dataset.name == dataset.base.name), None)


def _entry(
    name: str, group: Sequence[Cell], test: Column, plain: Column | None, rows: PerQueries
) -> dict[str, Any] | None:
    assert isinstance(test.dataset, Diagnostic)
    done = [cell for cell in group if (name, cell.training.settings.seed, test.name) in rows]
    if plain is not None:
        done = [cell for cell in done if (name, cell.training.settings.seed, plain.name) in rows]
    if not done:
        return None
    seeds = [cell.training.settings.seed for cell in done]
    changed = [rows[name, seed, test.name] for seed in seeds]
    original = [] if plain is None else [rows[name, seed, plain.name] for seed in seeds]
    masks = _query_masks(done[0].folder / "tests" / test.dataset.name / MASKS_FILE)
    return {
        **done[0].training.row,
        "seeds": seeds,
        "test": test.name,
        "base": test.dataset.base.name if plain is None else plain.name,
        "view": test.dataset.view,
        "chance_mAP": test.chance,
        "masks": dict(sorted(Counter(masks.values()).items())),
        **_numbers(original, changed),
        "good_masks": _numbers(*([_without(one, masks) for one in side] for side in (original, changed))),
    }


def _query_masks(path: Path) -> dict[str, str]:
    """The verdict on each query whose mask is not good."""
    return {row["name"]: row["status"] for row in json.loads(path.read_bytes()) if row["split"] == "query"}


def _without(rows: PerQuery, masks: Mapping[str, str]) -> PerQuery:
    keep = np.array([str(path) not in masks for path in rows.path], bool)
    names = ("path", "pid", "camid", "ap", "inp", "first_match", "num_matches")
    hits = rows.hits[keep] if rows.hit_ranks else rows.hits
    return replace(rows, **{name: getattr(rows, name)[keep] for name in names}, hits=hits)


def _numbers(original: Sequence[PerQuery], changed: Sequence[PerQuery]) -> dict[str, Any]:
    """Number of scored queries and people, mAP on both sides, and the paired drop."""
    valid = changed[0].num_matches > 0
    counts = {"queries": int(valid.sum()), "people": len(np.unique(changed[0].pid[valid]))}
    alike = bool(original) and all(np.array_equal(one.path, changed[0].path) for one in (*original, *changed))
    return {
        **counts,
        METRIC: _over_seeds(changed) if valid.any() else None,
        "original": _over_seeds(original) if original and (original[0].num_matches > 0).any() else None,
        "drop": _known(asdict(paired(original, changed, metrics=(METRIC,))[METRIC])) if alike and valid.any() else None,
    }


def _over_seeds(results: Sequence[PerQuery]) -> dict[str, float | None]:
    one = over_seeds(results, metrics=(METRIC,))[METRIC]
    return _known({"mean": one.mean, "std": one.deviation, "low": one.low, "high": one.high})


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Means as they are, what comes from resampling without the last bits that depend on how the sums were taken."""
    exact = ("mean", "std", "value")
    return {
        name: None if math.isnan(value) else value if name in exact else round(value, DECIMALS)
        for name, value in numbers.items()
    }
