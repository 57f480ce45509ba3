"""The reference study's composite table: its grid, and its figures beside ours."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

SOURCE = "the reference study"
METRICS = ("mAP", "rank-1", "rank-5", "rank-10")
STUDIES = {"composite": (("market", "composite"), ("market", "duke", "composite"))}
"""Training and test sets of each table of the study that is a grid."""


@cache
def study_figures(name: str = "composite") -> dict[tuple[str, str], dict[str, float]]:
    """(training set, test set) -> the reported metrics as shares, means where the study ran twice."""
    table = tomllib.loads(files("reid_assets").joinpath("study.toml").read_text(encoding="utf-8"))[name]
    found = {}
    for variant in table["variants"]:
        train, _, test = variant["id"].partition("->")
        means = [sum(column) / len(column) / 100 for column in zip(*variant["runs"])]
        found[train, test] = dict(zip(METRICS, means))
    return found


def beside_study(summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """The six cells of the composite table, ours (`summary` of the document) beside the reported; None if the grid lacks one.

    A `--set` axis gives each of its rows its own six.
    """
    figures = study_figures()
    rows: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for entry in summary:
        if (entry["train"], entry["test"]) in figures:
            rows.setdefault(repr(entry["axes"]), {})[entry["train"], entry["test"]] = entry
    if not rows or any(len(found) < len(figures) for found in rows.values()):
        return None
    return [
        {
            "train": train,
            "test": test,
            "axes": found[train, test]["axes"],
            "status": found[train, test]["status"],
            "reported": reported,
            "ours": {name: found[train, test]["metrics"].get(name) for name in METRICS},
            "source": SOURCE,
        }
        for found in rows.values()
        for (train, test), reported in figures.items()
    ]
