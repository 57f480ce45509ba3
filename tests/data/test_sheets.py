"""The drawer of sheets: where pictures, borders and texts stand, and what is cut."""

import numpy as np
import pytest
from PIL import ImageFont

from reid_data.sheets import AROUND, BORDER, GAP, LINE, MISSING, PAPER, Strip, draw_sheet, fit_text

CELL = (40, 20)


def plain(number: int, size: tuple[int, int] = CELL) -> np.ndarray:
    """A picture of one colour that no other number has."""
    return np.full((*size, 3), (200, 3 * number, 100), np.uint8)


def box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what has this colour, which must fill it."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    found = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    assert len(rows) == (found[2] - found[0]) * (found[3] - found[1])
    return found


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
@pytest.mark.parametrize("num", [1, 2, 3, 7])
def test_pictures_stand_in_order_and_do_not_touch(num: int, columns: int) -> None:
    strips = [Strip(tuple(plain(3 * row + k) for k in range(3))) for row in range(num)]
    sheet = draw_sheet(strips, CELL, columns=columns)
    boxes = np.array([[box(sheet, (200, 3 * (3 * row + k), 100)) for k in range(3)] for row in range(num)])
    assert ((boxes[..., 2] - boxes[..., 0]) == CELL[0]).all()
    assert ((boxes[..., 3] - boxes[..., 1]) == CELL[1]).all()
    assert (np.diff(boxes[..., 1], axis=1) == CELL[1] + GAP).all()
    wide, high = boxes[0, 2, 3] - boxes[0, 0, 1] + GAP + (2 * GAP if columns > 1 else 0), CELL[0] + GAP
    for row in range(num):
        assert tuple(boxes[row, 0, :2]) == (GAP + row // columns * high, GAP + row % columns * wide)
    assert sheet.shape == (GAP + -(-num // columns) * high, sheet.shape[1], 3)
    assert sheet.shape[1] - boxes[min(num, columns) - 1, 2, 3] >= GAP
    others = (sheet != PAPER).any(axis=2).sum()
    assert others == num * 3 * CELL[0] * CELL[1], "nothing else is drawn"


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (1, 1), (1, 500), (500, 1), (80, 40), (13, 7)])
def test_a_picture_keeps_its_shape_in_the_middle_of_its_cell(size: tuple[int, int]) -> None:
    sheet = draw_sheet([Strip((plain(1, size),))], CELL)
    top, left, bottom, right = (length - GAP for length in box(sheet, (200, 3, 100)))
    scale = min(CELL[0] / size[0], CELL[1] / size[1])
    assert (bottom - top, right - left) == tuple(max(1, round(length * scale)) for length in size)
    assert abs(top - (CELL[0] - bottom)) <= 1
    assert abs(left - (CELL[1] - right)) <= 1
    around = int((sheet == AROUND).all(axis=2).sum())
    assert around == CELL[0] * CELL[1] - (bottom - top) * (right - left)


def test_borders_and_missing_pictures() -> None:
    colours = ((1, 2, 3), (4, 5, 6))
    sheet = draw_sheet([Strip((plain(1), None), borders=colours), Strip((plain(2),))], CELL, lead=9)
    top, left, bottom, right = box(sheet, (200, 3, 100))
    assert (top, left) == (GAP + BORDER, GAP + BORDER)
    framed = sheet[top - BORDER : bottom + BORDER, left - BORDER : right + BORDER]
    assert (framed == colours[0]).all(axis=2).sum() == framed.shape[0] * framed.shape[1] - CELL[0] * CELL[1]
    grey = box(sheet, MISSING)
    assert (grey[0], grey[1]) == (top, left + CELL[1] + 2 * BORDER + GAP + 9)
    assert tuple(sheet[grey[0] - 1, grey[1]]) == colours[1]
    assert box(sheet, (200, 6, 100))[1] == left, "a strip without borders stands under the others"


def test_without_gaps_a_sheet_is_the_pictures_put_together() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, *CELL, 3), np.uint8)
    expected = np.vstack([np.hstack(row) for row in pictures])
    assert np.array_equal(draw_sheet([Strip(tuple(row)) for row in pictures], CELL, gap=0), expected)


def test_texts_stand_where_they_belong() -> None:
    pair = (plain(1), plain(1))
    sheets = {
        "none": Strip(pair),
        "one": Strip(pair, captions=("", "HHH")),
        "all": Strip(pair, caption="HHH HHH"),
        "both": Strip(pair, caption="HHH HHH", captions=("HHH", "HHH")),
    }
    drawn = {name: draw_sheet([strip], CELL) for name, strip in sheets.items()}
    heights = {name: sheet.shape[0] - drawn["none"].shape[0] for name, sheet in drawn.items()}
    assert heights == {"none": 0, "one": LINE, "all": LINE, "both": 2 * LINE}
    ink = {name: (sheet < 150).all(axis=2)[GAP + CELL[0] :] for name, sheet in drawn.items()}
    assert not ink["one"][:, : GAP + CELL[1]].any()
    assert ink["one"][:LINE, 2 * GAP + CELL[1] :].any()
    assert ink["all"][:LINE, : GAP + CELL[1]].any()
    assert ink["both"][:LINE].any()
    assert ink["both"][LINE : 2 * LINE].any()


def test_titles_stand_above_the_first_row_of_each_column() -> None:
    strips = [Strip((plain(1),)) for _ in range(4)]
    bare, titled = draw_sheet(strips, CELL, columns=2), draw_sheet(strips, CELL, columns=2, titles=("HH",))
    assert np.array_equal(titled[LINE + GAP :], bare[GAP:])
    middle = titled.shape[1] // 2
    above = (titled[: LINE + GAP] < 150).all(axis=2)
    assert above[:, :middle].any()
    assert above[:, middle:].any()


@pytest.mark.parametrize("columns", [1, 3])
def test_a_sheet_of_nothing_is_white(columns: int) -> None:
    for strips in ([], [Strip(())]):
        assert (draw_sheet(strips, CELL, columns=columns) == PAPER).all()


@pytest.mark.parametrize("room", [0, 1, 7, 10, 30, 100, 1000])
@pytest.mark.parametrize("text", ["", "short", "a reason and another reason, " * 10, "W" * 5000, "i" * 401])
def test_text_is_cut_to_what_fits_and_no_more(text: str, room: int) -> None:
    font = ImageFont.load_default(size=11)
    fitting = fit_text(text, room)
    assert font.getlength(fitting) <= room
    if fitting != text:
        assert fitting == "" or (fitting.endswith("…") and text.startswith(fitting[:-1]))
        longer = text[: max(0, len(fitting) - 1) + bool(fitting)] + "…"
        assert font.getlength(longer) > room or len(fitting) > 400


def test_what_the_font_lacks_and_control_characters() -> None:
    assert fit_text("Übung 北京 ok", 1000) == "?bung ?? ok"
    assert fit_text("a\nb\x1b[31m\x00", 1000) == "a\\nb\\x1b[31m\\x00"
    assert fit_text("\udcff", 1000) == "\\udcff"
    assert fit_text("“so” …", 1000) == "“so” …"
