"""Adaptations among the rows of a matrix: each arm beside direct transfer and the joint one, and what published work reached."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from reid_data.files import sha256_file
from reid_train.evaluation.bootstrap import RESAMPLES, Difference, paired
from reid_train.report.charts import Chart, Line, line_chart
from reid_train.report.differences import same_queries
from reid_train.report.evidence import Evidence, Run
from reid_train.report.reliance import split_diagnostic
from reid_train.report.scores import Score, Scores
from reid_train.report.sheet import Sheet, make_sheet

MODEL_FILE = "model.safetensors"
NAMED = ("arm", "classifier", "target_weight")
METRICS = ("mAP", "rank-1")


@dataclass(frozen=True)
class Arm:
    """One row of the matrix on one test set.

    `words` says what was done; `facts` are means over seeds, None where there is none. `to_direct` and `to_joint` are this
    row minus that one in mAP as a share, on the same queries.
    """

    row: str
    words: str
    mAP: Score
    rank_1: Score
    to_direct: Difference | None
    to_joint: Difference | None
    facts: Mapping[str, float | None]


@dataclass(frozen=True)
class Adaptations:
    """The section: arms by test set, published results by test set, the diagrams of the rounds."""

    arms: dict[str, list[Arm]]
    reported: dict[str, list[Mapping[str, Any]]]
    charts: list[Chart]
    rows: list[str]


def find_adaptations(evidence: Evidence, scores: Scores, *, resamples: int = RESAMPLES) -> Adaptations:
    """Everything about the rows that are adaptations, and about those that they started from; nothing if there are none."""
    adapted = [row for row in evidence.rows if _first(evidence, row).result.get("kind") == "adapt"]
    if not adapted:
        return Adaptations({}, {}, [], [])
    starts = _starts(evidence, adapted)
    joint = next((row for row in adapted if _is_base(_settings(evidence, row))), None)
    columns = [test for test in evidence.columns if split_diagnostic(test) is None]
    arms = {}
    for test in columns:
        shown = list(dict.fromkeys([*starts.values(), *adapted]))
        arms[test] = [
            Arm(
                row,
                _words(evidence, row, adapted) if row in adapted else "direct transfer",
                scores[row, test, "mAP"],
                scores[row, test, "rank-1"],
                _gap(evidence, row, starts.get(row), test, resamples),
                _gap(evidence, row, joint, test, resamples),
                _facts(evidence, row),
            )
            for row in shown
        ]
    reported = {test: found for test in columns if (found := reported_for(evidence.document["tests"][test]["card"]))}
    return Adaptations(arms, reported, _charts(evidence, adapted), adapted)


def reported_for(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Published results {name, source, train, test, mAP, rank-1 in percent} on a set of photographs; none on drawn or derived ones."""
    if card["kind"] != "photographs":
        return []
    return [result for result in published() if result["test"] == card["name"]]


@cache
def published() -> tuple[Mapping[str, Any], ...]:
    """All results of `assets/adaptation.toml`, in its order."""
    works = tomllib.loads(files("reid_assets").joinpath("adaptation.toml").read_text(encoding="utf-8"))["work"]
    return tuple(
        {"name": work["name"], "source": work["source"], **result} for work in works for result in work["results"]
    )


def adaptation_sheet(found: Adaptations) -> Sheet:
    """All arms as one table."""
    rows = []
    for test, arms in found.arms.items():
        for arm in arms:
            rows.append(
                {
                    "train": arm.row,
                    "arm": arm.words,
                    "test": test,
                    **_score_columns("mAP", arm.mAP),
                    **_score_columns("rank-1", arm.rank_1),
                    **_gap_columns("to_direct", arm.to_direct),
                    **_gap_columns("to_joint", arm.to_joint),
                    **arm.facts,
                }
            )
    return make_sheet("adaptation", "Adaptation (shares)", rows)


def _first(evidence: Evidence, row: str) -> Run:
    return next(run for run in evidence.runs if run.row == row)


