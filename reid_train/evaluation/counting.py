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

from reid_train.evaluation.distance import TIE, checked_norms, rounding_band, row_norms, take_rows
from reid_train.evaluation.task import Task
from reid_train.graph.blocks import spans

_BLOCKS_PER_TILE = 4
_SAMPLE = 192
_DOUBTFUL_SHARE, _DOUBTFUL_FREE = 1 / 120, 64
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
        self.from_disk = not (isinstance(task.gallery, torch.Tensor) or type(task.gallery) is np.ndarray)
        blocks_per_tile = _BLOCKS_PER_TILE // 2 if self.from_disk else _BLOCKS_PER_TILE
        self.tile = max(1, min(blocks_per_tile * block, len(task.scored)))
        self.ahead = np.zeros(len(scores), np.int64)
        self.num_zero = 0
        self.buffers = [torch.empty(self.block * self.tile, device=device) for _ in range(2)]
        sample = [
            take_rows(rows, _evenly(index), device)
            for rows, index in ((task.queries, self.active), (task.gallery, task.scored))
        ]
        self.band = rounding_band(task.metric, sample[0], sample[1])
        self.blocks = [self._block(self.active[a:b]) for a, b in spans(len(self.active), self.block)]
        self._index_pairs()

    def _block(self, queries: np.ndarray) -> "_Block":
        counts = np.diff(self.start)[queries]
        own = np.repeat(self.start[queries], counts) + _ranges(counts)
        filled = np.arange(counts.max()) < counts[:, None]
        limits_MT = np.full(filled.shape, np.inf)
        limits_MT[filled] = self.scores[own]
        norms = row_norms(take_rows(self.task.queries, queries, self.device)).cpu().numpy().astype(np.float64)
        return _Block(queries, own, filled, limits_MT, norms)

    def _index_pairs(self) -> None:
        """Order the pairs by (tile, query block), so that each product finds its own in one slice."""
        pairs = self.task.pairs
        position = np.full(len(pairs.query_pids), -1)
        position[self.active] = np.arange(len(self.active))
        kept = np.flatnonzero(position[pairs.query] >= 0)
        row, column = position[pairs.query[kept]], pairs.column[kept]
        num_blocks = len(self.blocks)
        num_tiles = -(-len(self.task.scored) // self.tile)
        key = (column // self.tile) * num_blocks + row // self.block
        order = np.argsort(key, kind="stable")
        self.pair_row, self.pair_column = row[order], column[order]
        self.pair_start = np.searchsorted(key[order], np.arange(num_tiles * num_blocks + 1))

    def count(self) -> np.ndarray:
        """The counts, one per match."""
        for tile, (first, index, gallery_NK) in enumerate(self._tiles()):
            norms_N = checked_norms(gallery_NK, index, "gallery")
            self.num_zero += int((norms_N == 0).sum())
            for number, block in enumerate(self.blocks):
                slot = tile * len(self.blocks) + number
                own = slice(self.pair_start[slot], self.pair_start[slot + 1])
                row, column = self.pair_row[own] - number * self.block, self.pair_column[own] - first
                queries_MK = take_rows(self.task.queries, block.queries, self.device)
                piece = _Piece(block, first, row, column, queries_MK, gallery_NK)
                ahead_MT = self._fast(piece, norms_N)
                if ahead_MT is None:
                    ahead_MT = self._slow(piece)
                self.ahead[block.own] += ahead_MT[block.filled]
        return self.ahead

    def _tiles(self) -> Iterator[tuple[int, np.ndarray, torch.Tensor]]:
        """(first column, gallery rows, features) of each tile; what comes from a disk is read one tile ahead."""
        pieces = [(first, self.task.scored[first:last]) for first, last in spans(len(self.task.scored), self.tile)]
        if not self.from_disk:
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

    def _fast(self, piece: "_Piece", norms_N: torch.Tensor) -> np.ndarray | None:
        """Counts (M, T) from float32 scores; None if float32 does not hold them, or too many fall within the rounding band of a
        match."""
        if not self._held(piece.block.norms_M, norms_N):
            return None
        scores_MN = self.task.metric.tile(piece.queries_MK, piece.gallery_NK, norms_N, self.buffers[0])
        largest = np.array([float(norms_N.max())])
        band_M1 = self.band * self.task.metric.magnitude(piece.block.norms_M, largest)[:, None]
        if self.task.adjustment is not None:
            band_M1 *= self.task.adjustment.factor[piece.block.queries, None]
        self._adjust(piece, scores_MN)
        low_MT = (piece.block.limits_MT - band_M1).astype(np.float32)
        high_MT = (piece.block.limits_MT + band_M1).astype(np.float32)
        rising_MN = _sorted_rows(scores_MN, low_MT, self.buffers[1])
        bounds = torch.from_numpy(np.hstack([high_MT, low_MT])).to(self.device)
        place_high, place_low = np.hsplit(torch.searchsorted(rising_MN, bounds).cpu().numpy(), 2)
        ahead_MT, doubtful_MT = scores_MN.shape[1] - place_high, place_high - place_low
        num_doubtful = int(doubtful_MT.sum())
        if num_doubtful > max(_DOUBTFUL_SHARE * scores_MN.numel(), _DOUBTFUL_FREE):
            return None
        if num_doubtful:
            row, match, column = _within(scores_MN, low_MT, high_MT, doubtful_MT)
            np.add.at(ahead_MT, (row, match), self._closer(piece, row, column, piece.block.limits_MT[row, match]))
        return ahead_MT

    def _held(self, query_norms: np.ndarray, gallery_norms: torch.Tensor) -> bool:
        """Whether float32 holds the scores of a block with a tile: to the precision of the largest, for the cosine of each."""
        norms = gallery_norms.double()
        extremes = [float(norms.max())]
        if self.task.metric.name == "cosine" and extremes[0]:
            extremes.append(float(norms[norms > 0].min()))
        return bool(self.task.metric.held(query_norms[:, None], np.array(extremes)).all())

    def _adjust(self, piece: "_Piece", scores_MN: torch.Tensor) -> None:
        """Apply the adjustment in place and take the pairs of one identity out of the ranking."""
        if self.task.adjustment is not None:
            queries = piece.block.queries
            scores_MN.mul_(torch.from_numpy(self.task.adjustment.factor[queries, None]).to(scores_MN))
            row, column, value = self.task.adjustment.entries(queries, piece.first, piece.first + scores_MN.shape[1])
            scores_MN[self._index(row), self._index(column)] += torch.from_numpy(value).to(scores_MN)
        scores_MN[self._index(piece.row), self._index(piece.column)] = float("-inf")

    def _index(self, positions: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(positions).to(self.device)

    def _closer(self, piece: "_Piece", row: np.ndarray, column: np.ndarray, limit: np.ndarray) -> np.ndarray:
        """Decide in float64 whether image `column` is at least as close to query `row` as the match that scores `limit`."""
        answers = np.empty(len(row), bool)
        for a, b in spans(len(row), max(1, _CHUNK // piece.queries_MK.shape[1])):
            scores, magnitude = self.task.metric.exact_pairs(
                _rows(piece.queries_MK, row[a:b]), _rows(piece.gallery_NK, column[a:b])
            )
            if self.task.adjustment is not None:
                query = piece.block.queries[row[a:b]]
                scores = self.task.adjusted(scores, query, piece.first + column[a:b])
                magnitude = magnitude * self.task.adjustment.factor[query]
            answers[a:b] = scores + TIE * magnitude >= limit[a:b]
        return answers

    def _slow(self, piece: "_Piece") -> np.ndarray:
        """Counts (M, T) from float64 scores throughout, for features that float32 cannot tell apart."""
        ahead_MT = np.zeros(piece.block.limits_MT.shape, np.int64)
        limits_MT = self._index(piece.block.limits_MT)
        norms_M1 = row_norms(piece.queries_MK.double())[:, None]
        for a, b in spans(len(piece.gallery_NK), _SLOW_COLUMNS):
            part = piece.columns(a, b)
            scores_MN = self.task.metric.exact(part.queries_MK, part.gallery_NK)
            slack_MN = TIE * self.task.metric.magnitude(norms_M1, row_norms(part.gallery_NK.double())[None, :])
            if self.task.adjustment is not None:
                slack_MN *= self._index(self.task.adjustment.factor[part.block.queries, None])
            self._adjust(part, scores_MN)
            scores_MN += slack_MN
            rising_MN = _sorted_rows(scores_MN, part.block.limits_MT, torch.empty_like(scores_MN).view(-1))
            ahead_MT += (b - a) - torch.searchsorted(rising_MN, limits_MT).cpu().numpy()
        return ahead_MT


@dataclass(frozen=True)
class _Block:
    """Some queries with a match: their rows, their matches' places (where `filled`) and scores, their norms."""

    queries: np.ndarray
    own: np.ndarray
    filled: np.ndarray
    limits_MT: np.ndarray
    norms_M: np.ndarray


@dataclass(frozen=True)
class _Piece:
    """A block against a tile: the tile's first column, the pairs of one identity as (row, column) in it, the features."""

    block: _Block
    first: int
    row: np.ndarray
    column: np.ndarray
    queries_MK: torch.Tensor
    gallery_NK: torch.Tensor

    def columns(self, start: int, stop: int) -> "_Piece":
        """The part between two columns of the tile."""
        inside = (self.column >= start) & (self.column < stop)
        row, column = self.row[inside], self.column[inside] - start
        return _Piece(self.block, self.first + start, row, column, self.queries_MK, self.gallery_NK[start:stop])


def _sorted_rows(scores_MN: torch.Tensor, limits_MT: np.ndarray, buffer: torch.Tensor) -> torch.Tensor:
    """Each row in rising order, into `buffer` on a CPU; what lies below all limits of its row becomes one small value.

    numpy sorts values with vector instructions, and the faster the more of them are equal; torch does neither.
    """
    floor_M1 = np.nextafter(limits_MT.min(1, keepdims=True), -np.inf, dtype=limits_MT.dtype)
    floor = torch.from_numpy(floor_M1).to(scores_MN.device)
    rising_MN = torch.maximum(scores_MN, floor, out=buffer[: scores_MN.numel()].view(scores_MN.shape))
    if rising_MN.device.type != "cpu":
        return rising_MN.sort(dim=1).values
    parts = np.array_split(rising_MN.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return rising_MN


def _within(
    scores_MN: torch.Tensor, low_MT: np.ndarray, high_MT: np.ndarray, doubtful_MT: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, match, column) of every score in [low, high) of a match, where there are any."""
    found = []
    rows = np.flatnonzero(doubtful_MT.any(1))
    for a, b in spans(len(rows), max(1, _CHUNK // scores_MN.shape[1])):
        for here, line in zip(rows[a:b].tolist(), _rows(scores_MN, rows[a:b])):
            for which in np.flatnonzero(doubtful_MT[here]).tolist():
                columns = np.flatnonzero((line >= low_MT[here, which]) & (line < high_MT[here, which]))
                found.append((np.full(len(columns), here), np.full(len(columns), which), columns))
    row, match, column = (np.concatenate(parts) for parts in zip(*found))
    return row, match, column


def _rows(tensor: torch.Tensor, index: np.ndarray) -> np.ndarray:
    """Some rows as numpy. Few and small: threads would cost more than they save."""
    if tensor.device.type == "cpu":
        return tensor.numpy()[index]
    return tensor[torch.from_numpy(index).to(tensor.device)].cpu().numpy()


def _ranges(counts: np.ndarray) -> np.ndarray:
    """0 .. c-1 for each c in `counts`, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _evenly(index: np.ndarray) -> np.ndarray:
    return index[:: max(1, len(index) // _SAMPLE)][:_SAMPLE]
