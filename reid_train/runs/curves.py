"""The curves of a training as one picture: what `log.jsonl` records, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CURVES_FILE = "curves.png"
Rows = Sequence[Mapping[str, float]]
WIDTH, HEIGHT, MARGIN = 440, 260, 66
INK, GRID, PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)
COLOURS = ((0, 90, 160), (200, 80, 0), (0, 130, 90))


@dataclass(frozen=True)
class Panel:
    """One diagram: its title, the values that it shows, what they are called, and whether its scale is logarithmic."""

    title: str
    names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    log: bool = False


PANELS = (
    Panel("loss", ("loss",)),
    Panel("accuracy", ("accuracy",)),
    Panel("learning rate", ("lr",), log=True),
    Panel("temperature", ("temperature", "effective_temperature"), ("in force", "effective"), log=True),
    Panel(
        "class-weight norms",
        ("class_norm_min", "class_norm_median", "class_norm_max"),
        ("smallest", "median", "largest"),
        log=True,
    ),
    Panel("norms", ("gradient_norm", "feature_norm"), ("gradient", "feature"), log=True),
)


SITES = ("source", "target")
ROUND_PANELS = (
    Panel("cross-entropy", ("loss_ce_source", "loss_ce_target"), SITES),
    Panel("accuracy (target: on its clusters)", ("accuracy_source", "accuracy_target"), SITES),
    Panel("learning rate", ("lr",), log=True),
    Panel("clusters", ("clusters", "outliers"), ("clusters", "outliers")),
    Panel("images in a cluster", ("size_min", "size_median", "size_max"), ("smallest", "median", "largest"), log=True),
    Panel("eps, and how much the clusters change", ("eps", "changed"), ("eps", "1 - ARI")),
)
"""What the log of an adaptation records, round by round."""


def draw_curves(rows: Rows, panels: Sequence[Panel] = PANELS) -> np.ndarray:
    """(H, W, 3) uint8 picture of `panels` over the epochs in `rows` (each with `epoch` and the values by name)."""
    columns = 3
    lines = -(-len(panels) // columns)
    picture = Image.new("RGB", (columns * WIDTH, lines * HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, panel in enumerate(panels):
        _draw_panel(draw, panel, rows, (number % columns * WIDTH, number // columns * HEIGHT))
    return np.asarray(picture)


def _draw_panel(draw: ImageDraw.ImageDraw, panel: Panel, rows: Rows, corner: tuple[int, int]) -> None:
    left, top = corner[0] + MARGIN, corner[1] + 34
    right, bottom = corner[0] + WIDTH - 16, corner[1] + HEIGHT - 28
    title, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((left, corner[1] + 8), panel.title, INK, title)
    start = left + draw.textlength(panel.title, title)
    for colour, label in zip(COLOURS, panel.labels):
        draw.text((start + 14, corner[1] + 10), label, colour, small)
        start += 14 + draw.textlength(label, small)
    curves = [_points(rows, name, log=panel.log) for name in panel.names]
    values = [value for curve in curves for _, value in curve]
    if not values:
        return
    low, high = _limits(values)
    first, last = min(row["epoch"] for row in rows), max(row["epoch"] for row in rows)

    def place(epoch: float, value: float) -> tuple[float, float]:
        along = (epoch - first) / (last - first) if last > first else 0.5
        return left + along * (right - left), bottom - (value - low) / (high - low) * (bottom - top)

    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        y = place(first, value)[1]
        draw.line([(left, y), (right, y)], GRID)
        text = f"{10**value if panel.log else value:.3g}"
        draw.text((left - 6, y), text, INK, small, anchor="rm")
    draw.text((left, bottom + 6), f"epoch {first:g}", INK, small)
    draw.text((right, bottom + 6), f"{last:g}", INK, small, anchor="ra")
    for colour, curve in zip(COLOURS, curves):
        points = [place(epoch, value) for epoch, value in curve]
        if len(points) > 1:
            draw.line(points, colour, 2)
        for x, y in points if len(points) < 30 else []:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)


def _points(rows: Rows, name: str, *, log: bool) -> list[tuple[float, float]]:
    """(epoch, value or its logarithm) where there is a value that can be drawn."""
    found = [(row["epoch"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
    return [(epoch, math.log10(value)) for epoch, value in found if value > 0] if log else found


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    slack = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    return low - slack, high + slack
