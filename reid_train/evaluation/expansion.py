"""The closest gallery rows of each query, and query expansion with them.

Average query expansion after Chum et al., "Total Recall" (ICCV 2007); alpha query expansion after Radenovic et al.,
"Fine-tuning CNN Image Retrieval with No Human Annotation" (2019), section 3.6.

Shape legend: Q queries, G gallery rows, K width, k closest, M queries of a block.
"""

from typing import Any

import numpy as np
import torch

from reid_data.errors import UsageError
from reid_train.evaluation.distance import Metric, checked_norms, levelled, row_norms, take_rows
from reid_train.graph.blocks import spans

VERSIONS = {"query-expansion": 1}  # expand_queries

_BLOCK, _TILE = 256, 4096


def closest(
    queries: Any,
    gallery: Any,
    k: int,
    *,
    metric: str = "cosine",
    rows: np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Gallery rows (Q, k) of the `k` closest, nearest first, and their cosines (euclidean: distances), float64.

    `rows` limits the gallery to some rows. Chosen by float32 scores tile by tile, ordered by exact ones; equal ones by row.
    Raises InputError for gallery features that are not finite.
    """
    comparer = Metric(metric)
    kept = np.arange(gallery.shape[0]) if rows is None else rows
    k = min(k, len(kept))
    found, shown = np.empty((queries.shape[0], k), np.int64), np.empty((queries.shape[0], k))
    for a, b in spans(queries.shape[0], _BLOCK):
        queries_MK = take_rows(queries, np.arange(a, b), device)
        place = _candidates(comparer, queries_MK, gallery, kept, k)
        for row in range(b - a):
            mine = np.sort(kept[place[row]])
            scores = comparer.exact(queries_MK[row : row + 1], take_rows(gallery, mine, device))
            order = np.argsort(-scores[0].cpu().numpy(), kind="stable")
            found[a + row] = mine[order]
            norms = row_norms(queries_MK[row : row + 1].double())
            shown[a + row] = comparer.similarity(scores, norms[:, None])[0].cpu().numpy()[order]
    return found, shown


def _candidates(metric: Metric, queries_MK: torch.Tensor, gallery: Any, kept: np.ndarray, k: int) -> np.ndarray:
    """Positions (M, k) in `kept` of the best scores, in no order; float32 ones where float32 holds them."""
    norms_M1 = row_norms(queries_MK.double())[:, None]
    buffer = queries_MK.new_empty(len(queries_MK) * min(_TILE, len(kept)))
    best = queries_MK.new_empty((len(queries_MK), 0))
    place = torch.empty((len(queries_MK), 0), dtype=torch.int64, device=queries_MK.device)
    for c, d in spans(len(kept), _TILE):
        gallery_NK = take_rows(gallery, kept[c:d], queries_MK.device)
        norms_N = checked_norms(gallery_NK, kept[c:d], "gallery")
        held = bool(metric.held(norms_M1, norms_N.double()).all())
        scores = metric.tile(queries_MK, gallery_NK, norms_N, buffer) if held else metric.exact(queries_MK, gallery_NK)
        values, columns = scores.topk(min(k, d - c), dim=1)
        best, place = torch.cat([best, values], 1), torch.cat([place, columns + c], 1)
        best, order = best.topk(min(k, best.shape[1]), dim=1)
        place = place.gather(1, order)
    return place.cpu().numpy()


def expand_queries(
    queries: Any,
    gallery: Any,
    *,
    k: int = 5,
    alpha: float = 0.0,
    metric: str = "cosine",
    rows: np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Each query as the weighted mean of itself (weight 1) and its `k` closest gallery rows, (Q, K) float32.

    The weight of a gallery row is its cosine to the power `alpha`, 0 if the cosine is negative; alpha 0 is the plain
    average. For the cosine, features are scaled to unit length first and the mean is, too. `rows` leaves out junk.
    """
    if k < 1 or alpha < 0 or (alpha > 0 and metric != "cosine"):
        raise UsageError(
            f"query expansion with k {k}, alpha {alpha}, metric {metric}: expected k >= 1, alpha >= 0, and alpha with cosine only."
        )
    index, similarity = closest(queries, gallery, k, metric=metric, rows=rows, device=device)
    weights = torch.from_numpy(similarity).clamp(min=0).pow(alpha) if alpha else torch.ones(similarity.shape)
    expanded = np.empty(tuple(queries.shape), np.float32)
    for row in range(len(expanded)):
        order = np.argsort(index[row])
        around = take_rows(gallery, index[row][order], device)
        own = take_rows(queries, np.array([row]), device)[0]
        if metric == "cosine":
            around, own = (torch.nn.functional.normalize(levelled(rows), dim=-1) for rows in (around, own))
        mine = weights[row][torch.from_numpy(order)].to(around)
        mean = (own + mine @ around) / (1 + mine.sum())
        expanded[row] = (torch.nn.functional.normalize(mean, dim=0) if metric == "cosine" else mean).cpu().numpy()
    return expanded
