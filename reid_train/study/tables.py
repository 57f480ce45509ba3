"""The document of an experiment as a table, as lines and as CSV."""

import csv
import io
from typing import Any

from reid_train.runs.matrix_document import STUDY_METRICS


def table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the printed table, in percent: the study's figures beside ours, and the paired difference."""
    first = document["variants"][0]["id"]
    if document.get("kind") == "adapt":
        head = ["variant", "mAP", "95 % interval", "rank-1", f"mAP - {first}", "95 % interval", "p", "clusters", "outliers",
                "target images", "all images", "seconds"]  # fmt: skip
        return head, [_adapted_cells(row) for row in document["variants"]]
    head = ["variant", "study mAP", "rank-1", "our mAP", "95 % interval", "rank-1", f"mAP - {first}", "95 % interval", "p",
            "class norm", "effective T"]  # fmt: skip
    return head, [_cells(row) for row in document["variants"]]


def _adapted_cells(row: dict[str, Any]) -> list[str]:
    if "refused" in row:
        return [row["id"], "refused", *["-"] * 10]
    final = row["final"]
    counts = ["-" if final[name] is None else f"{final[name]:,.0f}" for name in ("clusters", "outliers")]
    spent = [f"{final[name]:,.0f}" for name in ("target_images", "all_images", "seconds")]
    return [row["id"], *_scores(row), *counts, *spent]


def _scores(row: dict[str, Any]) -> list[str]:
    """Ours and the difference from the first variant."""
    ours, difference = row["ours"]["mAP"], row.get("difference")
    return [
        f"{100 * ours['mean']:.1f}",
        _interval(ours),
        f"{100 * row['ours']['rank-1']['mean']:.1f}",
        "-" if difference is None else f"{100 * difference['value']:+.1f}",
        "-" if difference is None else _interval(difference, "+"),
        "-" if difference is None else _p(difference["p_value"]),
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    study = [f"{row['study'][name]:.1f}" if row["study"] else "-" for name in ("mAP", "rank-1")]
    return [
        row["id"],
        *study,
        *_scores(row),
        f"{row['final']['class_norm_median']:.2f}",
        f"{row['final']['effective_temperature']:.3f}",
    ]


def _p(value: float | None) -> str:
    return "-" if value is None else "<.001" if value < 0.001 else f"{value:.3f}"


def _interval(row: dict[str, Any], sign: str = "") -> str:
    if row["low"] is None:
        return "-"
    return f"{100 * row['low']:{sign}.1f} to {100 * row['high']:{sign}.1f}"


def agreement(document: dict[str, Any]) -> list[str]:
    """For every variant that the study has, whether ours points the same way, in words."""
    first = document["variants"][0]
    lines = []
    for row in document["variants"][1:]:
        if not row["study"] or not first["study"] or "refused" in row:
            continue
        theirs = row["study"]["mAP"] - first["study"]["mAP"]
        ours = 100 * row["difference"]["value"]
        if row["verdict"] not in ("better", "worse"):
            judged = "no difference can be claimed here"
        else:
            judged = "the same direction" if (ours > 0) == (theirs > 0) else "the other direction"
        lines.append(
            f"{row['id']} against {first['id']}: {judged} (study {theirs:+.1f}, ours {ours:+.1f} points of mAP)"
        )
    return lines


def as_csv(document: dict[str, Any]) -> str:
    """One line per variant: every number of the table in full precision (ours as fractions, the study's in percent).

    A variant that was refused has its name alone.
    """
    shown = [row for row in document["variants"] if "refused" not in row]
    final = list(shown[0]["final"])
    names = {"class_norm_median": "class_norm"}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["variant", *(f"study {name}" for name in STUDY_METRICS)]
        + [f"{name} {part}" for name in STUDY_METRICS for part in ("mean", "deviation", "low", "high")]
        + [
            "difference",
            "difference low",
            "difference high",
            "p",
            "verdict",
            *(names.get(name, name) for name in final),
        ]
    )
    for row in document["variants"]:
        if "refused" in row:
            rows.writerow([row["id"]])
            continue
        difference = row.get("difference") or {}
        rows.writerow(
            [row["id"], *(row["study"].get(name, "") for name in STUDY_METRICS)]
            + [row["ours"][name][part] for name in STUDY_METRICS for part in ("mean", "deviation", "low", "high")]
            + [difference.get(key, "") for key in ("value", "low", "high", "p_value")]
            + [row.get("verdict", ""), *("" if row["final"][name] is None else row["final"][name] for name in final)]
        )
    return text.getvalue()
