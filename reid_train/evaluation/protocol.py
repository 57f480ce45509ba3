"""From arrays to a result: the one function that judges a model, whatever made its features.

Protocols:
    standard    a gallery image of the query's person from the query's camera is left out (Zheng et al., "Scalable Person
                Re-identification: A Benchmark", ICCV 2015)
    no-camera   every image of the query's person counts
    cuhk03      as standard, with one gallery image per identity drawn at random (see `single_shot`)
In all of them junk (pid -1) is left out and a distractor (pid 0) is a wrong match.
"""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from reid_data.errors import InputError, UsageError, unknown_name
from reid_data.records import DISTRACTOR_PID
from reid_train.evaluation.matching import Pairs, same_identity_pairs, scored_rows
from reid_train.evaluation.metrics import CMC_LENGTH, RankingResult, cmc_curve, per_query, precision_rule

if TYPE_CHECKING:
    from reid_train.evaluation.distance import Metric
    from reid_train.evaluation.rerank import RerankSettings
    from reid_train.evaluation.task import Adjustment, Task

PROTOCOLS = ("standard", "no-camera", "cuhk03")
_log = logging.getLogger(__name__)


def evaluate(
    query_feats: Any,
    query_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_feats: Any,
    gallery_pids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    metric: str = "cosine",
    protocol: str = "standard",
    ranks: tuple[int, ...] = (1, 5, 10),
    ap: str = "step",
    block: int = 1024,
    rerank: "RerankSettings | None" = None,
    seed: int = 0,
    device: str = "cpu",
) -> RankingResult:
    """Rank the gallery for every query and judge the ranking.

    Features are (Q, K) and (G, K), numpy or torch, any floating type (compared as float32); the gallery may also be
    anything that is sliced by rows (`np.memmap`, `tensors.StoredRows`): it is read once, tile by tile. Ids and
    cameras are integers, (Q,) and (G,). `block` is the number of query rows in one product and changes memory only;
    `seed` is that of the single-gallery-shot draws. Ties count against the method (see `ranking`). Warnings go to the
    log and into the result. Raises InputError for features that cannot be compared and when no query has a valid match,
    UsageError for unknown names.
    """
    from reid_train.evaluation.distance import Metric
    from reid_train.evaluation.task import Task

    _check_options(protocol, ap, ranks, block)
    comparer = Metric(metric)
    query_feats, gallery_feats = _table("query", query_feats), _table("gallery", gallery_feats)
    query_pids, query_camids = _ids("query", query_feats, query_pids, query_camids)
    gallery_pids, gallery_camids = _ids("gallery", gallery_feats, gallery_pids, gallery_camids)
    _require_one_width(query_feats.shape[1], gallery_feats.shape[1])
    scored = scored_rows(gallery_pids)
    pids, camids = gallery_pids[scored], gallery_camids[scored]
    pairs = same_identity_pairs(query_pids, query_camids, pids, camids, camera_rule=protocol != "no-camera")
    _require_matches(pairs, query_camids, gallery_camids)
    warnings = [*_check_queries(query_feats, metric), *_check_people(query_pids)]
    adjustment = _adjustment(query_feats, gallery_feats, scored, comparer, rerank, device) if rerank else None
    task = Task(query_feats, gallery_feats, scored, pairs, comparer, adjustment)
    if protocol == "cuhk03":
        values, num_zero = _single_shot(task, pids, tuple(ranks), seed, device)
    else:
        values, num_zero = _all_matches(task, ap, tuple(ranks), block, device)
    if metric == "cosine" and num_zero:
        warnings.append(_zero_warning(num_zero, len(scored), "gallery"))
    for warning in warnings:
        _log.warning(warning)
    settings = {"metric": metric, "protocol": protocol, "ap": ap, "rerank": rerank.as_dict() if rerank else None}
    values |= {"query_pids": query_pids, "query_camids": query_camids, "warnings": tuple(warnings)}
    return RankingResult(**values, ranks=tuple(ranks), settings=settings)


