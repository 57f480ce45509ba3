"""Ranks, AP, INP, CMC: against a slow oracle, hand-worked rankings, and under changes that must not matter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_train.evaluation import counting, ranking
from reid_train.evaluation.distance import Metric, take_rows
from reid_train.evaluation.protocol import chance_map, evaluate
from tests.train.evaluation import oracle


def hand_worked(scores, pids, camids, **options):
    """One query (pid 1, camera 1) whose cosine with gallery image i is scores[i]."""
    gallery = np.array([[s, np.sqrt(1 - s * s)] for s in scores])
    return evaluate(
        np.array([[1.0, 0.0]]), np.array([1]), np.array([1]), gallery, np.array(pids), np.array(camids), **options
    )


def random_set(rng, num_query, num_gallery, *, ids=4, cams=3, width=5, top=3):
    feats = [rng.integers(-top, top + 1, (n, width)).astype(np.float32) for n in (num_query, num_gallery)]
    q_pids, g_pids = rng.integers(1, ids + 1, num_query), rng.integers(-1, ids + 1, num_gallery)
    return feats[0], q_pids, rng.integers(0, cams, num_query), feats[1], g_pids, rng.integers(0, cams, num_gallery)


def assert_like_oracle(result, wanted, tolerance=0.0):
    ap, inp, first, count = (np.array(values) for values in wanted)
    np.testing.assert_allclose(result.ap, ap, rtol=0, atol=tolerance + 1e-14)
    np.testing.assert_allclose(result.inp, inp, rtol=0, atol=tolerance + 1e-14)
    np.testing.assert_array_equal(result.first_match, first)
    np.testing.assert_array_equal(result.num_matches, count)


def test_hand_worked_ranking_with_junk_distractor_and_own_camera():
    # ranked: .9 junk (ignored), .8 own camera (left out), .7 distractor (1), .6 right (2), .5 wrong (3), .4 right (4)
    result = hand_worked([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [-1, 1, 0, 1, 2, 1], [2, 1, 2, 2, 2, 3])
    assert result.ap[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.inp[0] == pytest.approx(2 / 4)
    assert (result.first_match[0], result.num_matches[0]) == (2, 2)
    assert result.metrics() == {
        "mAP": pytest.approx(0.5), "mINP": pytest.approx(0.5), "rank-1": 0.0, "rank-5": 1.0, "rank-10": 1.0,
        "queries": 1, "queries_without_match": 0,
    }  # fmt: skip
    assert result.cmc[:3].tolist() == [0.0, 1.0, 1.0]


def test_hand_worked_trapezoid_and_no_camera():
    arguments = ([0.9, 0.8, 0.7, 0.6], [2, 1, 1, 1], [2, 1, 2, 3])
    # standard: wrong (1), right (2), right (3); trapezoid: mean of ((0 + 1/2) / 2, (1/2 + 2/3) / 2)
    assert hand_worked(*arguments, ap="trapezoid").ap[0] == pytest.approx((0.25 + (1 / 2 + 2 / 3) / 2) / 2)
    assert hand_worked(*arguments, protocol="no-camera").ap[0] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    # a match at rank 1 has precision 1 "before" it
    assert hand_worked([0.9, 0.1], [1, 2], [2, 2], ap="trapezoid").ap[0] == 1.0


def test_tie_counts_against_the_match_whatever_the_order():
    for pids in ([1, 2, 3], [2, 1, 3], [2, 3, 1]):
        result = hand_worked([0.5, 0.5, 0.5], pids, [2, 2, 2])
        assert result.first_match[0] == 3
    assert hand_worked([0.5, 0.5, 0.5], [1, 1, 2], [2, 3, 2]).ap[0] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_collapsed_features_are_not_rewarded():
    feats = np.ones((40, 8), np.float32)
    pids = np.arange(40) % 4 + 1
    result = evaluate(feats[:8], pids[:8], np.zeros(8, int), feats, pids, np.ones(40, int))
    assert result.metrics()["rank-1"] == 0.0
    assert (result.first_match == 31).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_integer_features_exactly_like_the_oracle_for_any_block(metric, block):
    rng = np.random.default_rng(block)
    for _ in range(6):
        data = random_set(rng, 9, 40, top=int(rng.integers(1, 200)))
        wanted = oracle.evaluate(*data, metric=metric)
        assert_like_oracle(evaluate(*data, metric=metric, block=block), wanted)


def test_people_with_more_images_than_are_taken_at_a_time(monkeypatch):
    data = random_set(np.random.default_rng(12), 20, 90, ids=2)
    for rows in (1, 4, 33):
        monkeypatch.setattr(ranking, "_EXACT_ROWS", rows)
        assert_like_oracle(evaluate(*data), oracle.evaluate(*data, metric="cosine"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_protocols_like_the_oracle(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    arrays = random_set(
        rng, draw(st.integers(1, 6)), draw(st.integers(1, 30)), ids=draw(st.integers(1, 5)), cams=draw(st.integers(1, 3)),
        width=draw(st.integers(1, 6)), top=draw(st.integers(1, 4)),
    )  # fmt: skip
    metric, ap = draw(st.sampled_from(["cosine", "euclidean"])), draw(st.sampled_from(["step", "trapezoid"]))
    camera_rule, block = draw(st.booleans()), draw(st.integers(1, 8))
    wanted = oracle.evaluate(*arrays, metric=metric, ap=ap, camera_rule=camera_rule)
    if not any(wanted[3]):
        return
    result = evaluate(*arrays, metric=metric, ap=ap, protocol="standard" if camera_rule else "no-camera", block=block)
    assert_like_oracle(result, wanted)
    assert result.metrics()["queries_without_match"] == wanted[3].count(0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_real_valued_features_like_the_oracle(metric):
    rng = np.random.default_rng(5)
    _, qp, qc, _, gp, gc = random_set(rng, 25, 300, ids=6)
    centres = rng.standard_normal((8, 64))
    q = (centres[qp] + rng.standard_normal((25, 64))).astype(np.float32)
    g = (centres[gp] + rng.standard_normal((300, 64))).astype(np.float32)
    wanted = oracle.evaluate(q, qp, qc, g, gp, gc, metric=metric)
    for block in (4, 1024):
        assert_like_oracle(evaluate(q, qp, qc, g, gp, gc, metric=metric, block=block), wanted)


def test_order_of_the_gallery_and_copies_of_images_do_not_matter():
    rng = np.random.default_rng(1)
    _, qp, qc, _, gp, gc = random_set(rng, 12, 60)
    points = rng.standard_normal((10, 33)).astype(np.float32)  # few distinct features: most comparisons are ties
    q, g = points[rng.integers(0, 10, 12)], points[rng.integers(0, 10, 60)]
    first = evaluate(q, qp, qc, g, gp, gc)
    for _ in range(4):
        order = rng.permutation(60)
        again = evaluate(q, qp, qc, g[order], gp[order], gc[order], block=int(rng.integers(1, 30)))
        np.testing.assert_array_equal(first.ap, again.ap)
    assert_like_oracle(first, oracle.evaluate(q, qp, qc, g, gp, gc))


def test_scale_of_the_features_does_not_change_a_cosine_ranking():
    rng = np.random.default_rng(2)
    q, qp, qc, g, gp, gc = random_set(rng, 10, 50, top=50)
    powers = 2.0 ** rng.integers(-8, 8, 50)
    np.testing.assert_array_equal(
        evaluate(q, qp, qc, g, gp, gc).ap, evaluate(q * 4, qp, qc, g * powers[:, None], gp, gc).ap
    )


def test_features_that_float32_cannot_tell_apart_are_decided_in_float64():
    rng = np.random.default_rng(3)
    _, qp, qc, _, gp, gc = random_set(rng, 8, 80)
    q = (1 + 2.0**-14 * rng.integers(0, 9, (8, 16))).astype(np.float32)
    g = (1 + 2.0**-14 * rng.integers(0, 9, (80, 16))).astype(np.float32)
    wanted = oracle.evaluate(q, qp, qc, g, gp, gc, metric="euclidean")
    for block in (3, 100):
        assert_like_oracle(evaluate(q, qp, qc, g, gp, gc, metric="euclidean", block=block), wanted)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_both_ways_of_deciding_close_calls_agree_with_the_oracle(monkeypatch, limit):
    monkeypatch.setattr(counting, "_DOUBTFUL_FREE", limit)
    monkeypatch.setattr(counting, "_DOUBTFUL_SHARE", 0)
    monkeypatch.setattr(counting, "_CHUNK", 64)
    monkeypatch.setattr(counting, "_SLOW_COLUMNS", 7)
    data = random_set(np.random.default_rng(4), 15, 90, top=2)
    for metric in ("cosine", "euclidean"):
        assert_like_oracle(evaluate(*data, metric=metric, block=4), oracle.evaluate(*data, metric=metric))


def test_a_coarse_product_changes_nothing_because_its_error_is_measured(monkeypatch):
    """Products rounded to about 8 bits, as TF32 or bfloat16 would: the ranks stay those of the exact scores."""
    tile = Metric.tile

    def coarse(self, queries, gallery, norms, out):
        return tile(self, queries, gallery, norms, out).copy_(
            out[: len(queries) * len(gallery)].view(len(queries), -1).bfloat16()
        )

    rng = np.random.default_rng(6)
    _, qp, qc, _, gp, gc = random_set(rng, 10, 100)
    q, g = rng.standard_normal((10, 24)).astype(np.float32), rng.standard_normal((100, 24)).astype(np.float32)
    wanted = oracle.evaluate(q, qp, qc, g, gp, gc)
    monkeypatch.setattr(Metric, "tile", coarse)
    assert_like_oracle(evaluate(q, qp, qc, g, gp, gc), wanted)


def test_all_array_kinds_give_the_same(tmp_path):
    data = random_set(np.random.default_rng(7), 6, 50, width=9)
    q, qp, qc, g, gp, gc = data
    stored = np.memmap(tmp_path / "g", np.float16, "w+", shape=g.shape)
    stored[:] = g
    wanted = evaluate(*data).ap
    frozen = g.copy()
    frozen.flags.writeable = False
    for query, gallery in (
        (q.tolist(), np.asfortranarray(g)),
        (q.astype(">f8"), frozen),
        (torch.from_numpy(q), torch.from_numpy(g)),
        (q.astype(float), stored),
        (q, torch.from_numpy(g).double()),
    ):
        np.testing.assert_array_equal(evaluate(query, qp, qc, gallery, gp, gc, block=5).ap, wanted)


def test_take_rows_by_any_index():
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    for index in ([], [3, 4, 5], [1, 7, 2], [4, 3, 5, 6]):
        index = np.array(index, int)
        for source in (rows, torch.from_numpy(rows)):
            np.testing.assert_array_equal(take_rows(source, index).numpy(), rows[index])


def test_chance_is_the_mean_over_random_rankings():
    rng = np.random.default_rng(8)
    _, qp, qc, _, gp, gc = random_set(rng, 10, 60)
    drawn = [
        np.nanmean(
            oracle.evaluate(np.ones((10, 1)), qp, qc, rng.standard_normal((60, 1)), gp, gc, metric="euclidean")[0]
        )
        for _ in range(400)
    ]
    assert chance_map(qp, qc, gp, gc) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 20)
    assert chance_map(np.array([1]), np.array([0]), np.array([1, 2]), np.array([1, 1])) == pytest.approx(
        (1 + 1 / 2) / 2
    )
