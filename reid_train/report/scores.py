"""The squares of the matrix with error bars, as `results.json` holds them, and the figures that were reported elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reid_train.report.sheet import Sheet, make_sheet
from reid_train.runs.matrix_document import STUDY_METRICS, column_names, row_name


@dataclass(frozen=True)
class Score:
    """A metric of one square: mean over seeds, its deviation (None for one seed), the 95 % interval (None where unknown).

    Shares in [0, 1]. `status` is ok, or failed or missing if that is true of any seed. `reported` is the same figure from
    elsewhere.
    """

    value: float | None
    deviation: float | None
    low: float | None
    high: float | None
    num_seeds: int
    status: str
    reported: float | None = None


PAGE_METRICS = (*STUDY_METRICS, "mINP")
"""In the order of the page."""

NOTHING = Score(None, None, None, None, 0, "missing")
Scores = dict[tuple[str, str, str], Score]


def matrix_scores(document: Mapping[str, Any]) -> Scores:
    """Every metric of every square, by (row, test set, metric)."""
    known = known_figures(document)
    scores: Scores = {}
    for entry in document["summary"]:
        row, test = row_name(entry), entry["test"]
        for metric in PAGE_METRICS:
            found = entry["metrics"].get(metric, {})
            scores[row, test, metric] = Score(
                found.get("mean"),
                found.get("std"),
                _share(found.get("low")),
                _share(found.get("high")),
                len(entry["seeds"]),
                entry["status"],
                known.get((row, test, metric)),
            )
    return scores


def _share(limit: float | None) -> float | None:
    """An interval by Student's distribution can pass 0 and 1; a share cannot."""
    return None if limit is None else min(1.0, max(0.0, limit))


def known_figures(document: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    """The reference study's figures by (row, test set, metric), as shares."""
    return {
        (row_name(entry), entry["test"], metric): figure
        for entry in document["study"] or ()
        for metric, figure in entry["reported"].items()
    }


def score_sheet(document: Mapping[str, Any], scores: Scores) -> Sheet:
    """All squares as one table."""
    chance = {name: document["tests"][name]["chance_mAP"] for name in column_names(document)}
    rows = [
        {
            "train": row,
            "test": test,
            "metric": metric,
            "mean": score.value,
            "sd_over_seeds": score.deviation,
            "low_95": score.low,
            "high_95": score.high,
            "seeds": score.num_seeds,
            "status": score.status,
            "reported": score.reported,
            "chance": chance[test] if metric == "mAP" else None,
        }
        for (row, test, metric), score in scores.items()
    ]
    return make_sheet("matrix", "Scores with 95 % intervals (shares)", rows)
