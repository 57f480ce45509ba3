"""Pictures of rows and columns to look at: contact sheets, ranked lists. Drawn here and nowhere else."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reid_data.files import printable
from reid_data.images import resize

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (40, 40, 40)
AROUND: Colour = (235, 235, 235)
"""Beside a picture that has not the shape of its cell."""
MISSING: Colour = (200, 200, 200)
"""The cell of a picture that could not be had."""

GAP = 6
BORDER = 4
LINE = 14
"""Height of a line of text."""

_MOST_TEXT = 400


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together, (H, W, 3) uint8 RGB of any size each (None: missing), and a caption below them all.

    `captions` and `borders` belong to the single pictures, in their order; there may be none of them.
    """

    pictures: tuple[np.ndarray | None, ...]
    caption: str = ""
    captions: tuple[str, ...] = ()
    borders: tuple[Colour, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """Lengths in pixels: of a cell with its border, of the place of a strip with the gaps after it, of what parts two strips."""

    cell: tuple[int, int]
    border: int
    gap: int
    lead: int
    top: int
    strip: tuple[int, int]
    apart: int

    def corner(self, row: int, column: int, picture: int) -> tuple[int, int]:
        """(x, y) of the upper left corner of a picture with its border."""
        x = self.gap + column * self.strip[1] + picture * (self.cell[1] + self.gap)
        return x + (self.lead if picture else 0), self.top + row * self.strip[0]


def draw_sheet(
    strips: Sequence[Strip],
    cell: tuple[int, int],
    *,
    titles: Sequence[str] = (),
    columns: int = 1,
    gap: int = GAP,
    lead: int = 0,
) -> np.ndarray:
    """`strips` from left to right and top to bottom, `columns` of them beside each other: (H, W, 3) uint8 RGB.

    Pictures keep their shape within `cell` = (height, width). `titles` stand above the pictures of the first row; `lead` is
    more room after the first picture of a strip. Text that has no room is cut and ends in an ellipsis, and characters that
    the font lacks become question marks. Lines for text, and room for borders, are there if any strip has some.
    """
    layout = _plan(strips, cell, titles, columns, gap, lead)
    rows = max(1, -(-len(strips) // columns))
    size = (gap + columns * layout.strip[1] - layout.apart, layout.top + rows * layout.strip[0])
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    for column in range(min(columns, len(strips))):
        for number, title in enumerate(titles):
            x, y = layout.corner(0, column, number)
            _write(pen, (x, y - LINE), title, layout.cell[1])
    for index, strip in enumerate(strips):
        _draw_strip(canvas, pen, strip, layout, *divmod(index, columns))
    return np.asarray(canvas)


def _plan(
    strips: Sequence[Strip], cell: tuple[int, int], titles: Sequence[str], columns: int, gap: int, lead: int
) -> _Layout:
    border = BORDER if any(strip.borders for strip in strips) else 0
    outer = (cell[0] + 2 * border, cell[1] + 2 * border)
    lines = any(any(strip.captions) for strip in strips) + any(bool(strip.caption) for strip in strips)
    most = max([1, len(titles), *(len(strip.pictures) for strip in strips)])
    apart = 2 * gap if columns > 1 else 0
    place = (outer[0] + lines * LINE + gap, most * (outer[1] + gap) + lead + apart)
    return _Layout(outer, border, gap, lead, gap + (LINE if titles else 0), place, apart)


def _draw_strip(
    canvas: Image.Image, pen: ImageDraw.ImageDraw, strip: Strip, layout: _Layout, row: int, column: int
) -> None:
    height, width = layout.cell
    for number, picture in enumerate(strip.pictures):
        x, y = layout.corner(row, column, number)
        if number < len(strip.borders):
            pen.rectangle((x, y, x + width - 1, y + height - 1), strip.borders[number])
        inner = (height - 2 * layout.border, width - 2 * layout.border)
        canvas.paste(_fit(picture, inner), (x + layout.border, y + layout.border))
        if number < len(strip.captions):
            _write(pen, (x, y + height + 1), strip.captions[number], width + layout.gap - 2)
    x, y = layout.corner(row, column, 0)
    below = y + height + 1 + (LINE if any(strip.captions) else 0)
    last = layout.corner(row, column, max(0, len(strip.pictures) - 1))[0] + width
    _write(pen, (x, below), strip.caption, last - x)


def _fit(picture: np.ndarray | None, cell: tuple[int, int]) -> Image.Image:
    """A picture scaled into a cell."""
    if picture is None:
        return Image.new("RGB", (cell[1], cell[0]), MISSING)
    scale = min(cell[0] / picture.shape[0], cell[1] / picture.shape[1])
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    whole = Image.new("RGB", (cell[1], cell[0]), AROUND)
    small = Image.fromarray(resize(picture, (height, width)))
    whole.paste(small, ((cell[1] - width) // 2, (cell[0] - height) // 2))
    return whole


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, room: int) -> None:
    pen.text(corner, fit_text(text, room), INK, _font())


def fit_text(text: str, room: int) -> str:
    """`text` as it is drawn: in one line, in characters that the font has, cut to `room` pixels."""
    plain = "".join(char if _has(char) else "?" for char in printable(text[:_MOST_TEXT]))
    if _font().getlength(plain) <= room and len(text) <= _MOST_TEXT:
        return plain
    fitting = bisect_right(range(len(plain) + 1), room, key=lambda num: math.ceil(_font().getlength(plain[:num] + "…")))
    return plain[: fitting - 1] + "…" if fitting else ""


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=11)


@cache
def _has(char: str) -> bool:
    """Whether the font has the character: it draws one and the same box for all that it lacks."""
    return char == " " or bytes(_font().getmask(char)) != bytes(_font().getmask("\U0010ffff"))
