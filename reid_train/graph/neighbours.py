"""Nearest neighbours of every row among all rows, and the sparse k-reciprocal neighbourhoods built from them.

The structure that re-ranking and clustering share. No (N, N) matrix is held: distances are made tile by tile, each tile
of the upper triangle serves both its rows and its columns, and a row keeps only its k best.

Reciprocal encoding after Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR 2017).

Shape legend: N rows, K width, k neighbours kept, M rows and T columns of a tile, C rows of a chunk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from reid_train.graph.blocks import spans

Rows = Callable[[np.ndarray], torch.Tensor]
_TILE = 2048
_TABLE_CELLS = 1 << 23
_PAIRS = 1024
_PRODUCTS = 1 << 20
_NOBODY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Neighbours:
    """The closest rows of each row.

    `index` (N, k + 1) int64: the row itself, then the others by rising distance, equal distances by rising index;
    `distance` (N, k + 1) float32: squared euclidean; `farthest` (N,) float32: the squared distance of the farthest row.
    """

    index: np.ndarray
    distance: np.ndarray
    farthest: np.ndarray


def nearest(
    rows: Rows, num_rows: int, k: int, *, tile: int = _TILE, progress: Callable[[int, int], None] | None = None
) -> Neighbours:
    """The `k` nearest of each row (all others, if there are fewer).

    `rows(index)` gives features (len(index), K) float32 on the device that shall make the products; scale them to unit
    length for the cosine. `progress(done, total)` counts tiles.
    """
    k = min(k, num_rows - 1)
    pieces = list(spans(num_rows, tile))
    buffer = rows(np.arange(0)).new_empty(min(tile, num_rows) ** 2)
    best, farthest, squares = [], [], []
    for a, b in pieces:
        rows_MK = rows(np.arange(a, b))
        squares.append(rows_MK.square().sum(1))
        distance_MM = _squared_distances(rows_MK * -2, rows_MK, squares[-1], squares[-1], buffer).fill_diagonal_(0)
        farthest.append(distance_MM.amax(1))
        column = torch.arange(a, b, device=rows_MK.device).expand_as(distance_MM)
        keys = _keys(distance_MM, column).fill_diagonal_(_NOBODY)
        best.append(_smallest(torch.cat([keys, keys.new_full((b - a, max(0, k - (b - a))), _NOBODY)], 1), k))
    done, total = 0, len(pieces) * (len(pieces) - 1) // 2
    for left, (a, b) in enumerate(pieces):
        rows_MK = rows(np.arange(a, b)) * -2
        for right in range(left + 1, len(pieces)):
            columns_TK = rows(np.arange(*pieces[right]))
            distance_MT = _squared_distances(rows_MK, columns_TK, squares[left], squares[right], buffer)
            farthest[left] = torch.maximum(farthest[left], distance_MT.amax(1))
            farthest[right] = torch.maximum(farthest[right], distance_MT.amax(0))
            best[left], best[right] = _improve(best[left], best[right], distance_MT, a, pieces[right][0])
            done += 1
            if progress is not None:
                progress(done, total)
    found = torch.cat(best).cpu().numpy()
    index = np.hstack([np.arange(num_rows)[:, None], found & 0xFFFFFFFF])
    distance = np.hstack([np.zeros((num_rows, 1), np.float32), (found >> 32).astype(np.int32).view(np.float32)])
    return Neighbours(index, distance, torch.cat(farthest).cpu().numpy())


def _squared_distances(
    minus_two_rows_MK: torch.Tensor,
    columns_TK: torch.Tensor,
    row_squares: torch.Tensor,
    column_squares: torch.Tensor,
    buffer: torch.Tensor,
) -> torch.Tensor:
    """(M, T) squared distances from rows times -2, columns, and the squared norms of both, in the front of `buffer`."""
    size = (len(minus_two_rows_MK), len(columns_TK))
    distance_MT = torch.mm(minus_two_rows_MK, columns_TK.T, out=buffer[: size[0] * size[1]].view(size))
    return distance_MT.add_(row_squares[:, None]).add_(column_squares).clamp_(min=0)


def _keys(distance: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """int64 that sort by distance, then by column: the bits of a float that is not negative rise with it."""
    return (distance.view(torch.int32).long() << 32) | column


def _smallest(keys: torch.Tensor, k: int) -> torch.Tensor:
    return keys.topk(k, dim=1, largest=False, sorted=True).values


def _improve(
    best_Mk: torch.Tensor, best_Tk: torch.Tensor, distance_MT: torch.Tensor, first_row: int, first_column: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sides' best after a tile: only distances within a row's or column's k-th best are looked at again."""
    row_limit, column_limit = _worst(best_Mk), _worst(best_Tk)
    close = (distance_MT <= row_limit[:, None]).logical_or_(distance_MT <= column_limit)
    row, column = _where(close)
    distance = distance_MT[row, column]
    for_rows, for_columns = distance <= row_limit[row], distance <= column_limit[column]
    best_Mk = _merge(best_Mk, row[for_rows], _keys(distance[for_rows], column[for_rows] + first_column))
    by_column = column[for_columns].argsort(stable=True)
    row, column, distance = (
        row[for_columns][by_column],
        column[for_columns][by_column],
        distance[for_columns][by_column],
    )
    return best_Mk, _merge(best_Tk, column, _keys(distance, row + first_row))


