"""Values with their intervals, and histograms, as numbers for the SVG templates; see `charts`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reid_train.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    NUM_STYLES,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    Tick,
    nice_limits,
    nice_ticks,
    number_text,
)

NUM_BINS = 20


@dataclass(frozen=True)
class Bar:
    """A row of an interval plot: its text, style, the value and its limits in the drawing's units (None: none)."""

    text: str
    style: int
    y: float
    at: float
    low: float | None
    high: float | None
    says: str


@dataclass(frozen=True)
class IntervalChart:
    """Values with their intervals beneath each other, on one axis; `zero` is where 0 lies, if it is on the axis."""

    x_label: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    zero: float | None
    width: int
    height: int
    left: int
    right: int
    bottom: int


Row = tuple[str, int, float, float | None, float | None]


def interval_chart(rows: Sequence[Row], x_label: str, *, from_zero: bool = False) -> IntervalChart | None:
    """Rows of (text, style, value, low, high), drawn from top to bottom; None without rows."""
    if not rows:
        return None
    values = [one for row in rows for one in row[2:] if one is not None and math.isfinite(one)]
    low, high = nice_limits(min(*values, 0.0), max(*values, 0.0))
    low = 0.0 if from_zero and min(values) >= 0 else low
    pitch, right, width = 24, 14, 440
    left = min(220, 20 + 7 * max(len(row[0]) for row in rows))
    bottom = 8 + pitch * len(rows)
    across = Scale(low, high, left, width - right)
    bars = []
    for number, (text, style, value, start, end) in enumerate(rows):
        known = start is not None and end is not None and math.isfinite(start)
        places = (across(start or 0.0), across(end or 0.0)) if known else (None, None)
        says = f"{value:.1f}" + (f" ({start:.1f} to {end:.1f})" if known else "")
        y = 8 + pitch * (number + 0.5)
        bars.append(Bar(text, style % NUM_STYLES, y, across(value), places[0], places[1], says))
    ticks = tuple(Tick(across(mark), number_text(mark)) for mark in nice_ticks(low, high))
    zero = across(0.0) if low <= 0 <= high else None
    return IntervalChart(x_label, tuple(bars), ticks, zero, width, bottom + 40, left, width - right, bottom)


@dataclass(frozen=True)
class Column:
    """One column of a histogram: place, size, how many of them are of the second kind, and what it says."""

    x: float
    width: float
    parts: tuple[tuple[float, float, int], ...]
    says: str


@dataclass(frozen=True)
class Histogram:
    """Stacked columns over [0, 1]; each part of a column is (top, height, style)."""

    x_label: str
    columns: tuple[Column, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    mark: float | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def bin_of(value: float) -> int:
    """The column of a value in [0, 1]; 1 falls into the last."""
    return min(NUM_BINS - 1, max(0, int(value * NUM_BINS)))


def histogram(groups: Sequence[tuple[str, Sequence[float]]], x_label: str, mark: float | None = None) -> Histogram:
    """Stacked histogram of values in [0, 1] in 20 columns; `groups` of (name, values), style by place; `mark` a limit."""
    counts = [[0] * NUM_BINS for _ in groups]
    for row, (_, values) in zip(counts, groups):
        for value in values:
            row[bin_of(value)] += 1
    highest = max(1, max(sum(column) for column in zip(*counts)))
    across = Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    up = Scale(0.0, highest * 1.05, HEIGHT - BOTTOM, TOP)
    columns = []
    for place in range(NUM_BINS):
        parts, below = [], 0
        for style, row in enumerate(counts):
            if row[place]:
                top = up(below + row[place])
                parts.append((top, round(up(below) - top, 2), style))
                below += row[place]
        said = ", ".join(f"{name} {row[place]:,}" for (name, _), row in zip(groups, counts) if row[place])
        start, end = across(place / NUM_BINS), across((place + 1) / NUM_BINS)
        says = f"{place / NUM_BINS:.2f} to {(place + 1) / NUM_BINS:.2f}: {said}"
        columns.append(Column(start + 0.75, round(end - start - 1.5, 2), tuple(parts), says))
    return Histogram(
        x_label,
        tuple(columns),
        tuple(Tick(across(mark), f"{mark:g}") for mark in (0, 0.25, 0.5, 0.75, 1)),
        tuple(Tick(up(mark), f"{mark:,.0f}") for mark in nice_ticks(0.0, highest * 1.05) if mark == int(mark)),
        None if mark is None else across(mark),
    )
