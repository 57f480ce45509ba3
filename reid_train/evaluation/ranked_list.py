"""Ranked lists to look at: each query with its closest gallery images, right, wrong or ignored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reid_data.errors import ImageError
from reid_data.images import resize
from reid_data.records import JUNK_PID

BORDERS = {"right": (0, 158, 115), "wrong": (213, 60, 0), "ignored": (150, 150, 150), "query": (0, 90, 180)}
_MARKS = {"right": "+", "wrong": "x", "ignored": "o"}
_CELL, _BORDER, _TEXT, _GAP = (128, 64), 4, 14, 6


@dataclass(frozen=True)
class Entry:
    """One gallery image of a list: its row, its cosine (euclidean: distance), and `right`, `wrong` or `ignored`."""

    row: int
    score: float
    verdict: str


@dataclass(frozen=True)
class RankedList:
    """A query (row, person, camera, AP; NaN without a valid match) and its closest images, nearest first."""

    query: int
    pid: int
    camid: int
    ap: float
    entries: tuple[Entry, ...]


def worst_first(ap: np.ndarray, num: int) -> np.ndarray:
    """Rows of the `num` queries with the lowest AP, lowest first, equal ones by row; queries without a match are left out."""
    order = np.argsort(np.where(np.isnan(ap), np.inf, ap), kind="stable")
    return order[: min(num, int((~np.isnan(ap)).sum()))]


def ranked_lists(
    arrays: Sequence[Any],
    ap: np.ndarray,
    chosen: np.ndarray,
    *,
    top: int = 10,
    metric: str = "cosine",
    camera_rule: bool = True,
) -> list[RankedList]:
    """The `top` closest gallery images of the `chosen` queries, ignored ones included where they stand.

    `arrays` are the six arguments of `protocol.evaluate`; `ap` (Q,) its per-query AP.
    """
    from reid_train.evaluation.distance import take_rows
    from reid_train.evaluation.expansion import closest

    query_feats, query_pids, query_camids, gallery_feats, gallery_pids, gallery_camids = arrays
    rising = np.sort(chosen)
    index, score = closest(take_rows(query_feats, rising), gallery_feats, top, metric=metric)
    lists = []
    for query in chosen:
        place = int(np.searchsorted(rising, query))
        pid, camid = int(query_pids[query]), int(query_camids[query])
        entries = []
        for row, value in zip(index[place], score[place]):
            same = gallery_pids[row] == pid
            ignored = gallery_pids[row] == JUNK_PID or (same and camera_rule and gallery_camids[row] == camid)
            entries.append(Entry(int(row), float(value), "ignored" if ignored else "right" if same else "wrong"))
        lists.append(RankedList(int(query), pid, camid, float(ap[query]), tuple(entries)))
    return lists


def draw_lists(
    lists: Sequence[RankedList], query_image: Callable[[int], np.ndarray], gallery_image: Callable[[int], np.ndarray]
) -> np.ndarray:
    """One picture (H, W, 3) uint8 RGB: a row for each list, the query at the left, rank and score below each image.

    Borders are green with a plus for right, orange with a cross for wrong, grey with a ring for ignored. The functions
    give an image (h, w, 3) uint8 RGB by row; one that raises ImageError leaves a grey cell.
    """
    height, width = _CELL[0] + 2 * _BORDER + _TEXT + _GAP, _CELL[1] + 2 * _BORDER + _GAP
    columns = 1 + max((len(ranked.entries) for ranked in lists), default=0)
    canvas = Image.new("RGB", (columns * width + 2 * _GAP, max(1, len(lists)) * height + _GAP), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11)
    for line, ranked in enumerate(lists):
        top = _GAP + line * height
        _cell(canvas, _GAP, top, _read(query_image, ranked.query), BORDERS["query"])
        caption = "no match" if np.isnan(ranked.ap) else f"AP {100 * ranked.ap:.1f}"
        pen.text((_GAP, top + height - _TEXT - _GAP + 1), caption, (0, 0, 0), font)
        rank = 0
        for column, entry in enumerate(ranked.entries, start=1):
            rank += entry.verdict != "ignored"
            left = 2 * _GAP + column * width
            _cell(canvas, left, top, _read(gallery_image, entry.row), BORDERS[entry.verdict])
            number = "-" if entry.verdict == "ignored" else str(rank)
            pen.text(
                (left, top + height - _TEXT - _GAP + 1),
                f"{_MARKS[entry.verdict]} {number}  {entry.score:.3f}",
                (0, 0, 0),
                font,
            )
    return np.asarray(canvas)


def _read(image: Callable[[int], np.ndarray], row: int) -> np.ndarray:
    try:
        return resize(image(row), _CELL)
    except ImageError:
        return np.full((*_CELL, 3), 200, np.uint8)


def _cell(canvas: Image.Image, left: int, top: int, image: np.ndarray, border: tuple[int, int, int]) -> None:
    framed = Image.new("RGB", (_CELL[1] + 2 * _BORDER, _CELL[0] + 2 * _BORDER), border)
    framed.paste(Image.fromarray(image), (_BORDER, _BORDER))
    canvas.paste(framed, (left, top))
