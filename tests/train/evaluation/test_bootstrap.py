"""Error bars: against loops, against known distributions, and how often they are right."""

import math

import numpy as np
import pytest

from reid_data.errors import InputError
from reid_train.evaluation.bootstrap import _sign_flip, intervals, over_seeds, paired
from reid_train.evaluation.per_query import PerQuery


def rows(ap, pid, first=None, matches=None):
    ap, pid = np.asarray(ap, float), np.asarray(pid)
    first = np.where(ap > 0.5, 1, 7) if first is None else np.asarray(first)
    matches = np.where(np.isnan(ap), 0, 2) if matches is None else matches
    return PerQuery(np.array([str(n) for n in range(len(ap))]), pid, pid * 0, ap, ap / 2, first, matches)


def simulated(rng, identities, *, shift=0.0, person=0.15, noise=0.1):
    """AP with a part of the person (shared by his queries) and a part of the query; true mean 0.5 + shift."""
    pid = np.repeat(np.arange(identities), rng.integers(1, 6, identities))
    return rows(
        0.5 + shift + person * rng.standard_normal(identities)[pid] + noise * rng.standard_normal(len(pid)), pid
    )


def slow_bootstrap(ap, pid, resamples, seed):
    rng = np.random.default_rng(seed)
    people = np.unique(pid)
    return [
        np.concatenate([ap[pid == person] for person in rng.choice(people, len(people))]).mean()
        for _ in range(resamples)
    ]


def test_interval_like_a_loop_over_resamples():
    data = simulated(np.random.default_rng(0), 40)
    got = intervals(data, metrics=["mAP"], resamples=4000)["mAP"]
    slow = slow_bootstrap(data.ap, data.pid, 4000, 1)
    assert got.value == pytest.approx(data.ap.mean())
    spread = np.std(slow)
    assert got.low == pytest.approx(np.percentile(slow, 2.5), abs=0.15 * spread)
    assert got.high == pytest.approx(np.percentile(slow, 97.5), abs=0.15 * spread)


def test_queries_of_one_person_are_not_independent():
    one_each, five_each = (
        rows(np.tile([0.2, 0.8], 50), np.arange(100)),
        rows(np.tile([0.2, 0.8], 250), np.tile(np.arange(100), 5)),
    )
    first, second = (intervals(data, metrics=["mAP"], resamples=2000)["mAP"] for data in (one_each, five_each))
    assert second.high - second.low == pytest.approx(first.high - first.low, rel=0.1)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    held = 0
    for number in range(150):
        found = intervals(simulated(rng, 60), metrics=["mAP"], resamples=400, seed=number)["mAP"]
        held += found.low <= 0.5 <= found.high
    assert 130 <= held <= 149


def test_queries_without_a_match_take_no_part():
    full = rows([0.1, 0.9, 0.4, 0.6], [1, 1, 2, 3])
    more = rows([0.1, 0.9, np.nan, 0.4, 0.6], [1, 1, 1, 2, 3])
    assert intervals(full, resamples=500) == intervals(more, resamples=500)
    with pytest.raises(InputError, match="no query has a valid match"):
        intervals(rows([np.nan], [1]))


def test_one_person_has_no_error_bar():
    found = intervals(rows([0.1, 0.9], [5, 5]))["mAP"]
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(paired([rows([0.1, 0.9], [5, 5])], [rows([0.2, 0.9], [5, 5])])["mAP"].p_value)


def test_sign_flip_like_all_sign_patterns():
    sums = np.random.default_rng(3).standard_normal((9, 2)) + 0.5
    signs = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1).T
    exact = (np.abs(signs @ sums) >= np.abs(sums.sum(0)) - 1e-9).mean(0)
    np.testing.assert_allclose(_sign_flip(sums, 20_000, 0), exact, atol=0.012)


def test_a_person_flips_as_a_whole():
    # 30 equal differences, but of one person only besides a second: at most 4 sign patterns, p is at least 1 / 2
    first, second = rows([0.6] * 30 + [0.6], [1] * 30 + [2]), rows([0.5] * 30 + [0.5], [1] * 30 + [2])
    assert paired([first], [second], resamples=2000)["mAP"].p_value >= 0.45


def test_paired_test_rejects_rarely_without_and_often_with_a_difference():
    rng = np.random.default_rng(4)
    rejected = {0.0: 0, 0.05: 0}
    for number in range(100):
        for shift in rejected:
            base = simulated(rng, 50)
            other = rows(base.ap + shift + 0.08 * rng.standard_normal(len(base.ap)), base.pid)
            found = paired([other], [base], metrics=["mAP"], resamples=300, seed=number)["mAP"]
            rejected[shift] += found.p_value < 0.05
    assert rejected[0.0] <= 12
    assert rejected[0.05] >= 90


def test_same_results_do_not_differ():
    data = simulated(np.random.default_rng(5), 20)
    found = paired([data], [data])["mAP"]
    assert (found.value, found.low, found.high, found.p_value, found.share_above) == (0.0, 0.0, 0.0, 1.0, 0.5)


def test_order_of_sides_only_changes_the_sign():
    rng = np.random.default_rng(6)
    a = simulated(rng, 30)
    b = rows(a.ap + 0.02 * rng.standard_normal(len(a.ap)), a.pid)
    there, back = paired([a], [b])["mAP"], paired([b], [a])["mAP"]
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))
    assert there.p_value == back.p_value


def test_over_seeds():
    rng = np.random.default_rng(7)
    base = simulated(rng, 80)
    seeds = [rows(base.ap + shift, base.pid) for shift in (-0.02, 0.0, 0.02)]
    found = over_seeds(seeds, metrics=["mAP"], resamples=2000)["mAP"]
    assert found.mean == pytest.approx(base.ap.mean())
    assert found.deviation == pytest.approx(0.02)
    assert found.num_seeds == 3
    single = over_seeds(seeds[1:2], metrics=["mAP"], resamples=2000)["mAP"]
    assert math.isnan(single.deviation)
    # variance of the combined mean: people's (as for one seed) plus 0.02^2 / 3
    people = ((single.high - single.low) / 2 / 1.96) ** 2
    assert (found.high - found.low) / 2 == pytest.approx(1.99 * math.sqrt(people + 0.02**2 / 3), rel=0.12)


def test_seeds_widen_a_difference():
    base = simulated(np.random.default_rng(8), 80)
    better = [rows(base.ap + 0.01 + shift, base.pid) for shift in (-0.03, 0.0, 0.03)]
    plain = [rows(base.ap + shift, base.pid) for shift in (-0.03, 0.0, 0.03)]
    assert paired(better[1:2], plain[1:2], resamples=500)["mAP"].p_value < 0.01
    found = paired(better, plain, resamples=500)["mAP"]
    assert found.value == pytest.approx(0.01)
    # Student's t with 4 degrees of freedom and the standard error sqrt(2 * 0.03^2 / 3)
    assert found.high - found.value == pytest.approx(2.776 * math.sqrt(2 * 0.03**2 / 3), rel=1e-3)
    assert found.p_value == pytest.approx(0.7040, abs=1e-3)


def test_the_seed_and_nothing_else_decides():
    data = simulated(np.random.default_rng(9), 30)
    assert intervals(data, resamples=200, seed=1) == intervals(data, resamples=200, seed=1)
    assert intervals(data, resamples=200, seed=1) != intervals(data, resamples=200, seed=2)
