"""k-reciprocal Jaccard distances as the paper writes them, as matrices and loops."""

import numpy as np


def dense_jaccard(feats: np.ndarray, *, k1: int, k2: int) -> tuple[np.ndarray, np.ndarray]:
    """Zhong et al. (CVPR 2017): (squared distance over the row's largest, Jaccard distance), both (N, N)."""
    feats = feats.astype(np.float64)
    total = len(feats)
    dist = ((feats[:, None] - feats[None]) ** 2).sum(2)
    ranks = np.argsort(dist, axis=1, kind="stable")
    for i in range(total):  # a row is its own nearest neighbour, also among copies of itself
        ranks[i] = [i, *[j for j in ranks[i] if j != i]]
    dist = dist / np.where(dist.max(1) > 0, dist.max(1), 1)[:, None]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranks[i, : k + 1] if i in ranks[j, : k + 1]}

    weights = np.zeros((total, total))
    for i in range(total):
        inner = reciprocal(i, k1)
        expanded = set(inner)
        for j in inner:
            theirs = reciprocal(j, int(np.around(k1 / 2)))
            if len(theirs & inner) > 2 / 3 * len(theirs):
                expanded |= theirs
        members = sorted(expanded)
        weights[i, members] = np.exp(-dist[i, members])
        weights[i] /= weights[i].sum()
    weights = np.array([weights[ranks[i, :k2]].mean(0) for i in range(total)])
    smaller = np.minimum(weights[:, None], weights[None]).sum(2)
    return dist, 1 - smaller / (2 - smaller)
