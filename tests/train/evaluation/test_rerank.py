"""Re-ranking against the dense formulation, neighbours against a full sort."""

import numpy as np
import pytest
import torch

from reid_data.errors import UsageError
from reid_train.evaluation.distance import Metric
from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.rerank import RerankSettings, rerank_adjustment
from reid_train.graph.neighbours import jaccard, nearest, reciprocal_weights
from tests.train.evaluation import oracle
from tests.train.graph.slow import dense_jaccard


def dense_rerank(query, gallery, *, k1, k2, lam):
    """Zhong et al. as matrices and loops: the final distance (Q, G)."""
    feats, num_query = np.concatenate([query, gallery]), len(query)
    distance, jaccard_distance = dense_jaccard(feats, k1=k1, k2=k2)
    return (1 - lam) * jaccard_distance[:num_query, num_query:] + lam * distance[:num_query, num_query:]


def clustered(seed, num_query=20, num_gallery=120, ids=8, width=16):
    rng = np.random.default_rng(seed)
    pids, centres = (
        [rng.integers(1, ids + 1, n) for n in (num_query, num_gallery)],
        rng.standard_normal((ids + 1, width)),
    )
    feats = [(centres[p] + 0.9 * rng.standard_normal((len(p), width))).astype(np.float32) for p in pids]
    cams = [rng.integers(0, 3, n) for n in (num_query, num_gallery)]
    return feats[0], pids[0], cams[0], feats[1], pids[1], cams[1]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "lam"), [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 1.0), (90, 2, 0.5)])
def test_map_like_the_dense_formulation(metric, k1, k2, lam):
    q, qp, qc, g, gp, gc = clustered(k1, num_gallery=65)
    if metric == "cosine":
        dense_q, dense_g = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, g))
    else:
        dense_q, dense_g = q, g
    dist = dense_rerank(dense_q, dense_g, k1=min(k1, 84), k2=k2, lam=lam)
    wanted = [
        oracle.numbers(oracle.ranking(q[i], qp[i], qc[i], g, gp, gc, adjust=lambda _, j, i=i: -np.float32(dist[i, j])))[
            0
        ]
        for i in range(len(q))
    ]
    got = evaluate(q, qp, qc, g, gp, gc, metric=metric, rerank=RerankSettings(k1, k2, lam), block=32)
    assert got.metrics()["mAP"] == pytest.approx(np.nanmean(wanted), abs=1e-4)


def test_adjusted_scores_are_the_dense_distances():
    q, *_, g, _, _ = clustered(3)
    scored = np.flatnonzero(np.arange(len(g)) % 5)
    got = rerank_adjustment(q, g, scored, Metric("euclidean"), RerankSettings(10, 4, 0.4))
    scores = Metric("euclidean").exact(torch.from_numpy(q), torch.from_numpy(g[scored])).numpy() * got.factor[:, None]
    row, column, value = got.entries(np.arange(len(q)), 0, len(scored))
    scores[row, column] += value
    dense = dense_rerank(q, g[scored], k1=10, k2=4, lam=0.4)
    # the two differ by a constant for each query
    np.testing.assert_allclose(scores - scores[:, :1], dense[:, :1] - dense, atol=1e-5)


@pytest.mark.parametrize("tile", [3, 16, 1000])
@pytest.mark.parametrize("k", [1, 4, 100])
def test_nearest_like_a_full_sort(tile, k):
    feats = np.random.default_rng(k).integers(-3, 4, (50, 4)).astype(np.float32)  # many equal distances
    found = nearest(lambda index: torch.from_numpy(feats[index]), 50, k, tile=tile)
    dist = ((feats[:, None] - feats[None]) ** 2).sum(2)
    np.testing.assert_array_equal(found.farthest, dist.max(1))
    for i in range(50):
        others = sorted((d, j) for j, d in enumerate(dist[i]) if j != i)[:k]
        assert found.index[i].tolist() == [i, *[j for _, j in others]]
        assert found.distance[i].tolist() == [0, *[d for d, _ in others]]


def test_weights_sum_to_one_and_a_row_is_like_itself():
    q, *_ = clustered(9, num_query=60)
    rows = lambda index: torch.from_numpy(q[index])  # noqa: E731
    weights = reciprocal_weights(nearest(rows, 60, 6), rows, 6)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    alike = np.vstack([part.toarray() for part in jaccard(weights, weights, cells=300)])
    np.testing.assert_allclose(np.diag(alike), 1, rtol=1e-5)
    np.testing.assert_allclose(alike, alike.T, rtol=1e-6)


def test_identical_images_do_not_break_it():
    q, qp, qc, g, gp, gc = clustered(4)
    same = evaluate(np.ones_like(q), qp, qc, np.ones_like(g), gp, gc, rerank=RerankSettings())
    assert same.metrics()["mAP"] < 0.3


def test_settings_out_of_range_are_refused():
    for bad in ({"k1": 0}, {"k2": 0}, {"k1": 3, "k2": 9}, {"lam": 1.5}):
        with pytest.raises(UsageError, match="re-ranking with"):
            RerankSettings(**bad)