def chance_map(
    query_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_pids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    protocol: str = "standard",
) -> float:
    """The mAP that random rankings have on average, exactly; what a model that knows nothing scores.

    For m right among n ranked images the expected step AP is (H + (n - H)(m - 1)/(n - 1)) / n with H the n-th harmonic
    number: the chance of a match at rank i, times the precision there, summed (Bestgen, "Exact expected average precision
    of the random baseline", 2015). Protocols `standard` and `no-camera`.
    """
    if protocol not in PROTOCOLS[:2]:
        raise unknown_name("protocol for the chance level", protocol, PROTOCOLS[:2])
    query_pids, query_camids = np.asarray(query_pids), np.asarray(query_camids)
    gallery_pids, gallery_camids = np.asarray(gallery_pids), np.asarray(gallery_camids)
    scored = scored_rows(gallery_pids)
    pairs = same_identity_pairs(
        query_pids, query_camids, gallery_pids[scored], gallery_camids[scored], camera_rule=protocol == "standard"
    )
    _require_matches(pairs, query_camids, gallery_camids)
    right = pairs.num_matches()
    ranked = len(scored) - np.bincount(pairs.query[~pairs.is_match], minlength=len(right))
    right, ranked = right[right > 0], ranked[right > 0]
    harmonic = np.cumsum(1 / np.arange(1, len(scored) + 1))[ranked - 1]
    return float(np.mean((harmonic + (ranked - harmonic) * (right - 1) / np.maximum(ranked - 1, 1)) / ranked))


def _adjustment(
    queries: Any, gallery: Any, scored: np.ndarray, metric: "Metric", rerank: "RerankSettings", device: str
) -> "Adjustment":
    from reid_train.evaluation.rerank import rerank_adjustment

    return rerank_adjustment(queries, gallery, scored, metric, rerank, device=device)


def _all_matches(task: "Task", ap: str, ranks: tuple[int, ...], block: int, device: str) -> tuple[dict[str, Any], int]:
    """The per-query fields of a result, and the number of zero gallery features."""
    from reid_train.evaluation.ranking import rank_matches

    found = rank_matches(task, block=block, device=device)
    average, inp, first_match, num_matches = per_query(
        found.query, found.order, found.rank, len(task.pairs.query_pids), ap=ap
    )
    hits = ((first_match[:, None] > 0) & (first_match[:, None] <= np.array(ranks))).astype(float)
    cmc = cmc_curve(first_match, max(CMC_LENGTH, *ranks))
    values = {
        "ap": average,
        "inp": inp,
        "first_match": first_match,
        "num_matches": num_matches,
        "hits": hits,
        "cmc": cmc,
    }
    return values, found.num_zero


def _single_shot(
    task: "Task", pids: np.ndarray, ranks: tuple[int, ...], seed: int, device: str
) -> tuple[dict[str, Any], int]:
    """As `_all_matches`, by means over the draws; `first_match` is the median rank, rounded up."""
    from reid_train.evaluation.single_shot import rank_single_shot

    found = rank_single_shot(task, pids, seed=seed, device=device)
    num_queries = len(task.pairs.query_pids)
    average, first_match, hits = (
        np.full(num_queries, np.nan),
        np.zeros(num_queries, np.int64),
        np.zeros((num_queries, len(ranks))),
    )
    average[found.query] = (1 / found.rank).mean(1)
    first_match[found.query] = np.ceil(np.median(found.rank, axis=1))
    hits[found.query] = (found.rank[:, :, None] <= np.array(ranks)).mean(1)
    cmc = cmc_curve(found.rank.ravel(), max(CMC_LENGTH, *ranks))
    num_matches = task.pairs.num_matches()
    return {
        "ap": average,
        "inp": average,
        "first_match": first_match,
        "num_matches": num_matches,
        "hits": hits,
        "cmc": cmc,
    }, found.num_zero