def _worst(best_Mk: torch.Tensor) -> torch.Tensor:
    """Distance (M,) of the last of the best; infinity where there are not k yet."""
    last = best_Mk[:, -1]
    distance = (last >> 32).to(torch.int32).view(torch.float32)
    return torch.where(last == _NOBODY, torch.full_like(distance, float("inf")), distance)


def _where(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of the true cells, by row (numpy finds them faster than torch on a CPU)."""
    if mask.device.type != "cpu":
        row, column = mask.nonzero(as_tuple=True)
        return row, column
    flat = torch.from_numpy(np.flatnonzero(mask.numpy()))
    return flat // mask.shape[1], flat % mask.shape[1]


def _merge(best_Mk: torch.Tensor, row: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The best after candidates `keys`, ordered by their `row`."""
    if not len(row):
        return best_Mk
    counts = torch.bincount(row, minlength=len(best_Mk))
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    candidates = torch.full((len(best_Mk), int(counts.max())), _NOBODY, device=row.device)
    candidates[row, place] = keys
    return _smallest(torch.cat([best_Mk, candidates], 1), best_Mk.shape[1])


def reciprocal_weights(neighbours: Neighbours, rows: Rows, k1: int) -> sparse.csr_array:
    """k-reciprocal encoding (N, N): row i holds exp(-d(i, j) / farthest(i)) over its expanded reciprocal set, summing to 1.

    The set R*(i) of the paper (its equations 3, 4 and 7): the k1-reciprocal neighbours of i, plus those of each member's
    k1/2-reciprocal neighbours of which more than two thirds are in already. `neighbours` must hold k1 of them or more.
    """
    first_k1, first_half = neighbours.index[:, : k1 + 1], neighbours.index[:, : int(np.around(k1 / 2)) + 1]
    mutual_k1, mutual_half = _mutual(first_k1), _mutual(first_half)
    farthest = np.where(neighbours.farthest > 0, neighbours.farthest, 1)
    num_rows = len(first_k1)
    parts = []
    for a, b in spans(num_rows, max(1, _TABLE_CELLS // num_rows)):
        member = np.zeros((b - a, num_rows), bool)
        row, place = np.nonzero(mutual_k1[a:b])
        inner = first_k1[a + row, place]
        member[row, inner] = True
        theirs, counted = first_half[inner], mutual_half[inner]
        common = (member[row[:, None], theirs] & counted).sum(1)
        taken, which = np.nonzero(counted & (common * 3 > counted.sum(1) * 2)[:, None])
        member[row[taken], theirs[taken, which]] = True
        row, column = np.divmod(np.flatnonzero(member), num_rows)
        weights = np.exp(-_distances(neighbours, rows, a, row, column) / farthest[a + row])
        weights /= np.bincount(row, weights, minlength=b - a)[row]
        parts.append(sparse.csr_array((weights.astype(np.float32), (row, column)), shape=(b - a, num_rows)))
    return sparse.vstack(parts, format="csr")


def _mutual(first: np.ndarray) -> np.ndarray:
    """(N, k + 1) bool: whether row i is also among the first k + 1 of its j-th neighbour."""
    mutual = np.empty(first.shape, bool)
    for a, b in spans(len(first), max(1, _TABLE_CELLS // first.shape[1] ** 2)):
        mutual[a:b] = (first[first[a:b]] == np.arange(a, b)[:, None, None]).any(2)
    return mutual


def _distances(neighbours: Neighbours, rows: Rows, first: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Squared distances of the pairs (first + row, column), by rising row: from the neighbours where they are known."""
    known = np.full((int(row[-1]) + 1, len(neighbours.index)), np.nan, np.float32)
    known[np.arange(len(known))[:, None], neighbours.index[first : first + len(known)]] = neighbours.distance[
        first : first + len(known)
    ]
    distance = known[row, column]
    missing = np.flatnonzero(np.isnan(distance))
    for a, b in spans(len(missing), _PAIRS):
        left, left_place = np.unique(row[missing[a:b]], return_inverse=True)
        right, right_place = np.unique(column[missing[a:b]], return_inverse=True)
        left_rows, right_rows = rows(first + left), rows(right)
        buffer = left_rows.new_empty(len(left_rows) * len(right_rows))
        squares = left_rows.square().sum(1), right_rows.square().sum(1)
        block = _squared_distances(left_rows * -2, right_rows, *squares, buffer)
        distance[missing[a:b]] = block.cpu().numpy()[left_place, right_place]
    return distance


def averaged(weights: sparse.csr_array, neighbours: Neighbours, k2: int) -> sparse.csr_array:
    """Local query expansion: each row's mean over its first `k2` neighbours, itself included (the paper's section 3.5)."""
    first = neighbours.index[:, :k2]
    num_rows, count = first.shape
    means = sparse.csr_array(
        (np.full(first.size, 1 / count, np.float32), first.ravel(), np.arange(num_rows + 1) * count),
        shape=(num_rows, num_rows),
    )
    result = sparse.csr_array(means @ weights)
    result.sort_indices()
    return result


def jaccard(
    weights: sparse.csr_array, others: sparse.csr_array, *, cells: int = _TABLE_CELLS
) -> Iterator[sparse.csr_array]:
    """Jaccard similarity of the rows of `weights` to the rows of `others`, in chunks (C, number of others).

    m / (2 - m) with m the sum of the smaller weights, as rows sum to 1 (the paper's equation 10); 0 where nothing is
    shared, and not stored there. A chunk has few enough rows for its table and for its products, of which there are many
    where all rows have the same neighbours.
    """
    columns = sparse.csc_array(others)
    width = others.shape[0]
    products = np.concatenate([[0], np.cumsum(np.diff(columns.indptr)[weights.indices], dtype=np.int64)])[
        weights.indptr
    ]
    b = 0
    while b < weights.shape[0]:
        a = b
        fitting = int(np.searchsorted(products, products[a] + _PRODUCTS, side="right")) - 1
        b = max(a + 1, min(fitting, a + cells // width))
        chunk = weights[a:b]
        row = np.repeat(np.arange(b - a), np.diff(chunk.indptr))
        lengths = np.diff(columns.indptr)[chunk.indices]
        place = np.arange(lengths.sum()) + np.repeat(
            columns.indptr[chunk.indices] - np.cumsum(lengths) + lengths, lengths
        )
        shared = np.minimum(np.repeat(chunk.data, lengths), columns.data[place])
        total = np.bincount(np.repeat(row, lengths) * width + columns.indices[place], shared, minlength=(b - a) * width)
        found = np.flatnonzero(total)
        smaller = total[found]
        yield sparse.csr_array((smaller / (2 - smaller), np.divmod(found, width)), shape=(b - a, width))
