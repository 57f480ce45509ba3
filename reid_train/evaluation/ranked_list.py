"""Ranked lists to look at: each query with its closest gallery images, right, wrong or ignored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid_data.errors import ImageError
from reid_data.images import resize
from reid_data.records import JUNK_PID
from reid_data.sheets import GAP, Strip, draw_sheet

BORDERS = {"right": (0, 158, 115), "wrong": (213, 60, 0), "ignored": (150, 150, 150), "query": (0, 90, 180)}
_MARKS = {"right": "+", "wrong": "x", "ignored": "o"}
_CELL = (128, 64)


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
    strips = []
    for ranked in lists:
        captions = ["no match" if np.isnan(ranked.ap) else f"AP {100 * ranked.ap:.1f}"]
        rank = 0
        for entry in ranked.entries:
            rank += entry.verdict != "ignored"
            number = "-" if entry.verdict == "ignored" else str(rank)
            captions.append(f"{_MARKS[entry.verdict]} {number}  {entry.score:.3f}")
        pictures = [_read(query_image, ranked.query), *(_read(gallery_image, entry.row) for entry in ranked.entries)]
        borders = [BORDERS["query"], *(BORDERS[entry.verdict] for entry in ranked.entries)]
        strips.append(Strip(tuple(pictures), captions=tuple(captions), borders=tuple(borders)))
    return draw_sheet(strips, _CELL, lead=GAP)


def _read(image: Callable[[int], np.ndarray], row: int) -> np.ndarray | None:
    try:
        return resize(image(row), _CELL)
    except ImageError:
        return None
