"""The picture of a training."""

import math

import numpy as np

from reid_train.runs.curves import COLOURS, HEIGHT, PANELS, WIDTH, draw_curves


def row(epoch: int, **values: float) -> dict[str, float]:
    names = [name for panel in PANELS for name in panel.names]
    return {"epoch": epoch, **dict.fromkeys(names, 0.5), **values}


def lowest_and_highest(picture: np.ndarray, panel: int, colour: int) -> tuple[int, int]:
    """Rows of the curve's ends: in the first and in the last column that it touches."""
    left, top = panel % 3 * WIDTH, panel // 3 * HEIGHT
    mask = (picture[top : top + HEIGHT, left : left + WIDTH] == COLOURS[colour]).all(2)
    columns = np.flatnonzero(mask.any(0))
    return int(np.flatnonzero(mask[:, columns[0]]).mean()), int(np.flatnonzero(mask[:, columns[-1]]).mean())


def test_curves_rise_and_fall_as_the_values_do() -> None:
    rows = [row(epoch, loss=5 - epoch, accuracy=epoch / 5, lr=10.0**-epoch) for epoch in range(1, 5)]
    picture = draw_curves(rows)
    assert picture.shape == (2 * HEIGHT, 3 * WIDTH, 3)
    start, end = lowest_and_highest(picture, 0, 0)
    assert end > start + 100, "the loss falls"
    start, end = lowest_and_highest(picture, 1, 0)
    assert end < start - 100, "the accuracy rises"


def test_short_empty_and_broken_rows_are_drawn() -> None:
    for rows in ([], [row(1)], [row(1), row(2, loss=math.nan, lr=0.0)], [{"epoch": 1.0}]):
        assert draw_curves(rows).dtype == np.uint8
