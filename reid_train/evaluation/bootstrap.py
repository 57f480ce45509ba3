"""Error bars: how far a number would move with other people, or with other seeds. numpy only, seeded.

The queries of one person are not independent, so whole identities are drawn (the cluster bootstrap; Field and Welsh,
"Bootstrapping clustered data", 2007), and in the paired test the sign of a whole identity's difference is flipped
(Fisher's randomisation test). All intervals are at 95 %. Queries without a valid match take no part.

Shape legend: Q queries, I identities, V metrics, B resamples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid_data.errors import InputError
from reid_train.evaluation.per_query import PerQuery
from reid_train.runs.matrix_document import METRICS

VERSIONS = {"bootstrap": 1}  # intervals, paired, over_seeds

RESAMPLES = 10_000
_QUANTILES = (2.5, 97.5)
_CHUNK = 1000


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its 95 % interval; NaN limits where there is a single identity."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A minus B: the mean, its 95 % interval, the two-sided p of no difference, and the share of resamples above zero."""

    value: float
    low: float
    high: float
    p_value: float
    share_above: float


@dataclass(frozen=True)
class OverSeeds:
    """One metric over several seeds: mean, standard deviation (NaN for one seed), and the interval of the mean for other
    seeds and other people together.
    """

    mean: float
    deviation: float
    low: float
    high: float
    num_seeds: int


