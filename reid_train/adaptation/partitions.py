"""How far two ways of dividing the same images agree. Labels (N,) int; below 0: in no cluster, so alone."""

from typing import NamedTuple

import numpy as np


class Contingency(NamedTuple):
    """How many images each pair of clusters shares: the pairs that share any, and the clusters' sizes.

    `pair` (N,) says for each image its pair.
    """

    first: np.ndarray
    second: np.ndarray
    shared: np.ndarray
    first_sizes: np.ndarray
    second_sizes: np.ndarray
    pair: np.ndarray


def with_singles(labels_N: np.ndarray) -> np.ndarray:
    """The labels with every outlier as a class of its own, numbered after the clusters in the order of the rows."""
    alone = labels_N < 0
    found = labels_N.astype(np.int64)
    found[alone] = labels_N.max(initial=-1) + 1 + np.arange(alone.sum())
    return found


def contingency(labels_N: np.ndarray, others_N: np.ndarray) -> Contingency:
    """The shared images of two partitions, outliers each alone; at most N pairs share any."""
    labels, others = with_singles(labels_N), with_singles(others_N)
    codes, pair, shared = np.unique(labels * (others.max() + 1) + others, return_inverse=True, return_counts=True)
    first, second = np.divmod(codes, others.max() + 1)
    return Contingency(first, second, shared, np.bincount(labels), np.bincount(others), pair)


def adjusted_rand(labels_N: np.ndarray, others_N: np.ndarray) -> float:
    """The adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition, about 0 for unrelated ones."""
    table = contingency(labels_N, others_N)
    both, one, other = (_pairs(sizes) for sizes in (table.shared, table.first_sizes, table.second_sizes))
    all_pairs = _pairs(np.array([len(labels_N)]))
    expected = one * other / all_pairs if all_pairs else 0.0
    most = (one + other) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def normalised_mutual_information(labels_N: np.ndarray, others_N: np.ndarray) -> float:
    """The mutual information of two partitions over the mean of their entropies; 1 if both are a single cluster."""
    table = contingency(labels_N, others_N)
    share = table.shared / len(labels_N)
    first, second = table.first_sizes / len(labels_N), table.second_sizes / len(labels_N)
    information = float((share * np.log(share / (first[table.first] * second[table.second]))).sum())
    mean = (_entropy(first) + _entropy(second)) / 2
    return 1.0 if mean == 0 else max(0.0, information) / mean


def purity(labels_N: np.ndarray, truth_N: np.ndarray) -> float:
    """The share of the images in clusters that are of their cluster's commonest identity; 1 without any cluster."""
    inside = labels_N >= 0
    if not inside.any():
        return 1.0
    labels, truth = labels_N[inside], np.unique(truth_N[inside], return_inverse=True)[1]
    table = contingency(labels, truth)
    best = np.zeros(len(table.first_sizes), np.int64)
    np.maximum.at(best, table.first, table.shared)
    return float(best.sum() / len(labels))


def overlaps(labels_N: np.ndarray, others_N: np.ndarray) -> np.ndarray:
    """(N,) for each image the intersection over union of its two clusters."""
    table = contingency(labels_N, others_N)
    union = table.first_sizes[table.first] + table.second_sizes[table.second] - table.shared
    return (table.shared / union)[table.pair]


def _pairs(sizes: np.ndarray) -> float:
    """The number of pairs within groups of these sizes."""
    sizes = sizes.astype(np.float64)
    return float((sizes * (sizes - 1) / 2).sum())


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