def _check_options(protocol: str, ap: str, ranks: tuple[int, ...], block: int) -> None:
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    if block < 1 or not ranks or min(ranks) < 1:
        raise UsageError(f"block ({block}) and ranks ({', '.join(map(str, ranks))}) must be 1 or more.")
    precision_rule(ap)


def _require_one_width(query: int, gallery: int) -> None:
    if query != gallery:
        raise InputError(
            f"query features are {query} wide, gallery features {gallery}: they must come from one model. Extract both with it."
        )


def _table(side: str, features: Any) -> Any:
    """`features` if they are a table of numbers; InputError otherwise. Lists become arrays."""
    table = features if hasattr(features, "shape") else np.asarray(features)
    shape = tuple(table.shape)
    if len(shape) != 2 or not shape[1]:
        raise InputError(f"{side} features must be a table (number of images, width); got the shape {shape}.")
    if isinstance(getattr(table, "dtype", None), np.dtype) and table.dtype.kind not in "fiu":
        raise InputError(f"{side} features must be real numbers; got {table.dtype}.")
    if not shape[0]:
        raise InputError(f"the {side} is empty: there is nothing to rank. Give at least one {side} image.")
    return table


def _ids(side: str, features: Any, pids: Any, camids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids and cameras as int64 arrays of the features' length; InputError where they do not fit."""
    number = features.shape[0]
    arrays = []
    for what, values in (("pids", pids), ("camids", camids)):
        array = np.asarray(values)
        if array.shape != (number,):
            raise InputError(
                f"{side}: {number} features but {what} of shape {array.shape}; expected one for each feature."
            )
        if array.dtype.kind not in "iu":
            raise InputError(f"{side} {what} must be whole numbers; got {array.dtype}.")
        arrays.append(array.astype(np.int64))
    return arrays[0], arrays[1]


def _require_matches(pairs: Pairs, query_camids: np.ndarray, gallery_camids: np.ndarray) -> None:
    """InputError, with the likely reason, when no query has a right match."""
    if pairs.is_match.any():
        return
    if not len(pairs.query):
        raise InputError(
            "no query has a valid match: no identity is in both query and gallery. Check that both come from one data set and that "
            "the pids are not relabelled separately."
        )
    if len(np.union1d(query_camids, gallery_camids)) == 1:
        raise InputError(
            f"no query has a valid match: every image has camera {gallery_camids[0]}, and images from the query's own camera are left "
            "out. Give the real camera ids, or evaluate with --protocol no-camera."
        )
    raise InputError(
        "no query has a valid match: every right gallery image comes from its query's own camera and is left out. "
        "Check the camera ids, or evaluate with --protocol no-camera."
    )


def _check_queries(features: Any, metric: str) -> list[str]:
    """Warnings about the query features; InputError where they cannot be compared."""
    from reid_train.evaluation.distance import checked_norms, take_rows
    from reid_train.graph.blocks import spans

    zeros = 0
    for a, b in spans(features.shape[0], 4096):
        index = np.arange(a, b)
        zeros += int((checked_norms(take_rows(features, index), index, "query") == 0).sum())
    return [_zero_warning(zeros, features.shape[0], "query")] if zeros and metric == "cosine" else []


def _check_people(query_pids: np.ndarray) -> list[str]:
    lost = int((query_pids == DISTRACTOR_PID).sum())
    if not lost:
        return []
    return [
        f"{lost} of {len(query_pids)} queries have pid 0, which means distractor (nobody): they are not scored. If the ids "
        "count from 0, add 1 to all of them (reid-data import --ids-from-zero does)."
    ]


def _zero_warning(zeros: int, total: int, side: str) -> str:
    return (
        f"{zeros} of {total} {side} features are all zero: they have no direction, so their cosine counts as 0 with everything. "
        "Look at those images and at the model."
    )
