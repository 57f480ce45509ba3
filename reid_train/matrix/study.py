"""The reference study's composite table: its grid, and its figures beside ours."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from reid_data.datasets.card import is_photographic
from reid_train.runs.matrix_document import STUDY_METRICS

SOURCE = "the reference study"
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
        found[train, test] = dict(zip(STUDY_METRICS, means))
    return found


def beside_study(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The six cells of the composite table, ours (the document's `summary`) beside the reported; None if the grid lacks one.

    A `--set` axis gives each of its rows its own six. Also None where a set is not of photographs, as the study's were: a
    synthetic `market` has no figures to stand beside.
    """
    figures = study_figures()
    cards = [test["card"] for test in document["tests"].values()]
    cards += [card for row in document["trainings"] for card in row["sets"]]
    if not all(map(is_photographic, cards)):
        return None
    rows: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for entry in document["summary"]:
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
            "ours": {name: found[train, test]["metrics"].get(name) for name in STUDY_METRICS},
            "source": SOURCE,
        }
        for found in rows.values()
        for (train, test), reported in figures.items()
    ]
