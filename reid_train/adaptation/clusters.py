"""The clusters of one round: DBSCAN on k-reciprocal Jaccard distances, at an eps that is stated or picked without labels."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from reid_train.adaptation.partitions import overlaps, with_singles
from reid_train.graph.dbscan import OUTLIER, dbscan
from reid_train.graph.distances import close_pairs, encoding, mean_of_closest

AUTO_EPS = tuple(round(0.2 + 0.05 * step, 2) for step in range(11))
"""What `auto` picks from, and what the table of a refusal shows."""
QUANTILE = 0.9
"""Of the clusters' independence in the first round: the threshold of all rounds (SpCL)."""


class AtEps(NamedTuple):
    """What DBSCAN finds at one eps; `largest`: the share of all images in the largest cluster."""

    eps: float
    clusters: int
    outliers: int
    largest: float


@dataclass(frozen=True)
class Clusters:
    """`labels` (N,) int32, OUTLIER for none, found at `eps`; `table`: what other eps would give.

    `threshold`: of the clusters' independence, to be kept for later rounds; None if reliability is not looked at.
    `seconds`: by stage.
    """

    labels: np.ndarray
    eps: float
    table: tuple[AtEps, ...]
    threshold: float | None
    seconds: dict[str, float]


def find_clusters(
    feats_ND: np.ndarray,
    *,
    eps: tuple[str, float],
    k1: int,
    k2: int,
    min_samples: int,
    reliable: float = 0.0,
    max_share: float = 0.1,
    threshold: float | None = None,
    device: str | torch.device = "cpu",
) -> Clusters:
    """Cluster unit features (N, D) float32.

    `eps`: ("auto", _), ("value", EPS) or ("percentile", SHARE), see `settings.adaptation`. `reliable`: clusters and images
    that change when eps changes by this much are left out; `threshold` then is that of the first round.
    """
    before = time.monotonic()
    weights = encoding(feats_ND, k1, k2, device=device)
    kind, value = eps
    if kind == "percentile":
        value = mean_of_closest(weights, value)
    limit = max(AUTO_EPS[-1], value if kind != "auto" else 0.0) + reliable
    graph = close_pairs(weights, min(limit, np.nextafter(1, 0)))
    graphed = time.monotonic()
    table = tuple(_at(graph, one, min_samples) for one in AUTO_EPS)
    chosen = pick_eps(table, max_share) if kind == "auto" else value
    labels = dbscan(graph, chosen, min_samples)
    if reliable:
        tight, loose = (dbscan(graph, chosen + change, min_samples) for change in (-reliable, reliable))
        labels, threshold = keep_reliable(labels, tight, loose, threshold)
    seconds = {"graph": graphed - before, "dbscan": time.monotonic() - graphed}
    return Clusters(labels, chosen, table, threshold if reliable else None, seconds)


def _at(graph: sparse.csr_array, eps: float, min_samples: int) -> AtEps:
    labels = dbscan(graph, eps, min_samples)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    return AtEps(eps, int(labels.max()) + 1, int((labels < 0).sum()), float(sizes.max() / len(labels)))


def pick_eps(table: Sequence[AtEps], max_share: float) -> float:
    """Of the eps whose largest cluster holds at most `max_share` of the images that with most clusters, the smallest of equals.

    If there is none, the one whose largest cluster is smallest.
    """
    sound = [row for row in table if row.largest <= max_share]
    best = min(sound, key=lambda row: (-row.clusters, row.eps)) if sound else min(table, key=lambda row: row.largest)
    return best.eps


def keep_reliable(
    labels_N: np.ndarray, tight_N: np.ndarray, loose_N: np.ndarray, threshold: float | None
) -> tuple[np.ndarray, float]:
    """(labels of what is reliable, the threshold of independence), after SpCL (arXiv:2006.02713, section 3.3 and its code).

    With a smaller eps a compact cluster stays whole, with a larger one an independent cluster stays alone: both are measured
    as 1 - intersection over union with the cluster at the other eps. Kept are the images of clusters whose best independence
    is within `threshold` (None: the QUANTILE over these clusters) and that are as compact as any in their cluster.
    """
    names = with_singles(labels_N)
    compactness, independence = 1 - overlaps(labels_N, tight_N), 1 - overlaps(labels_N, loose_N)
    best = np.full((2, names.max() + 1), np.inf)
    np.minimum.at(best[0], names, compactness)
    np.minimum.at(best[1], names, independence)
    if threshold is None:
        found = np.sort(best[1][np.bincount(names) > 1])
        threshold = float(found[min(len(found) - 1, round(len(found) * QUANTILE))]) if len(found) else 0.0
    kept = (labels_N >= 0) & (best[1][names] <= threshold) & (compactness <= best[0][names])
    return _renumbered(np.where(kept, labels_N, OUTLIER)), threshold


def _renumbered(labels_N: np.ndarray) -> np.ndarray:
    """The labels without gaps and without clusters of one image, in the same order."""
    sizes = np.bincount(labels_N[labels_N >= 0], minlength=1)
    new = np.where(sizes > 1, np.cumsum(sizes > 1) - 1, OUTLIER)
    return np.where(labels_N >= 0, new[labels_N], OUTLIER).astype(np.int32)


def refusal(found: Clusters, min_clusters: int, max_share: float, max_outliers: float) -> str | None:
    """Why a round cannot be trained on these clusters, with what other eps would give and what to change; None if it can."""
    num_images = len(found.labels)
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=1)
    clusters, outliers = int((sizes > 0).sum()), int((found.labels < 0).sum())
    if clusters < min_clusters:
        reason = f"{clusters} clusters were found, a batch needs {min_clusters}: take another --eps, lower --batch-ids"
    elif sizes.max() > max_share * num_images:
        reason = f"the largest cluster holds {sizes.max()} of {num_images} images, more than --max-share {max_share:g}: lower --eps"
    elif outliers > max_outliers * num_images:
        reason = f"{outliers} of {num_images} images are in no cluster, more than --max-outliers {max_outliers:g}: raise --eps"
    else:
        return None
    head = f"{'eps':>6}{'clusters':>10}{'outliers':>10}{'largest':>9}"
    rows = [f"{row.eps:6.2f}{row.clusters:10}{row.outliers:10}{100 * row.largest:8.1f}%" for row in found.table]
    return f"{reason}, or change --k1, --min-samples (here eps was {found.eps:.3f}).\n" + "\n".join([head, *rows])
