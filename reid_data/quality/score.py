"""The judges that need no labels and cost nothing: read from the manifest, summed up, put into words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid_data.manifest import Row


@dataclass(frozen=True)
class Aim:
    """What a judge should be: its range, how it is called in a few words, and in how many words it is explained."""

    low: float
    high: float
    short: str
    meaning: str


AIMS: dict[str, Aim] = {
    "mask_quality": Aim(0.7, 1.0, "mask", "verdict on the mask"),
    "looseness": Aim(0.7, 1.0, "loose", "IoU of alpha > .3 and alpha > .7"),
    "mask_area": Aim(0.12, 0.6, "area", "share of the crop that the person covers"),
    "uncovered": Aim(0.0, 0.3, "invented", "share of the picture that is invented and not hidden"),
    "seam_ratio": Aim(0.9, 1.1, "seam", "gradient on the outline, composite over source"),
    "old_background": Aim(0.0, 0.2, "old rim", "old background left in the person's rim"),
}
"""Judges in the manifest of a composite; formulas in docs/composites.md."""


@dataclass(frozen=True)
class Summary:
    """One judge over a set: how many images have it, mean, 10th, 50th and 90th percentile, the share within its aim."""

    num: int
    mean: float
    p10: float
    median: float
    p90: float
    within: float


def summarise_judges(rows: Sequence[Row]) -> dict[str, Summary]:
    """Judge -> its summary over the images that were written and show somebody; judges that no image has are left out."""
    found = {}
    for name, aim in AIMS.items():
        values = np.array(
            [row[name] for row in rows if row.get("sha256") and row.get("person") and row.get(name) is not None]
        )
        if values.size:
            found[name] = summarise_values(values, aim)
    return found


def summarise_values(values: np.ndarray, aim: Aim) -> Summary:
    """The summary of some (N,) values, rounded to 4 digits."""
    tenth, half, most = np.percentile(values, (10, 50, 90))
    within = ((values >= aim.low) & (values <= aim.high)).mean()
    numbers = [round(float(value), 4) for value in (values.mean(), tenth, half, most, within)]
    return Summary(len(values), *numbers)


def score(row: Row) -> float:
    """One number in [0, 1] to sort images by: the mask's quality, times one factor for each judge outside its aim.

    A seam ratio counts by its distance from the aim in stops (two stops: nothing left), the others by their own distance.
    """
    total = float(row.get("mask_quality") or 0)
    for name, weight in (("uncovered", 1.0), ("old_background", 1.0), ("seam_ratio", 0.5)):
        total *= max(0.0, 1 - weight * outside(name, row.get(name)))
    return total


def outside(name: str, value: float | None) -> float:
    """How far a judge's value is outside its aim; 0 inside, or where there is none."""
    if value is None:
        return 0.0
    aim = AIMS[name]
    if name == "seam_ratio":
        stops = [math.log2(max(limit, 1e-3)) for limit in (aim.low, value, aim.high)]
        return max(stops[0] - stops[1], stops[1] - stops[2], 0.0)
    return max(aim.low - value, value - aim.high, 0.0)


def reasons(row: Row) -> str:
    """What is outside its aim, the worst first, in a few words: `seam 1.42, old rim 0.31`; `all in range` if nothing is."""
    found = sorted(((outside(name, row.get(name)), name) for name in AIMS), reverse=True)
    return ", ".join(f"{AIMS[name].short} {row[name]:.2f}" for far, name in found if far > 0) or "all in range"


def worst_median_best(rows: Sequence[Row], num: int) -> list[tuple[str, Row]]:
    """About `num` of the images that show somebody: as many of the worst, the middle and the best by `score`, in turn."""
    ranked = sorted(
        (row for row in rows if row.get("sha256") and row.get("person")), key=lambda row: (score(row), row["name"])
    )
    each = max(1, min(num, len(ranked)) // 3)
    middle = max(0, (len(ranked) - each) // 2)
    thirds = {"worst": ranked[:each], "median": ranked[middle : middle + each], "best": ranked[::-1][:each]}
    turns = zip(*([(name, row) for row in part] for name, part in thirds.items()))
    return [one for turn in turns for one in turn]