def intervals(
    rows: PerQuery, *, metrics: Sequence[str] = METRICS, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Percentile bootstrap over identities of each of `metrics`."""
    sums, counts = _identity_sums(rows.pid, _values([rows], metrics), _valid(rows))
    means = sums.sum(0) / counts.sum()
    if len(counts) < 2:
        return {metric: Interval(float(mean), math.nan, math.nan) for metric, mean in zip(metrics, means)}
    low, high = np.percentile(_resampled_means(sums, counts, resamples, seed), _QUANTILES, axis=0)
    return {metric: Interval(float(means[v]), float(low[v]), float(high[v])) for v, metric in enumerate(metrics)}


def paired(
    first: Sequence[PerQuery],
    second: Sequence[PerQuery],
    *,
    metrics: Sequence[str] = METRICS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """`first` minus `second`, each one or more results (seeds) on the same queries in the same order.

    With one seed on both sides: percentile interval of the paired bootstrap, p of the sign-flip test over identities. With
    more: the variance of the seeds' means is added to that of the identities, and interval and p are Student's, with
    Satterthwaite's degrees of freedom; the interval then speaks of other seeds, too.
    """
    valid = _valid(first[0])
    differences = _values(first, metrics) - _values(second, metrics)
    sums, counts = _identity_sums(first[0].pid, differences, valid)
    value = sums.sum(0) / counts.sum()
    if len(counts) < 2:
        return {
            metric: Difference(float(value[v]), math.nan, math.nan, math.nan, math.nan)
            for v, metric in enumerate(metrics)
        }
    draws = _resampled_means(sums, counts, resamples, seed)
    low, high = np.percentile(draws, _QUANTILES, axis=0)
    above = ((draws > 0).sum(0) + 0.5 * (draws == 0).sum(0)) / len(draws)
    p_value = _sign_flip(sums, resamples, seed)
    if len(first) > 1 or len(second) > 1:
        variances = [(_seed_variance(side, metrics), len(side)) for side in (first, second)]
        low, high, p_value = _student(value, draws.var(0, ddof=1), len(counts) - 1, variances)
    return {
        metric: Difference(*(float(part[v]) for part in (value, low, high, p_value, above)))
        for v, metric in enumerate(metrics)
    }


def over_seeds(
    results: Sequence[PerQuery], *, metrics: Sequence[str] = METRICS, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, OverSeeds]:
    """Mean, standard deviation and combined interval of results that differ in their seed only."""
    per_seed = np.array([_means(rows, metrics) for rows in results])
    deviation = per_seed.std(0, ddof=1) if len(results) > 1 else np.full(len(metrics), math.nan)
    if len(results) == 1:
        single = intervals(results[0], metrics=metrics, resamples=resamples, seed=seed)
        return {metric: OverSeeds(one.value, math.nan, one.low, one.high, 1) for metric, one in single.items()}
    sums, counts = _identity_sums(results[0].pid, _values(results, metrics), _valid(results[0]))
    mean = per_seed.mean(0)
    low = high = np.full(len(metrics), math.nan)
    if len(counts) > 1:
        spread = _resampled_means(sums, counts, resamples, seed).var(0, ddof=1)
        low, high, _ = _student(mean, spread, len(counts) - 1, [(_seed_variance(results, metrics), len(results))])
    return {
        metric: OverSeeds(float(mean[v]), float(deviation[v]), float(low[v]), float(high[v]), len(results))
        for v, metric in enumerate(metrics)
    }


def _valid(rows: PerQuery) -> np.ndarray:
    valid = rows.num_matches > 0
    if not valid.any():
        raise InputError(
            "no query has a valid match, so there is nothing to compare. Evaluate against the right gallery."
        )
    return valid


def _values(results: Sequence[PerQuery], metrics: Sequence[str]) -> np.ndarray:
    """(Q, V): the per-query values, averaged over the results."""
    return np.mean([[rows.values(metric) for metric in metrics] for rows in results], axis=0).T


def _means(rows: PerQuery, metrics: Sequence[str]) -> np.ndarray:
    return _values([rows], metrics)[_valid(rows)].mean(0)


def _identity_sums(pids: np.ndarray, values_QV: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (I, V) and numbers (I,) of the valid queries of each identity."""
    _, identity = np.unique(pids[valid], return_inverse=True)
    counts = np.bincount(identity).astype(np.float64)
    sums = np.stack([np.bincount(identity, column) for column in values_QV[valid].T], axis=1)
    return sums, counts


def _resampled_means(sums_IV: np.ndarray, counts_I: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means (B, V) over as many identities, drawn with replacement."""
    rng = np.random.default_rng(seed)
    total = len(counts_I)
    with_counts = np.column_stack([sums_IV, counts_I])
    means = []
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, total, (rows, total), dtype=np.int32) + np.arange(rows, dtype=np.int32)[:, None] * total
        times = np.bincount(drawn.ravel(), minlength=rows * total).reshape(rows, total)
        totals = times.astype(np.float64) @ with_counts
        means.append(totals[:, :-1] / totals[:, -1:])
    return np.concatenate(means)


def _sign_flip(sums_IV: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Two-sided p (V,) of the total difference under random signs of the identities' differences."""
    rng = np.random.default_rng([seed, 1])
    observed = np.abs(sums_IV.sum(0))
    slack = 1e-12 * np.abs(sums_IV).sum(0)
    as_large = np.zeros(sums_IV.shape[1])
    for start in range(0, resamples, _CHUNK):
        signs = rng.integers(0, 2, (min(_CHUNK, resamples - start), len(sums_IV)), dtype=np.int8) * 2.0 - 1.0
        as_large += (np.abs(signs @ sums_IV) >= observed - slack).sum(0)
    return (1 + as_large) / (1 + resamples)


def _seed_variance(results: Sequence[PerQuery], metrics: Sequence[str]) -> np.ndarray:
    """Variance (V,) of the mean over these seeds; 0 for one seed."""
    if len(results) < 2:
        return np.zeros(len(metrics))
    return np.array([_means(rows, metrics) for rows in results]).var(0, ddof=1) / len(results)


def _student(
    value: np.ndarray, identity_variance: np.ndarray, identity_freedom: int, seeds: Sequence[tuple[np.ndarray, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low, high and two-sided p (V,) of a mean whose variance is the sum of the identities' and the seeds'."""
    from scipy.special import stdtr, stdtrit

    total = identity_variance + sum(variance for variance, _ in seeds)
    shares = identity_variance**2 / identity_freedom
    shares = shares + sum(variance**2 / (number - 1) for variance, number in seeds if number > 1)
    freedom = np.where(shares > 0, total**2 / np.where(shares > 0, shares, 1), identity_freedom)
    error = np.sqrt(total)
    reach = stdtrit(freedom, 0.975) * error
    p_value = np.where(
        error > 0, 2 * stdtr(freedom, -np.abs(value) / np.where(error > 0, error, 1)), (value == 0).astype(float)
    )
    return value - reach, value + reach, p_value
