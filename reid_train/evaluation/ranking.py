"""Ranks of the right matches without sorting the gallery.

All that CMC, AP and INP need is, for each right match, how many wrong gallery images are at least as close to the query
(see `counting`). Ties count against the method: a wrong image that is as close as the right one is ranked before it. So
the result does not depend on the order of the gallery, and a model that maps everything to one point is not rewarded.

Shape legend: Q queries, S scored gallery rows (junk left out), K width, P pairs (query, scored row of the same identity).
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from reid_train.evaluation.counting import Counter
from reid_train.evaluation.distance import take_rows
from reid_train.evaluation.task import Task
from reid_train.graph.blocks import spans

QUERY_BLOCK = 1024
_EXACT_ROWS, _MAX_THREADS = 256, 8


@dataclass(frozen=True)
class MatchRanks:
    """Ranks of the right matches, by rising query, then rank.

    `rank` is 1-based among the images that are ranked for that query; `order` is 1, 2, ... within a query;
    `num_zero` is the number of scored gallery features that are all zero.
    """

    query: np.ndarray
    order: np.ndarray
    rank: np.ndarray
    num_zero: int


def rank_matches(task: Task, *, block: int = QUERY_BLOCK, device: str | torch.device = "cpu") -> MatchRanks:
    """Rank of every right match; `block` is the number of query rows in a product.

    Raises InputError for gallery features that are not finite.
    """
    pairs = task.pairs
    scores = pair_scores(task)[pairs.is_match]
    query = pairs.query[pairs.is_match]
    by_closeness = np.lexsort((-scores, query))
    start = np.concatenate([[0], np.cumsum(pairs.num_matches())])
    order = np.arange(len(query)) - start[query] + 1
    counter = Counter(task, scores[by_closeness], start, block, torch.device(device))
    return MatchRanks(query, order, order + counter.count(), counter.num_zero)


def pair_scores(task: Task) -> np.ndarray:
    """Exact adjusted scores (P,) float64 of all pairs, in their order.

    Many tiny products: numpy makes them on the CPU, a batch of identities to a thread, whatever the device of the rest.
    """
    pairs = task.pairs
    products, norms = np.empty(len(pairs.query)), np.empty(len(task.scored))

    def fill(pieces: list[tuple[np.ndarray, np.ndarray, int]]) -> None:
        queries = np.concatenate([queries for queries, _, _ in pieces])
        columns = np.concatenate([columns for _, columns, _ in pieces])
        queries_K = take_rows(task.queries, queries).numpy().astype(np.float64)
        gallery_K = take_rows(task.gallery, task.scored[columns]).numpy().astype(np.float64)
        norms[columns] = np.sqrt(np.einsum("nk,nk->n", gallery_K, gallery_K))
        row, line = 0, 0
        for queries, columns, offset in pieces:
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported by checked_norms
                block = queries_K[row : row + len(queries)] @ gallery_K[line : line + len(columns)].T
            products[pairs.start[queries, None] + offset + np.arange(len(columns))] = block
            row, line = row + len(queries), line + len(columns)

    with ThreadPoolExecutor(min(torch.get_num_threads(), _MAX_THREADS)) as pool:
        list(pool.map(fill, _batches(pairs.groups())))
    scores = task.metric.finish(torch.from_numpy(products), torch.from_numpy(norms[pairs.column])).numpy()
    return task.adjusted(scores, pairs.query, pairs.column)


def _batches(groups: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[list[tuple[np.ndarray, np.ndarray, int]]]:
    """Groups cut into (queries, columns, number of columns before) of bounded size, several to a list: fewer conversions."""
    batch: list[tuple[np.ndarray, np.ndarray, int]] = []
    rows = 0
    for queries, columns in groups:
        for a, b in spans(len(queries), _EXACT_ROWS):
            for c, d in spans(len(columns), _EXACT_ROWS):
                if rows + b - a + d - c > _EXACT_ROWS and batch:
                    yield batch
                    batch, rows = [], 0
                batch.append((queries[a:b], columns[c:d], c))
                rows += b - a + d - c
    if batch:
        yield batch
