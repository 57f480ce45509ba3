"""Ranks of the right matches without sorting the gallery.

All that CMC, AP and INP need is, for each right match, how many wrong gallery images are at least as close to the query.
`count_ahead` finds that number tile by tile: fast float32 scores decide the clear cases, and the few wrong images whose
score lies within the rounding band of a match are decided in float64. The counts are therefore those of the exact scores,
whatever the block size, the number of threads or the device.

Ties count against the method: a wrong image that is as close as the right one is ranked before it. The result does not
depend on the order of the gallery, and a model that maps everything to one point is not rewarded for it.

Shape legend: Q queries, S scored gallery rows (junk left out), K width, P pairs, M rows of a query block, N rows of a
gallery tile, T most matches of a query in a block.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reid_train.evaluate.distance import (
    TIE,
    Metric,
    checked_norms,
    rounding_band,
    row_norms,
    spans,
    take_rows,
)
from reid_train.evaluate.matching import Pairs

QUERY_BLOCK = 1024
_TILE_PER_BLOCK = 4
_SAMPLE = 192
_EXACT_ROWS, _MAX_THREADS = 256, 8
_DOUBTFUL_SHARE, _DOUBTFUL_FREE = 1 / 128, 64
_CHUNK = 1 << 20
_MAX_LIMITS = 1 << 21
_SLOW_COLUMNS = 512


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
        width = int(self.columns.max()) + 1
        keys = np.repeat(np.arange(len(self.factor)), np.diff(self.start)) * width + self.columns
        wanted = np.where(column < width, query * width + column, -1)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, self.values[place], 0.0)


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


@dataclass(frozen=True)
class MatchRanks:
    """Ranks of the right matches, by rising query, then rank.

    `rank` is 1-based among the images that are ranked for that query; `order` is 1, 2, ... within a query;
    `num_zero` is the number of scored gallery features that are all zero.
    """

    query: np.ndarray
    order: np.ndarray
    rank: np.ndarray
    num_zero: int


def rank_matches(task: Task, *, block: int = QUERY_BLOCK, device: str | torch.device = "cpu") -> MatchRanks:
    """Rank of every right match; `block` is the number of query rows in a product.

    Raises InputError for gallery features that are not finite.
    """
    pairs = task.pairs
    scores = pair_scores(task)[pairs.is_match]
    query = pairs.query[pairs.is_match]
    by_closeness = np.lexsort((-scores, query))
    start = np.concatenate([[0], np.cumsum(pairs.num_matches())])
    order = np.arange(len(query)) - start[query] + 1
    counter = _Counter(task, scores[by_closeness], start, block, torch.device(device))
    return MatchRanks(query, order, order + counter.count(), counter.num_zero)


def pair_scores(task: Task) -> np.ndarray:
    """Exact adjusted scores (P,) float64 of all pairs, in their order.

    Many tiny products: numpy makes them on the CPU, a batch of identities to a thread, whatever the device of the rest.
    """
    pairs = task.pairs
    products, norms = np.empty(len(pairs.query)), np.empty(len(task.scored))

    def fill(pieces: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
        queries = np.concatenate([queries for queries, _, _ in pieces])
        columns = np.concatenate([columns for _, columns, _ in pieces])
        queries_K = take_rows(task.queries, queries).numpy().astype(np.float64)
        gallery_K = take_rows(task.gallery, task.scored[columns]).numpy().astype(np.float64)
        norms[columns] = np.sqrt(np.einsum("nk,nk->n", gallery_K, gallery_K))
        row, line = 0, 0
        for queries, columns, offset in pieces:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported by checked_norms
                block = queries_K[row : row + len(queries)] @ gallery_K[line : line + len(columns)].T
            products[pairs.start[queries, None] + offset + np.arange(len(columns))] = block
            row, line = row + len(queries), line + len(columns)

    with ThreadPoolExecutor(min(torch.get_num_threads(), _MAX_THREADS)) as pool:
        list(pool.map(fill, _batches(pairs.groups())))
    scores = task.metric.finish(torch.from_numpy(products), torch.from_numpy(norms[pairs.column])).numpy()
    return task.adjusted(scores, pairs.query, pairs.column)


def _batches(groups: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[list[tuple[np.ndarray, np.ndarray, int]]]:
    """Groups cut into (queries, columns, number of columns before) of bounded size, several to a list: fewer conversions."""
    batch: list[tuple[np.ndarray, np.ndarray, int]] = []
    rows = 0
    for queries, columns in groups:
        for a, b in spans(len(queries), _EXACT_ROWS):
            for c, d in spans(len(columns), _EXACT_ROWS):
                if rows + b - a + d - c > _EXACT_ROWS and batch:
                    yield batch
                    batch, rows = [], 0
                batch.append((queries[a:b], columns[c:d], c))
                rows += b - a + d - c
    if batch:
        yield batch


class _Counter:
    """Counts, tile by tile, the wrong images at least as close as each match (matches by query, falling score)."""

    def __init__(self, task: Task, scores: np.ndarray, start: np.ndarray, block: int, device: torch.device) -> None:
        self.task, self.scores, self.start, self.device = task, scores, start, device
        self.active = np.flatnonzero(np.diff(start))
        most = int(np.diff(start).max(initial=1))
        self.block = max(1, min(block, len(self.active), _MAX_LIMITS // most))
        self.tile = max(1, min(_TILE_PER_BLOCK * block, len(task.scored)))
        self.ahead = np.zeros(len(scores), np.int64)
        self.num_zero = 0
        self.buffers = [torch.empty(self.block * self.tile, device=device) for _ in range(2)]
        sample = [
            take_rows(rows, _evenly(index), device)
            for rows, index in ((task.queries, self.active), (task.gallery, task.scored))
        ]
        self.band = rounding_band(task.metric, sample[0], sample[1])
        self._index_pairs()

    def _index_pairs(self) -> None:
        """Order the pairs by (tile, query block), so that each product finds its own in one slice."""
        pairs = self.task.pairs
        position = np.full(len(pairs.query_pids), -1)
        position[self.active] = np.arange(len(self.active))
        kept = np.flatnonzero(position[pairs.query] >= 0)
        row, column = position[pairs.query[kept]], pairs.column[kept]
        self.num_blocks = -(-len(self.active) // self.block)
        num_tiles = -(-len(self.task.scored) // self.tile)
        key = (column // self.tile) * self.num_blocks + row // self.block
        order = np.argsort(key, kind="stable")
        self.pair_row, self.pair_column = row[order], column[order]
        self.pair_start = np.searchsorted(key[order], np.arange(num_tiles * self.num_blocks + 1))

    def count(self) -> np.ndarray:
        """The counts, one per match."""
        for tile, (first, last) in enumerate(spans(len(self.task.scored), self.tile)):
            index = self.task.scored[first:last]
            gallery_NK = take_rows(self.task.gallery, index, self.device)
            norms_N = checked_norms(gallery_NK, index, "gallery")
            self.num_zero += int((norms_N == 0).sum())
            for number, (begin, end) in enumerate(spans(len(self.active), self.block)):
                slot = tile * self.num_blocks + number
                own = slice(self.pair_start[slot], self.pair_start[slot + 1])
                piece = _Piece(self.active[begin:end], first, self.pair_row[own] - begin, self.pair_column[own] - first)
                self._count_piece(piece, gallery_NK, norms_N)
        return self.ahead

    def _count_piece(self, piece: "_Piece", gallery_NK: torch.Tensor, norms_N: torch.Tensor) -> None:
        queries_MK = take_rows(self.task.queries, piece.queries, self.device)
        counts = np.diff(self.start)[piece.queries]
        own = np.repeat(self.start[piece.queries], counts) + _ranges(counts)
        filled = torch.zeros((len(counts), int(counts.max())), dtype=torch.bool, device=self.device)
        filled[np.repeat(np.arange(len(counts)), counts), _ranges(counts)] = True
        limits_MT = torch.full(filled.shape, float("inf"), dtype=torch.float64, device=self.device)
        limits_MT[filled] = torch.from_numpy(self.scores[own]).to(self.device)
        ahead_MT = self._fast(piece, queries_MK, gallery_NK, norms_N, limits_MT)
        if ahead_MT is None:
            ahead_MT = self._slow(piece, queries_MK, gallery_NK, limits_MT)
        self.ahead[own] += ahead_MT[filled].cpu().numpy()

    def _fast(
        self,
        piece: "_Piece",
        queries_MK: torch.Tensor,
        gallery_NK: torch.Tensor,
        norms_N: torch.Tensor,
        limits_MT: torch.Tensor,
    ) -> torch.Tensor | None:
        """Counts (M, T) from float32 scores; None if too many of them fall within the rounding band of a match."""
        scores_MN = self.task.metric.tile(queries_MK, gallery_NK, norms_N, self.buffers[0])
        band_M1 = self.band * self.task.metric.magnitude(row_norms(queries_MK), norms_N.max())[:, None]
        self._adjust(piece, scores_MN, band_M1)
        low_MT, high_MT = (limits_MT - band_M1).float(), (limits_MT + band_M1).float()
        rising_MN = _sorted_rows(scores_MN, low_MT, self.buffers[1])
        ahead_MT = len(norms_N) - torch.searchsorted(rising_MN, high_MT)
        doubtful_MT = len(norms_N) - torch.searchsorted(rising_MN, low_MT) - ahead_MT
        num_doubtful = int(doubtful_MT.sum())
        if num_doubtful > max(_DOUBTFUL_SHARE * scores_MN.numel(), _DOUBTFUL_FREE):
            return None
        if num_doubtful:
            row, match = doubtful_MT.nonzero(as_tuple=True)
            for a, b in spans(len(row), max(1, _CHUNK // len(norms_N))):
                lines = scores_MN[row[a:b]]
                inside = (lines >= low_MT[row[a:b], match[a:b], None]) & (lines < high_MT[row[a:b], match[a:b], None])
                event, column = inside.nonzero(as_tuple=True)
                event += a
                closer = self._closer(
                    piece, queries_MK, gallery_NK, row[event], column, limits_MT[row[event], match[event]]
                )
                ahead_MT.index_put_((row[event], match[event]), closer.long(), accumulate=True)
        return ahead_MT

    def _adjust(self, piece: "_Piece", scores_MN: torch.Tensor, band_M1: torch.Tensor) -> None:
        """Apply the adjustment in place and take the pairs of one identity out of the ranking."""
        if self.task.adjustment is not None:
            factor_M1 = torch.from_numpy(self.task.adjustment.factor[piece.queries, None]).to(band_M1)
            row, column, value = self.task.adjustment.entries(
                piece.queries, piece.first, piece.first + scores_MN.shape[1]
            )
            scores_MN.mul_(factor_M1)
            scores_MN[row, column] += torch.from_numpy(value).to(scores_MN)
            band_M1.mul_(factor_M1)
        scores_MN[piece.row, piece.column] = float("-inf")

    def _closer(
        self,
        piece: "_Piece",
        queries_MK: torch.Tensor,
        gallery_NK: torch.Tensor,
        row: torch.Tensor,
        column: torch.Tensor,
        limit: torch.Tensor,
    ) -> torch.Tensor:
        """Decide in float64 whether image `column` is at least as close to query `row` as the match that scores `limit`."""
        answers = []
        for a, b in spans(len(row), max(1, _CHUNK // queries_MK.shape[1])):
            scores, magnitude = self.task.metric.exact_pairs(queries_MK[row[a:b]], gallery_NK[column[a:b]])
            if self.task.adjustment is not None:
                query, scored = piece.queries[row[a:b].cpu().numpy()], piece.first + column[a:b].cpu().numpy()
                scores = torch.from_numpy(self.task.adjusted(scores.cpu().numpy(), query, scored)).to(scores)
                magnitude = magnitude * torch.from_numpy(self.task.adjustment.factor[query]).to(scores)
            answers.append(scores + TIE * magnitude >= limit[a:b])
        return torch.cat(answers)

    def _slow(
        self, piece: "_Piece", queries_MK: torch.Tensor, gallery_NK: torch.Tensor, limits_MT: torch.Tensor
    ) -> torch.Tensor:
        """Counts (M, T) from float64 scores throughout, for features that float32 cannot tell apart."""
        ahead_MT = torch.zeros(limits_MT.shape, dtype=torch.int64, device=self.device)
        norms_M1 = row_norms(queries_MK.double())[:, None]
        for a, b in spans(len(gallery_NK), _SLOW_COLUMNS):
            scores_MN = self.task.metric.exact(queries_MK, gallery_NK[a:b])
            slack_MN = TIE * self.task.metric.magnitude(norms_M1, row_norms(gallery_NK[a:b].double())[None, :])
            self._adjust(piece.columns(a, b), scores_MN, slack_MN)
            scores_MN += slack_MN
            rising_MN = _sorted_rows(scores_MN, limits_MT, torch.empty_like(scores_MN).view(-1))
            ahead_MT += (b - a) - torch.searchsorted(rising_MN, limits_MT)
        return ahead_MT


@dataclass(frozen=True)
class _Piece:
    """One product: which queries, the first column of the tile, and its pairs as (row, column) within it."""

    queries: np.ndarray
    first: int
    row: np.ndarray
    column: np.ndarray

    def columns(self, start: int, stop: int) -> "_Piece":
        """The part between two columns of the tile."""
        inside = (self.column >= start) & (self.column < stop)
        return _Piece(self.queries, self.first + start, self.row[inside], self.column[inside] - start)


def _sorted_rows(scores_MN: torch.Tensor, limits_MT: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """Each row in rising order, into `buffer` on a CPU; what lies below all limits of its row becomes one small value.

    numpy sorts values with vector instructions, and the faster the more of them are equal; torch does neither.
    """
    floor_M1 = torch.nextafter(limits_MT.amin(1, keepdim=True), limits_MT.new_tensor(float("-inf")))
    rising_MN = torch.maximum(scores_MN, floor_M1, out=buffer[: scores_MN.numel()].view(scores_MN.shape))
    if rising_MN.device.type != "cpu":
        return rising_MN.sort(dim=1).values
    parts = np.array_split(rising_MN.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return rising_MN


def _ranges(counts: np.ndarray) -> np.ndarray:
    """0 .. c-1 for each c in `counts`, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _evenly(index: np.ndarray) -> np.ndarray:
    return index[:: max(1, len(index) // _SAMPLE)][:_SAMPLE]
