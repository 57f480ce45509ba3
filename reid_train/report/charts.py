"""Diagrams as numbers for the SVG templates: pure geometry, no colours and no text that is not given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40
NUM_STYLES = 8


@dataclass(frozen=True)
class Line:
    """One curve: its name, its style number (colour, dash and marker together), points (x, y), and a band (x, low, high)."""

    name: str
    style: int
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in the drawing and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Drawn:
    """A curve in the drawing's units: `path` and `band` are SVG path data, `dots` (x, y, what it says)."""

    name: str
    style: int
    path: str
    band: str
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Chart:
    """Everything a template needs to draw one diagram; see `line_chart`."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Drawn, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from values to places."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of `value`, rounded to 0.01 of the drawing's units."""
        low, high, at = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 2)


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    labels: tuple[str, str],
    log: bool = False,
    limits: tuple[float, float] | None = None,
    x_ticks: Sequence[float] = (),
) -> Chart | None:
    """Curves over a common x axis; None if there is no finite point at all.

    `labels` of x and y; `limits` of y (default: what the values need); `log` for y, which then leaves out values <= 0.
    """
    kept = [_finite(line, log=log) for line in lines]
    xs = [x for line in kept for x, _ in line.points]
    if not xs:
        return None
    ys = [y for line in kept for _, y in line.points]
    ys += [y for line in kept for _, *pair in line.band for y in pair]
    low, high = limits or nice_limits(min(ys), max(ys), log=log)
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 0.5, max(xs) + 0.5)
    across = Scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    up = Scale(low, high, HEIGHT - BOTTOM, TOP, log)
    marks = x_ticks or _whole_ticks(min(xs), max(xs))
    return Chart(
        title,
        *labels,
        tuple(_draw(line, across, up) for line in kept if line.points),
        tuple(Tick(across(mark), f"{mark:g}") for mark in marks),
        tuple(Tick(up(mark), number_text(mark)) for mark in nice_ticks(low, high, log=log)),
    )


def number_text(value: float) -> str:
    """A number as short as an axis needs it."""
    if 1000 <= abs(value) < 1_000_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0e}"


def nice_ticks(low: float, high: float, *, log: bool = False) -> list[float]:
    """Round values between the limits: steps of 1, 2 or 5 times a power of ten; on a log axis 1, 2, 5 (or powers of ten)."""
    if log:
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            ticks = [step * 10.0**power for power in powers for step in steps]
            ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
            if len(ticks) >= 3:
                return ticks
        return nice_ticks(low, high)
    size = (high - low) / 6
    unit = 10 ** math.floor(math.log10(size))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= size * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def nice_limits(low: float, high: float, *, log: bool = False) -> tuple[float, float]:
    """The limits of an axis: a little more than the values need, and not below 0 where no value is."""
    if log:
        slack = (high / low) ** 0.06 if high > low else 1.3
        return low / slack, high * slack
    slack = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - slack if low - slack >= 0 or low < 0 else 0.0, high + slack


def _whole_ticks(low: float, high: float) -> list[float]:
    if high - low < 1:
        return [low]
    found = [tick for tick in nice_ticks(low, high) if tick == int(tick)]
    return sorted({low, *(tick for tick in found if tick - low >= 1)})


def _finite(line: Line, *, log: bool) -> Line:
    def usable(value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not log)

    points = [(x, y) for x, y in line.points if usable(y)]
    band = [(x, low, high) for x, low, high in line.band if usable(low) and usable(high)]
    return Line(line.name, line.style, points, band)


def _draw(line: Line, across: Scale, up: Scale) -> Drawn:
    places = [(across(x), up(y)) for x, y in line.points]
    forward = [f"{across(x)} {up(high)}" for x, _, high in line.band]
    back = [f"{across(x)} {up(low)}" for x, low, _ in reversed(line.band)]
    few = 1 if len(places) <= 24 else math.ceil(len(places) / 12)
    dots = [(*place, f"{x:g}: {y:.4g}") for place, (x, y) in zip(places, line.points)]
    return Drawn(
        line.name,
        line.style % NUM_STYLES,
        "M" + "L".join(f"{x} {y}" for x, y in places),
        f"M{'L'.join(forward + back)}Z" if forward else "",
        tuple(dots[::few]),
    )
