"""What is ranked: features, pairs, metric, and re-ranking as an adjustment of the scores.

Shape legend: Q queries, S scored gallery rows (junk left out), P pairs (query, scored row).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reid_train.evaluation.distance import Metric
from reid_train.evaluation.matching import Pairs


@dataclass(frozen=True)
class Adjustment:
    """Re-ranking as a change of the scores: `factor[q]` * score + `bonus[q, column]`.

    `factor` is (Q,) float64, not negative. The bonus is sparse: `start` (Q + 1,), `columns` (rising within a query,
    counted in the scored gallery) and `values` float64.
    """

    factor: np.ndarray
    start: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def entries(self, queries: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(position in `queries`, column - first, value) of the stored bonuses with first <= column < last."""
        counts = self.start[queries + 1] - self.start[queries]
        row = np.repeat(np.arange(len(queries)), counts)
        begins = np.repeat(self.start[queries] - np.cumsum(counts) + counts, counts)
        place = np.arange(len(row)) + begins
        inside = (self.columns[place] >= first) & (self.columns[place] < last)
        return row[inside], self.columns[place[inside]] - first, self.values[place[inside]]

    def at(self, query: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Bonus (P,) of pairs; 0 where none is stored."""
        if not len(self.values):
            return np.zeros(len(query))
        width, keys = self._keys
        wanted = np.where(column < width, query * width + column, -1)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, self.values[place], 0.0)

    @cached_property
    def _keys(self) -> tuple[int, np.ndarray]:
        """One rising number for each stored (query, column), and the width they are made with."""
        width = int(self.columns.max()) + 1
        return width, np.repeat(np.arange(len(self.factor)), np.diff(self.start)) * width + self.columns


@dataclass(frozen=True)
class Task:
    """What is ranked: features, the gallery rows that are scored, the pairs, the metric, the adjustment."""

    queries: Any
    gallery: Any
    scored: np.ndarray
    pairs: Pairs
    metric: Metric
    adjustment: Adjustment | None = None

    def adjusted(self, scores: np.ndarray, query: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Exact scores (P,) of pairs after the adjustment."""
        if self.adjustment is None:
            return scores
        return scores * self.adjustment.factor[query] + self.adjustment.at(query, column)
