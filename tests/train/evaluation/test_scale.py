"""Features of any size that float32 holds: no rank hangs on the scale, whatever is left of it in float32 products."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reid_data.errors import InputError
from reid_train.evaluation.distance import Metric, levelled, row_norms, take_rows
from reid_train.evaluation.expansion import closest, expand_queries
from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.rerank import RerankSettings
from tests.train.evaluation import oracle
from tests.train.evaluation.test_ranking import assert_like_oracle, random_set

FIELDS = ("ap", "inp", "first_match", "num_matches", "hits")
ROWS = np.arange(60)


def assert_same(first, second):
    assert first.warnings == second.warnings
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field), err_msg=field)


def scaled(data, power, gallery_power=None):
    q, qp, qc, g, gp, gc = data
    factors = [2.0**power, 2.0 ** (power if gallery_power is None else gallery_power)]
    return (q * factors[0]).astype(np.float32), qp, qc, (g * factors[1]).astype(np.float32), gp, gc


def real_set(seed, num_query=20, num_gallery=120, width=24):
    """Real-valued features around one centre for each person, so that the ranking is neither perfect nor chance."""
    rng = np.random.default_rng(seed)
    _, qp, qc, _, gp, gc = random_set(rng, num_query, num_gallery, ids=6)
    centres = rng.standard_normal((8, width))
    sides = [(centres[pids] + 1.5 * rng.standard_normal((len(pids), width))).astype(np.float32) for pids in (qp, gp)]
    return sides[0], qp, qc, sides[1], gp, gc


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@settings(max_examples=60, deadline=None)
@given(power=st.integers(-100, 100), seed=st.integers(0, 3), block=st.sampled_from([7, 1024]))
@example(power=-100, seed=0, block=1024)
@example(power=-77, seed=0, block=1024)
@example(power=100, seed=0, block=1024)
def test_one_scale_for_all_changes_no_rank(metric, power, seed, block):
    """2^-100 ... 2^100 is 8e-31 ... 1e30; a power of two, so that the features themselves are not rounded."""
    data = real_set(seed)
    plain = evaluate(*data, metric=metric)
    assert 0.3 < plain.metrics()["mAP"] < 0.9
    assert_same(plain, evaluate(*scaled(data, power), metric=metric, block=block))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("factor", [1e-30, 1e-23, 1e-12, 1e12, 1e30])
def test_decimal_scales_are_those_of_the_oracle(metric, factor):
    q, qp, qc, g, gp, gc = real_set(5)
    q, g = (q * np.float32(factor)).astype(np.float32), (g * np.float32(factor)).astype(np.float32)
    unit = [np.ldexp(rows.astype(float), -np.frexp(factor)[1]) for rows in (q, g)]  # exact, and where fsum is at home
    wanted = oracle.evaluate(unit[0], qp, qc, unit[1], gp, gc, metric=metric)
    assert_like_oracle(evaluate(q, qp, qc, g, gp, gc, metric=metric), wanted)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_smallest_numbers_of_float32(metric):
    """Whole multiples of 2^-149: what would be the integers 0 ... 4."""
    data = random_set(np.random.default_rng(0), 12, 80, top=4)
    assert_same(evaluate(*data, metric=metric), evaluate(*scaled(data, -149), metric=metric))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), block=st.sampled_from([3, 1024]))
def test_a_scale_for_each_image_changes_no_cosine(seed, block):
    data = real_set(1)
    rng = np.random.default_rng(seed)
    powers = [rng.integers(-100, 101, (len(rows), 1)) for rows in (data[0], data[3])]
    assert_same(evaluate(*data), evaluate(*scaled(data, *powers), block=block))


@settings(max_examples=40, deadline=None)
@given(power=st.integers(-100, 70), more=st.integers(-28, 28), seed=st.integers(0, 100))
def test_queries_and_gallery_of_different_size_as_the_oracle_ranks_them(power, more, seed):
    """A difference of more than about 2^30 would be within the rounding that counts as equal."""
    data = scaled(random_set(np.random.default_rng(seed), 5, 25), power, power + more)
    exact = [[[int(value * 2.0**130) for value in row.tolist()] for row in side] for side in (data[0], data[3])]
    wanted = oracle.evaluate(exact[0], data[1], data[2], exact[1], data[4], data[5], metric="euclidean")
    if any(wanted[3]):
        assert_like_oracle(evaluate(*data, metric="euclidean"), wanted)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("power", [-100, 60, 100])
@pytest.mark.parametrize("how", [{"rerank": RerankSettings(8, 3)}, {"protocol": "cuhk03"}])
def test_reranking_and_single_shot_do_not_hang_on_the_scale(metric, power, how):
    data = real_set(2)
    assert_same(evaluate(*data, metric=metric, **how), evaluate(*scaled(data, power), metric=metric, **how))


@pytest.mark.parametrize("power", [-100, -40, 60, 100])
def test_the_closest_and_the_expansion_do_not_hang_on_the_scale(power):
    q, _, _, g, _, _ = real_set(3)
    small = [(rows * 2.0**power).astype(np.float32) for rows in (q, g)]
    for metric in ("cosine", "euclidean"):
        wanted, found = closest(q, g, 7, metric=metric), closest(*small, 7, metric=metric)
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_allclose(found[1], wanted[1] * (1 if metric == "cosine" else 2.0**power), rtol=1e-12)
    np.testing.assert_allclose(expand_queries(*small), expand_queries(q, g), rtol=1e-6, atol=1e-7)


def test_only_zeros_are_called_zero():
    q, qp, qc, g, gp, gc = real_set(4)
    tiny = (g * 1e-30).astype(np.float32)
    assert evaluate(q, qp, qc, tiny, gp, gc).warnings == ()
    tiny[np.flatnonzero(gp != -1)[0]] = 0
    (warning,) = evaluate(q, qp, qc, tiny, gp, gc).warnings
    assert warning.startswith(f"1 of {(gp != -1).sum()} gallery features are all zero")


def test_beyond_float32_is_refused():
    q, qp, qc, g, gp, gc = real_set(4)
    with pytest.raises(InputError, match=r"gallery features are NaN, infinite or huge \(norm over 1e\+38\)"):
        evaluate(q, qp, qc, np.full_like(g, 1e38), gp, gc)


def test_norms_at_any_scale():
    rows = np.array([[3, 4], [0, 0]], np.float32)
    for power in (-148, -80, 0, 80, 120):
        found = row_norms(take_rows((rows * 2.0**power).astype(np.float32), np.arange(2)))
        assert found.tolist() == [5 * 2.0**power, 0]
    assert levelled(take_rows(rows, np.arange(2))).tolist() == rows.tolist()
    assert levelled(take_rows((rows * 2.0**-148).astype(np.float32), np.arange(2))).tolist() == [[0.375, 0.5], [0, 0]]


def test_what_float32_does_not_hold_is_known():
    held = {
        "cosine": {(1, 1): True, (0, 1e-30): True, (1e-30, 1): False, (1, 1e-30): False, (1e30, 1e30): False},
        "euclidean": {(1, 1): True, (0, 0): True, (1e-30, 1): True, (1, 1e-30): False, (1e30, 1e30): False},
    }
    for metric, cases in held.items():
        for norms, answer in cases.items():
            assert bool(Metric(metric).held(*map(np.float64, norms))) is answer, (metric, norms)
