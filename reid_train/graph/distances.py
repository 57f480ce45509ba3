"""Jaccard distances of k-reciprocal neighbourhoods between all rows, of which only the close pairs are kept.

What clustering needs of re-ranking (Zhong et al., CVPR 2017, its section 3.3), as sparse as it is: nothing of the size of all
pairs is held.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from reid_train.graph.neighbours import averaged, jaccard, nearest, reciprocal_weights

VERSIONS = {"close-pairs": 1}  # with neighbours.py


def encoding(
    feats_ND: np.ndarray,
    k1: int,
    k2: int,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> sparse.csr_array:
    """(N, N) k-reciprocal encoding of features (N, D) float32, each row averaged over its `k2` nearest.

    Unit features give neighbours by the cosine. `device` makes the products.
    """

    def rows(index: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(feats_ND[index]).to(device)

    k1 = min(k1, len(feats_ND) - 1)
    neighbours = nearest(rows, len(feats_ND), k1, progress=progress)
    weights = reciprocal_weights(neighbours, rows, k1)
    return averaged(weights, neighbours, k2) if k2 > 1 else weights


def close_pairs(weights: sparse.csr_array, limit: float) -> sparse.csr_array:
    """(N, N) float32: the Jaccard distances in 0 ... `limit` < 1, both ways and of every row to itself; others are not stored."""
    counts, columns, values = [np.zeros(1, np.int64)], [], []
    for chunk in jaccard(weights, weights):
        distance = np.maximum(1 - chunk.data, 0).astype(np.float32)
        close = distance <= limit
        row = np.repeat(np.arange(chunk.shape[0]), np.diff(chunk.indptr))
        counts.append(np.bincount(row[close], minlength=chunk.shape[0]))
        columns.append(chunk.indices[close])
        values.append(distance[close])
    start = np.cumsum(np.concatenate(counts))
    return sparse.csr_array((np.concatenate(values), np.concatenate(columns), start), shape=weights.shape)


def mean_of_closest(weights: sparse.csr_array, share: float) -> float:
    """Mean of the smallest `share` of the distances between different rows, as Mutual Mean-Teaching (arXiv:2001.01526) sets eps.

    Distances of 0 are left out, as in the authors' code; at least one distance is taken.
    """
    num_rows = weights.shape[0]
    smallest, zeros, first = np.empty(0), 0, 0
    most = max(1, round(share * (num_rows * (num_rows - 1) // 2)))
    for chunk in jaccard(weights, weights):
        row = np.repeat(np.arange(first, first + chunk.shape[0]), np.diff(chunk.indptr))
        distance = np.maximum(1 - chunk.data[chunk.indices > row], 0)
        zeros += int((distance == 0).sum())
        smallest = np.concatenate([smallest, distance[distance > 0]])
        if len(smallest) > most:
            smallest = np.partition(smallest, most - 1)[:most]
        first += chunk.shape[0]
    wanted = max(1, round(share * (num_rows * (num_rows - 1) // 2 - zeros)))
    smallest = np.sort(smallest)[:wanted]
    return float((smallest.sum() + (wanted - len(smallest))) / wanted)  # pairs that share nothing are at distance 1
