"""Real Market-1501, opt-in: REID_REAL_MARKET names the folder of a copy. Colour histograms, ranked here and by plain oracles."""

import os
from pathlib import Path

import numpy as np
import pytest

from reid_data.datasets import DATASETS
from reid_data.images import read_record, resize
from reid_train.evaluation.bootstrap import intervals
from reid_train.evaluation.per_query import per_query_of
from reid_train.evaluation.protocol import chance_map, evaluate
from tests.train.evaluation import oracle

STRIPES, BINS = 4, 4


def histogram(record):
    """Counts (STRIPES * BINS^3,) of coarse colours in horizontal stripes: whole numbers, so that all comparisons are exact."""
    image = resize(read_record(record), (64, 32)) // (256 // BINS)
    colour = image[..., 0].astype(int) * BINS * BINS + image[..., 1] * BINS + image[..., 2]
    return np.concatenate([np.bincount(part.ravel(), minlength=BINS**3) for part in np.split(colour, STRIPES)])


@pytest.fixture(scope="module")
def market():
    folder = os.environ.get("REID_REAL_MARKET")
    if not folder:
        pytest.skip("REID_REAL_MARKET is not set")
    spec = DATASETS["market"]
    splits, _ = spec.reader(Path(folder), spec)
    arrays = []
    for records in (splits["query"], splits["gallery"]):
        arrays += [
            np.array([histogram(record) for record in records], np.float32),
            np.array([record.pid for record in records]),
            np.array([record.camid for record in records]),
        ]
    return arrays


def sorted_map(arrays, metric):
    """mAP and rank-1 from whole sorted rows of exact float64 scores, wrong images first on ties."""
    q, qp, qc, g, gp, gc = arrays
    right_g = g.astype(np.float64)
    square = (right_g**2).sum(1)
    values = []
    for i in range(len(q)):
        product = right_g @ q[i].astype(np.float64)
        # the cosine as its signed square: a ratio of whole numbers, equal exactly when the cosines are, or nearly so
        score = np.round(product**2 / square, 6) if metric == "cosine" else 2 * product - square
        kept = (gp != -1) & ~((gp == qp[i]) & (gc == qc[i]))
        order = np.lexsort((gp[kept] == qp[i], -score[kept]))
        ranks = np.flatnonzero((gp[kept] == qp[i])[order]) + 1
        if len(ranks):
            values.append((np.mean(np.arange(1, len(ranks) + 1) / ranks), ranks[0] == 1))
    return np.mean(values, axis=0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_all_of_market_like_whole_sorted_rows(market, metric, record_property):
    result = evaluate(*market, metric=metric)
    metrics = result.metrics()
    assert metrics["queries"] == 3368
    assert metrics["queries_without_match"] == 0
    assert (metrics["mAP"], metrics["rank-1"]) == pytest.approx(sorted_map(market, metric), abs=1e-6)
    interval = intervals(per_query_of(result))["mAP"]
    shown = f"mAP {metrics['mAP']:.7f} ({interval.low:.4f} to {interval.high:.4f}), rank-1 {metrics['rank-1']:.4f}"
    record_property(metric, shown)
    assert interval.low < metrics["mAP"] < interval.high
    assert metrics["mAP"] > 3 * chance_map(market[1], market[2], market[4], market[5])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_part_of_market_like_the_plain_oracle(market, metric):
    some_queries, some_gallery = np.arange(0, 3368, 60), np.arange(0, len(market[4]), 12)
    part = [array[some_queries] for array in market[:3]] + [array[some_gallery] for array in market[3:]]
    ap, inp, first_match, num_matches = (np.array(values) for values in oracle.evaluate(*part, metric=metric))
    for block in (7, 1024):
        result = evaluate(*part, metric=metric, block=block)
        np.testing.assert_allclose(result.ap, ap, rtol=0, atol=1e-14)
        np.testing.assert_allclose(result.inp, inp, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(result.first_match, first_match)
        np.testing.assert_array_equal(result.num_matches, num_matches)
