"""How many wrong images are at least as close as each right match, tile by tile; nothing of size Q x S is ever held.

Fast float32 scores decide the clear cases. A wrong image whose fast score lies within the rounding band of a match is
looked at again in float64; where too many do, the whole tile is. The counts are those of the exact scores, whatever the
block size, the number of threads or the device.

Shape legend: Q queries, S scored gallery rows (junk left out), K width, M rows of a query block, N rows of a gallery tile,
T most matches of a query in a block.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from reid_train.evaluate.distance import TIE, checked_norms, rounding_band, row_norms, spans, take_rows
from reid_train.evaluate.task import Task

_TILE_PER_BLOCK = 4
_SAMPLE = 192
_DOUBTFUL_SHARE, _DOUBTFUL_FREE = 1 / 400, 64
_CHUNK = 1 << 20
_MAX_LIMITS = 1 << 21
_SLOW_COLUMNS = 512


class Counter:
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
        for tile, (first, index, gallery_NK) in enumerate(self._tiles()):
            norms_N = checked_norms(gallery_NK, index, "gallery")
            self.num_zero += int((norms_N == 0).sum())
            for number, (begin, end) in enumerate(spans(len(self.active), self.block)):
                slot = tile * self.num_blocks + number
                own = slice(self.pair_start[slot], self.pair_start[slot + 1])
                piece = _Piece(self.active[begin:end], first, self.pair_row[own] - begin, self.pair_column[own] - first)
                self._count_piece(piece, gallery_NK, norms_N)
        return self.ahead

    def _tiles(self) -> Iterator[tuple[int, np.ndarray, torch.Tensor]]:
        """(first column, gallery rows, features) of each tile; what comes from a disk is read one tile ahead."""
        ahead = not (isinstance(self.task.gallery, torch.Tensor) or type(self.task.gallery) is np.ndarray)
        pieces = [(first, self.task.scored[first:last]) for first, last in spans(len(self.task.scored), self.tile)]
        if not ahead:
            for first, index in pieces:
                yield first, index, take_rows(self.task.gallery, index, self.device)
            return
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(take_rows, self.task.gallery, pieces[0][1], self.device)
            for number, (first, index) in enumerate(pieces):
                features = coming.result()
                if number + 1 < len(pieces):
                    coming = reader.submit(take_rows, self.task.gallery, pieces[number + 1][1], self.device)
                yield first, index, features

    def _count_piece(self, piece: "_Piece", gallery_NK: torch.Tensor, norms_N: torch.Tensor) -> None:
        queries_MK = take_rows(self.task.queries, piece.queries, self.device)
        counts = np.diff(self.start)[piece.queries]
        own = np.repeat(self.start[piece.queries], counts) + _ranges(counts)
        filled = torch.zeros((len(counts), int(counts.max())), dtype=torch.bool, device=self.device)
        filled[self._index(np.repeat(np.arange(len(counts)), counts)), self._index(_ranges(counts))] = True
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
            scores_MN[self._index(row), self._index(column)] += torch.from_numpy(value).to(scores_MN)
            band_M1.mul_(factor_M1)
        scores_MN[self._index(piece.row), self._index(piece.column)] = float("-inf")

    def _index(self, positions: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(positions).to(self.device)

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