def _runs(evidence: Evidence, row: str) -> list[Run]:
    return [run for run in evidence.runs if run.row == row]


def _settings(evidence: Evidence, row: str) -> Mapping[str, Any]:
    return _first(evidence, row).result["adaptation"]["settings"]  # type: ignore[no-any-return]


def _is_base(settings: Mapping[str, Any]) -> bool:
    return settings["arm"] == "joint" and settings["classifier"] == "separate" and settings["target_weight"] > 0


def _starts(evidence: Evidence, adapted: Sequence[str]) -> dict[str, str]:
    """By adaptation the row whose model it started from, told by the model's sha256; none if that row is not in the matrix."""
    models = {}
    for run in evidence.runs:
        if run.row not in adapted and (run.folder / MODEL_FILE).is_file():
            models[sha256_file(run.folder / MODEL_FILE)] = run.row
    starts = {row: models.get(_first(evidence, row).result["weights_sha256"]) for row in adapted}
    return {row: start for row, start in starts.items() if start is not None}


def _words(evidence: Evidence, row: str, adapted: Sequence[str]) -> str:
    """What an adaptation was: its arm, whose labels, and every setting in which the adaptations differ."""
    rounds, settings = _first(evidence, row).result["adaptation"]["rounds"], _settings(evidence, row)
    words = [settings["arm"]]
    if settings["target_weight"] == 0:
        words = ["source continued"]
    elif settings["arm"] == "joint":
        words.append(settings["classifier"])
    if rounds and "eps" not in rounds[0]:
        words.append("labels of another run")
    every = [_settings(evidence, other) for other in adapted]
    differing = [name for name in settings if len({str(other.get(name)) for other in every}) > 1]
    words += [f"{name.replace('_', '-')} {settings[name]}" for name in differing if name not in NAMED]
    return ", ".join(words)


def _facts(evidence: Evidence, row: str) -> dict[str, float | None]:
    found = [run.result.get("adaptation") or {} for run in _runs(evidence, row)]
    last = [facts["rounds"][-1] if facts.get("rounds") else {} for facts in found]
    seconds = [run.costs.get("train_seconds") for run in _runs(evidence, row)]
    return {
        "target_images": _mean([facts.get("target_images") for facts in found]),
        "all_images": _mean([facts.get("all_images") for facts in found]),
        "clusters": _mean([facts.get("clusters") for facts in last]),
        "outliers": _mean([facts.get("outliers") for facts in last]),
        "seconds": _mean(seconds) if any(found) else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _gap(evidence: Evidence, row: str, other: str | None, test: str, resamples: int) -> Difference | None:
    if other is None or other == row:
        return None
    sides = evidence.results(row, test), evidence.results(other, test)
    if not all(sides) or not same_queries([*sides[0], *sides[1]]):
        return None
    return paired(*sides, metrics=("mAP",), resamples=resamples)["mAP"]


def _charts(evidence: Evidence, adapted: Sequence[str]) -> list[Chart]:
    """Clusters and outliers by round: a curve per run, seeds of a row alike."""
    charts = []
    for title, key in (("Clusters", "clusters"), ("Outliers", "outliers")):
        lines = []
        for style, row in enumerate(adapted):
            for run in _runs(evidence, row):
                rounds = (run.result.get("adaptation") or {}).get("rounds", [])
                points = [(entry["round"], entry[key]) for entry in rounds]
                lines.append(Line(f"{row}, seed {run.seed}", style, points))
        chart = line_chart(title, lines, labels=("round", ""))
        charts += [] if chart is None else [chart]
    return charts


def _score_columns(name: str, score: Score) -> dict[str, float | None]:
    return {name: score.value, f"{name}_low_95": score.low, f"{name}_high_95": score.high}


def _gap_columns(name: str, gap: Difference | None) -> dict[str, float | None]:
    values = (None,) * 4 if gap is None else (gap.value, gap.low, gap.high, gap.p_value)
    return dict(zip((name, f"{name}_low_95", f"{name}_high_95", f"{name}_p"), values))
