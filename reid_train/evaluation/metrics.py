"""From ranks to numbers: AP, INP, CMC and their means, as one result object. numpy only.

Numbers are shares in [0, 1]. Shape legend: Q queries, R asked ranks, C ranks of the CMC curve.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reid_data.errors import unknown_name

VERSIONS = {"ranking": 1}  # from distances to AP, INP and CMC, with protocol.py and what it calls

AP_RULES = ("step", "trapezoid")
CMC_LENGTH = 50


@dataclass(frozen=True)
class RankingResult:
    """What a ranking is worth, per query and as a whole.

    Per query, (Q,): `ap` and `inp` float64, NaN for a query without a valid match; `first_match` the 1-based rank of the
    first right match, 0 without one; `num_matches`. `cmc` (C,) is the share of valid queries with a right match among
    the first 1, 2, ... C. `hits` (Q, R) is, per query and rank of `ranks`, whether (single-gallery-shot: how often) a right
    match stands there or before. `warnings` are for the user; `settings` says how it was evaluated.
    """

    ap: np.ndarray
    inp: np.ndarray
    first_match: np.ndarray
    num_matches: np.ndarray
    hits: np.ndarray
    cmc: np.ndarray
    ranks: tuple[int, ...]
    query_pids: np.ndarray
    query_camids: np.ndarray
    warnings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def valid(self) -> np.ndarray:
        """(Q,) bool: the queries that have a right match and so enter the means."""
        return self.num_matches > 0

    def metrics(self) -> dict[str, float | int]:
        """mAP, mINP, rank-1, ..., and the number of queries with and without a valid match."""
        means = {f"rank-{rank}": float(self.hits[self.valid, place].mean()) for place, rank in enumerate(self.ranks)}
        return {
            "mAP": float(self.ap[self.valid].mean()),
            "mINP": float(self.inp[self.valid].mean()),
            **means,
            "queries": len(self.ap),
            "queries_without_match": int((~self.valid).sum()),
        }


def step_ap(order: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Precision at each right match (the `order`-th one, at `rank`); its mean over a query's matches is the step AP.

    This is the AP of Market-1501's later evaluators (torchreid, fast-reid) and of information retrieval.
    """
    return order / rank


def trapezoid_ap(order: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Mean of the precision at and just before each right match (before rank 1: 1): the area by the trapezoid rule.

    From the Oxford buildings evaluation, used by Market-1501's first tool; a little lower than the step AP, and not
    comparable with it.
    """
    before = np.where(rank > 1, (order - 1) / np.maximum(rank - 1, 1), 1.0)
    return (before + order / rank) / 2


def precision_rule(name: str) -> Any:
    """`step_ap` or `trapezoid_ap` by name; UsageError for another."""
    if name not in AP_RULES:
        raise unknown_name("AP rule", name, AP_RULES)
    return {"step": step_ap, "trapezoid": trapezoid_ap}[name]


def per_query(
    query: np.ndarray, order: np.ndarray, rank: np.ndarray, num_queries: int, *, ap: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """AP, INP, rank of the first match and number of matches per query, from its matches by rising query and rank.

    INP (Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", 2021) is the number of matches
    over the rank of the last one.
    """
    num_matches = np.bincount(query, minlength=num_queries)
    last_place = np.cumsum(num_matches) - 1
    valid = num_matches > 0
    average, inp = np.full(num_queries, np.nan), np.full(num_queries, np.nan)
    total = np.bincount(query, weights=precision_rule(ap)(order, rank), minlength=num_queries)
    average[valid] = total[valid] / num_matches[valid]
    inp[valid] = num_matches[valid] / rank[last_place[valid]]
    first_match = np.zeros(num_queries, np.int64)
    first_match[valid] = rank[(last_place - num_matches + 1)[valid]]
    return average, inp, first_match, num_matches


def cmc_curve(first_match: np.ndarray, length: int) -> np.ndarray:
    """Share of the queries with a match whose first one stands at rank <= 1, 2, ..., `length`."""
    found = first_match[first_match > 0]
    return np.cumsum(np.bincount(np.minimum(found, length + 1), minlength=length + 2))[1 : length + 1] / max(
        len(found), 1
    )
