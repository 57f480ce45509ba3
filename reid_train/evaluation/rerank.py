"""k-reciprocal re-ranking, sparse and blocked: the same numbers as the dense formulation without its matrices.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR 2017):

    d*(q, g) = (1 - lambda) * jaccard(q, g) + lambda * d(q, g) / max over all images x of d(q, x)

with d the squared euclidean distance (for the cosine: of unit vectors), over query and gallery together. Junk takes no
part. Since d* is the plain score times a factor per query plus a sparse term, the ranking itself stays as it is.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from reid_data.errors import UsageError
from reid_train.evaluation.distance import Metric, checked_norms, take_rows
from reid_train.evaluation.task import Adjustment
from reid_train.graph.blocks import spans
from reid_train.graph.neighbours import averaged, jaccard, nearest, reciprocal_weights

VERSIONS = {"rerank": 1}  # with neighbours.py

_CHECKED_ROWS = 4096


@dataclass(frozen=True)
class RerankSettings:
    """`k1` neighbours make the reciprocal sets, `k2` are averaged, `lam` in [0, 1] is the share of the plain distance."""

    k1: int = 20
    k2: int = 6
    lam: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or self.k2 > self.k1 + 1 or not 0 <= self.lam <= 1:
            raise UsageError(
                f"re-ranking with k1 {self.k1}, k2 {self.k2}, lambda {self.lam}: "
                "expected k1 >= 1, 1 <= k2 <= k1 + 1, 0 <= lambda <= 1."
            )

    def as_dict(self) -> dict[str, Any]:
        """For results and digests."""
        return asdict(self)


def rerank_adjustment(
    queries: Any,
    gallery: Any,
    scored: np.ndarray,
    metric: Metric,
    settings: RerankSettings,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Adjustment:
    """What re-ranking adds to the scores of queries (Q, K) with the rows `scored` of the gallery."""
    num_queries = queries.shape[0]
    total = num_queries + len(scored)
    norms = torch.empty(total)

    def rows(index: np.ndarray) -> torch.Tensor:
        split = np.searchsorted(index, num_queries)
        features = take_rows(gallery, scored[index[split:] - num_queries], device)
        if split:
            features = torch.cat([take_rows(queries, index[:split], device), features])
        if metric.name == "cosine":
            return features / norms[index, None].to(features.device)
        return features if scale == 1 else (features.double() * scale).to(features)

    for a, b in spans(len(scored), _CHECKED_ROWS):
        norms[num_queries + a : num_queries + b] = checked_norms(
            take_rows(gallery, scored[a:b], device), scored[a:b], "gallery"
        ).cpu()
    for a, b in spans(num_queries, _CHECKED_ROWS):
        norms[a:b] = checked_norms(take_rows(queries, np.arange(a, b), device), np.arange(a, b), "query").cpu()
    scale = _scale(float(norms.max()))
    norms[norms == 0] = 1
    neighbours = nearest(rows, total, settings.k1, progress=progress)
    weights = reciprocal_weights(neighbours, rows, settings.k1)
    if settings.k2 > 1:
        weights = averaged(weights, neighbours, settings.k2)
    counts, columns, values = [], [], []
    for chunk in jaccard(weights[:num_queries], weights[num_queries:]):
        counts.append(np.diff(chunk.indptr))
        columns.append(chunk.indices)
        values.append(chunk.data * (1 - settings.lam))
    start = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    farthest = np.where(neighbours.farthest > 0, neighbours.farthest, 1)[:num_queries].astype(np.float64)
    factor = 2 * settings.lam / farthest
    if metric.name == "cosine":
        factor /= norms[:num_queries].numpy()
    else:
        factor *= scale**2
    return Adjustment(factor, start, np.concatenate(columns), np.concatenate(values))


def _scale(largest: float) -> float:
    """A power of two by which to multiply all features so that float32 holds squared distances; 1 for usual norms."""
    return 1.0 if largest == 0 or 1e-9 < largest < 1e9 else 2.0 ** -math.frexp(largest)[1]
