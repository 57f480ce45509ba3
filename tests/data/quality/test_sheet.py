"""Contact sheets: cells keep their proportions, captions their place."""

import numpy as np

from reid_data.quality.sheet import CELL, contact_sheet
from reid_data.sheets import Strip


def strips(first: str) -> list[Strip]:
    picture = np.full((20, 10, 3), 90, np.uint8)
    return [Strip((picture,) * 4, first), Strip((picture,) * 4, "second")]


def test_a_long_caption_stays_below_its_own_pictures() -> None:
    short, long = contact_sheet(strips("first")), contact_sheet(strips("a reason and another reason, " * 10))
    assert short.shape == long.shape
    middle = short.shape[1] // 3
    assert not np.array_equal(short[:, :middle], long[:, :middle])
    assert np.array_equal(short[:, middle:], long[:, middle:])


def test_pictures_fill_their_cells_and_keep_their_shape() -> None:
    wide = Strip((np.full((10, 40, 3), 7, np.uint8),), "wide")
    sheet = contact_sheet([wide], titles=("one",))
    rows, columns = np.nonzero((sheet == 7).all(axis=2))
    assert columns.max() + 1 - columns.min() == CELL[1]
    assert rows.max() + 1 - rows.min() == CELL[1] // 4
