"""Is one training set better than another? Paired differences on the same queries, in words and numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from reid_train.evaluation.bootstrap import RESAMPLES, Difference, paired
from reid_train.evaluation.compare import LEVEL
from reid_train.evaluation.per_query import PerQuery
from reid_train.report.evidence import Evidence
from reid_train.report.scores import Scores
from reid_train.report.sheet import Sheet, make_sheet

MOST_ROWS = 5


@dataclass(frozen=True)
class Finding:
    """Row `first` minus row `second` on one test set, in mAP as a share; `holm` is p after Holm's correction.

    `verdict` is `first`, `second`, `undecided` or, where a single person gives no error bar, `unknown`.
    """

    test: str
    first: str
    second: str
    values: tuple[float, float]
    seeds: tuple[int, int]
    difference: Difference
    holm: float = math.nan

    @property
    def verdict(self) -> str:
        """Which row is better by p < 0.05 and an interval without 0, as `reid-train compare` says it."""
        gap = self.difference
        if math.isnan(gap.low):
            return "unknown"
        if gap.p_value >= LEVEL or gap.low <= 0 <= gap.high:
            return "undecided"
        return "first" if gap.value > 0 else "second"

    @property
    def words(self) -> str:
        """One sentence that says it all."""
        gap = self.difference
        better, worse = (self.first, self.second) if gap.value >= 0 else (self.second, self.first)
        points = f"{abs(100 * gap.value):.1f} points of mAP"
        if self.verdict == "unknown":
            return f"{better} scores {points} more than {worse}, but one person alone gives no error bar."
        low, high = sorted((gap.low, gap.high) if gap.value >= 0 else (-gap.low, -gap.high))
        sure = f"95 % interval {signed_points(low)} to {signed_points(high)}, {p_text(gap.p_value)}"
        if gap.value == gap.low == gap.high == 0:
            return f"{better} and {worse} are the same: no query differs."
        if self.verdict == "undecided":
            return f"No difference can be claimed between {better} and {worse}: {points} ({sure})."
        firm = (
            "" if self.holm < LEVEL else " Not firm: it does not hold after correction for the number of comparisons."
        )
        return f"{better} is better than {worse} by {points} ({sure}).{firm}"


def signed_points(share: float) -> str:
    """A share as points with a real minus sign: `+1.2`, `−0.4`."""
    return f"{100 * share:+.1f}".replace("-", "−")


def p_text(value: float) -> str:
    """`p = 0.012` or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def find_differences(evidence: Evidence, scores: Scores, *, resamples: int = RESAMPLES) -> list[Finding]:
    """Pairs of rows on every test set: all pairs of up to MOST_ROWS rows, else every row against the first, and composites
    against their foreground's set.

    A square without per-query results is left out. With one seed on a side the interval speaks of other people only, else
    of other seeds, too (`bootstrap.paired`). Holm (1979) corrects for all comparisons of the page together.
    """
    rows = evidence.rows
    pairs = list(combinations(rows, 2))
    if len(rows) > MOST_ROWS:
        wanted = [(row, rows[0]) for row in rows[1:]] + composite_pairs(evidence.document)
        pairs = [pair for pair in pairs if pair in wanted or pair[::-1] in wanted]
    findings = []
    for test in evidence.columns:
        for first, second in pairs:
            sides = [evidence.results(row, test) for row in (first, second)]
            if not all(sides) or not same_queries([*sides[0], *sides[1]]):
                continue
            gap = paired(sides[0], sides[1], metrics=("mAP",), resamples=resamples)["mAP"]
            values = [scores[row, test, "mAP"].value or 0.0 for row in (first, second)]
            counts = len(sides[0]), len(sides[1])
            findings.append(Finding(test, first, second, (values[0], values[1]), counts, gap))
    corrected = holm([finding.difference.p_value for finding in findings])
    return [replace(finding, holm=value) for finding, value in zip(findings, corrected)]


def composite_pairs(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows trained on one composite, each with the name of its foreground set."""
    pairs = []
    for row in document["trainings"]:
        card = row["sets"][0] if len(row["sets"]) == 1 else {}
        if card.get("kind") == "composite" and card.get("parents") and not row["axes"]:
            pairs.append((row["train"], card["parents"][0]["name"]))
    return list(dict.fromkeys(pairs))


def same_queries(results: Sequence[PerQuery]) -> bool:
    """Whether all results are of the same queries in the same order, with at least one that has a match."""
    first = results[0]
    alike = all(
        np.array_equal(first.path, rows.path) and np.array_equal(first.num_matches, rows.num_matches)
        for rows in results
    )
    return bool(alike and (first.num_matches > 0).any())


def holm(p_values: Sequence[float]) -> list[float]:
    """p after Holm's step-down correction ("A simple sequentially rejective multiple test procedure", 1979); NaN stays."""
    known = sorted((value, place) for place, value in enumerate(p_values) if not math.isnan(value))
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for done, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - done)))
        corrected[place] = highest
    return corrected


def difference_sheet(findings: Sequence[Finding]) -> Sheet:
    """All comparisons as one table."""
    rows = [
        {
            "test": one.test,
            "A": one.first,
            "B": one.second,
            "mAP_A": one.values[0],
            "mAP_B": one.values[1],
            "A_minus_B": one.difference.value,
            "low_95": one.difference.low,
            "high_95": one.difference.high,
            "p": one.difference.p_value,
            "p_holm": one.holm,
            "seeds_A": one.seeds[0],
            "seeds_B": one.seeds[1],
            "better": {"first": one.first, "second": one.second}.get(one.verdict, one.verdict),
        }
        for one in findings
    ]
    return make_sheet("differences", "Paired differences in mAP (shares)", rows)
