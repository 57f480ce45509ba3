"""What Segment Anything is asked about a crop: where the small network sees the person, as box, points and a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import cv2
import numpy as np

PERSON, BACKGROUND, NOTHING = 1, 0, -1
"""The labels of points, as Segment Anything has them."""

MARGIN = 0.02
"""Added to each side of the person's box, as a share of the crop."""

INSIDE, OUTSIDE = 3, 4
"""Points on the person, and off him."""

APART = 24
"""Pixels of a (128, 64) mask that points off the person keep between each other."""

SURELY_OFF = 0.2
LEAST = 0.01
CONTRAST = 4.0
"""The mask as a prompt: logits of chances in LEAST ... 1 - LEAST, times CONTRAST."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of N crops as shares of width and height: `points` (N, P, 2) float32 in (x, y), `labels` (N, P) int64, `boxes`
    (N, 4) float32, and `chances` (N, 128, 64) float32, the masks themselves."""

    points: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    chances: np.ndarray

    @classmethod
    def of(cls, chances: Sequence[np.ndarray]) -> Self:
        """The prompts for (H, W) float32 masks of one size that each hold one person."""
        found = [points_of(chance) for chance in chances]
        return cls(
            np.stack([points for points, _ in found]),
            np.stack([labels for _, labels in found]),
            np.stack([box_of(chance > 0.5) for chance in chances]),
            np.stack(chances),
        )

    def __getitem__(self, rows: Sequence[int]) -> "Prompts":
        return Prompts(self.points[rows], self.labels[rows], self.boxes[rows], self.chances[rows])

    def mask(self, sizes: Sequence[tuple[int, int]], height: int, width: int) -> np.ndarray:
        """(N, 1, height, width) float32: the masks as logits, each at its `sizes` in the upper left corner, nobody elsewhere."""
        planes = np.full((len(sizes), 1, height, width), CONTRAST * logit(0.0), np.float32)
        for row, (tall, wide) in enumerate(sizes):
            planes[row, 0, :tall, :wide] = cv2.resize(CONTRAST * logit(self.chances[row]), (wide, tall))
        return planes


def logit(chance: np.ndarray | float) -> np.ndarray:
    """log p / (1 - p) of p in LEAST ... 1 - LEAST, float32."""
    clipped = np.clip(chance, LEAST, 1 - LEAST)
    found: np.ndarray = np.log(clipped / (1 - clipped)).astype(np.float32)
    return found


def box_of(mask: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of a bool mask with MARGIN, as shares."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    box = np.array([columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height])
    return np.clip(box + np.array([-MARGIN, -MARGIN, MARGIN, MARGIN]), 0, 1).astype(np.float32)


def points_of(chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) points as shares and (P,) labels: the deepest of the person in each of INSIDE bands from head to feet, and OUTSIDE
    that are farthest from him, spread out; NOTHING where there is none."""
    mask = chance > 0.5
    rows = np.flatnonzero(mask.any(axis=1))
    depth = _depth(mask)
    edges = np.linspace(rows[0], rows[-1] + 1, INSIDE + 1)
    found = []
    for top, bottom in pairwise(edges):
        first = int(top)
        found.append(_deepest(depth[first : int(np.ceil(bottom))], first, PERSON))
    away = _depth(chance < SURELY_OFF)
    for _ in range(OUTSIDE):
        x, y, label = _deepest(away, 0, BACKGROUND)
        found.append((x, y, label))
        cv2.circle(away, (int(x), int(y)), APART, 0.0, -1)
    answer = np.array(found)
    scale = np.array([mask.shape[1], mask.shape[0]])
    return (answer[:, :2] / scale).astype(np.float32), answer[:, 2].astype(np.int64)


def _depth(mask: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)


def _deepest(depth: np.ndarray, first_row: int, label: int) -> tuple[float, float, int]:
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return column + 0.5, row + first_row + 0.5, label if depth[row, column] > 0 else NOTHING
