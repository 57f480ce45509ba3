"""How much does a model lean on the background? What the diagnostics `SET@VIEW` in `results.json` say, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reid_train.report.differences import signed_points
from reid_train.report.sheet import Sheet, make_sheet
from reid_train.runs.matrix_document import row_name

PLAIN = "as it is"
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Reliance:
    """One row of the matrix on one set: its entries under `reliance` in `results.json`, one per view of the set."""

    row: str
    test: str
    entries: tuple[Entry, ...]

    @property
    def original(self) -> Mapping[str, float | None] | None:
        """mAP on the set as it is: mean, std, low, high; None if it is no column of the matrix."""
        return next((entry["original"] for entry in self.entries if entry["original"]), None)

    @property
    def words(self) -> str:
        """What the diagnostics say, in one sentence."""
        plain = f" ({_percent(self.original['mean'])} mAP as it is)" if self.original else ""
        said = "; ".join(_say(entry) for entry in self.entries if entry["mAP"])
        return f"Trained on {self.row}, tested on {self.test}{plain}: {said}."


def split_diagnostic(column: str) -> tuple[str, str] | None:
    """`market@swap:duke` -> ("market", "swap:duke"); None for a plain set. A path may hold an @ of its own."""
    base, at, view = column.rpartition("@")
    known = view in ("foreground", "background") or view.startswith("swap:")
    return (base, view) if at and base and known else None


def view_columns(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns that are diagnostics, by the set that they are of."""
    views: dict[str, list[str]] = {}
    for column in document["tests"]:
        split = split_diagnostic(column)
        if split is not None:
            views.setdefault(split[0], []).append(column)
    return views


def find_reliance(document: Mapping[str, Any]) -> list[Reliance]:
    """One per row and set that has diagnostics with a result."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in document["reliance"]:
        if entry["mAP"]:
            groups.setdefault((entry["base"], row_name(entry)), []).append(entry)
    return [Reliance(row, base, tuple(entries)) for (base, row), entries in groups.items()]


def _say(entry: Entry) -> str:
    value, view, drop = entry["mAP"], entry["view"], entry["drop"]
    limits = _limits(value["low"], value["high"])
    if view == "background":
        chance = entry["chance_mAP"]
        open_question = value["low"] is None or value["low"] <= chance
        than = (
            f"not clearly more than chance ({_percent(chance)})" if open_question else f"chance is {_percent(chance)}"
        )
        return f"from the background alone it scores {_percent(value['mean'])}{limits}, {than}"
    what = f"on backgrounds of {view.removeprefix('swap:')}" if view != "foreground" else "before one flat colour"
    if drop is None:
        return f"{what} it scores {_percent(value['mean'])}{limits}"
    if drop["low"] is None or drop["low"] <= 0 <= drop["high"]:
        change = _limits(*(None if drop[name] is None else -drop[name] for name in ("high", "low")))
        return f"{what} no change can be claimed, {signed_points(-drop['value'])} points{change}"
    verb, low, high = (
        ("loses", drop["low"], drop["high"]) if drop["value"] > 0 else ("gains", -drop["high"], -drop["low"])
    )
    share = abs(drop["value"]) / entry["original"]["mean"]
    points = f"{abs(100 * drop['value']):.1f} points{_limits(low, high)}"
    return f"{what} it {verb} {points}, {100 * share:.0f} % of its score"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _limits(low: float | None, high: float | None) -> str:
    """The interval in brackets; nothing where it is not known."""
    if low is None or high is None:
        return ""
    return f" (95 % interval {100 * low:.1f} to {100 * high:.1f})".replace("-", "−")


def reliance_sheet(found: Sequence[Reliance]) -> Sheet:
    """All diagnostics as one table; `good_...` over the queries whose mask passed the quality gate."""
    rows = []
    for one in found:
        for entry in one.entries:
            good = entry["good_masks"]
            rows.append(
                {
                    "train": one.row,
                    "test": one.test,
                    "view": entry["view"],
                    "queries": entry["queries"],
                    "people": entry["people"],
                    "bad_masks": sum(entry["masks"].values()),
                    **_columns("mAP", entry["mAP"], ("mean", "std", "low", "high")),
                    **_columns("original", entry["original"], ("mean", "std", "low", "high")),
                    **_columns("drop", entry["drop"], ("value", "low", "high", "p_value")),
                    "chance_mAP": entry["chance_mAP"],
                    **_columns("good_mAP", good["mAP"], ("mean", "low", "high")),
                    **_columns("good_drop", good["drop"], ("value", "low", "high", "p_value")),
                }
            )
    return make_sheet("background-reliance", "Background reliance (shares)", rows)


def _columns(prefix: str, numbers: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, Any]:
    return {f"{prefix}_{name}": None if numbers is None else numbers[name] for name in names}
