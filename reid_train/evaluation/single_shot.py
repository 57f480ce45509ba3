"""CUHK03's single-gallery-shot protocol: one gallery image per identity, drawn again and again.

Li et al., "DeepReID" (CVPR 2014): the gallery holds one image of each identity, and the numbers are means over random
choices of it. For each query the draw is made after the same-camera pairs are left out; a distractor (pid 0) is nobody
else's image and always in the gallery. With one right match, AP and INP are both 1 / rank.

Shape legend: Q queries, S scored gallery rows, I identities in the gallery, D draws, M queries of a block.
"""

from dataclasses import dataclass

import numpy as np
import torch

from reid_data.records import DISTRACTOR_PID
from reid_train.evaluation.distance import TIE, checked_norms, row_norms, take_rows
from reid_train.evaluation.ranking import pair_scores
from reid_train.evaluation.task import Task
from reid_train.graph.blocks import spans

DRAWS = 100
_COLUMNS = 4096
_SCORES = 1 << 21


@dataclass(frozen=True)
class SingleShotRanks:
    """`rank` (V, D): 1-based rank of the one right match in each draw, for the V queries `query` that have any; `num_zero`
    as in `ranking.MatchRanks`.
    """

    query: np.ndarray
    rank: np.ndarray
    num_zero: int


def rank_single_shot(
    task: Task, pids: np.ndarray, *, seed: int, draws: int = DRAWS, device: str | torch.device = "cpu"
) -> SingleShotRanks:
    """Ranks under `draws` random galleries, one image per identity; `pids` (S,) belong to the scored rows.

    Scores are exact (float64) and ties count against the match, as in `ranking`; memory is bounded by the block.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(pids, kind="stable")
    identities, first, counts = np.unique(pids[order], return_index=True, return_counts=True)
    people = identities != DISTRACTOR_PID
    chosen_DI = order[first[people] + rng.integers(0, counts[people], size=(draws, int(people.sum())))]
    always = np.flatnonzero(pids == DISTRACTOR_PID)
    scores = pair_scores(task)
    query = np.flatnonzero(task.pairs.num_matches())
    picks = _draw_matches(task, query, scores, rng, draws)
    rank = np.ones((len(query), draws), np.int64)
    num_zero = 0
    for a, b in spans(len(query), max(1, _SCORES // len(task.scored))):
        scores_MS, num_zero = _scores(task, query[a:b], device)
        for d in range(draws):
            rank[a:b, d] += (scores_MS[:, chosen_DI[d]] >= picks[a:b, d, None]).sum(1)
        for row, wrong in enumerate(np.sort(scores_MS[:, always], axis=1)):
            rank[a + row] += len(always) - np.searchsorted(wrong, picks[a + row])
    return SingleShotRanks(query, rank, num_zero)


def _draw_matches(
    task: Task, query: np.ndarray, scores: np.ndarray, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """(V, D) score of one random right match per query and draw."""
    matched = np.flatnonzero(task.pairs.is_match)
    counts = task.pairs.num_matches()
    start = (np.cumsum(counts) - counts)[query]
    return scores[matched][start[:, None] + rng.integers(0, counts[query][:, None], size=(len(query), draws))]


def _scores(task: Task, queries: np.ndarray, device: str | torch.device) -> tuple[np.ndarray, int]:
    """(M, S) exact scores plus the slack that makes ties count, -inf for every pair of one identity; number of zero rows."""
    queries_MK = take_rows(task.queries, queries, device).double()
    norms_M1 = row_norms(queries_MK)[:, None]
    scores_MS = np.empty((len(queries), len(task.scored)))
    num_zero = 0
    for a, b in spans(len(task.scored), _COLUMNS):
        gallery_NK = take_rows(task.gallery, task.scored[a:b], device)
        norms_N = checked_norms(gallery_NK, task.scored[a:b], "gallery").double()
        num_zero += int((norms_N == 0).sum())
        slack = TIE * task.metric.magnitude(norms_M1, norms_N[None, :]).cpu().numpy()
        scores_MS[:, a:b] = task.metric.exact(queries_MK, gallery_NK).cpu().numpy() + slack
        if task.adjustment is not None:
            scores_MS[:, a:b] *= task.adjustment.factor[queries, None]
            row, column, value = task.adjustment.entries(queries, a, b)
            scores_MS[row, column + a] += value
    start, stop = task.pairs.start[queries], task.pairs.start[queries + 1]
    for line, (begin, end) in enumerate(zip(start, stop)):
        scores_MS[line, task.pairs.column[begin:end]] = -np.inf
    return scores_MS, num_zero
