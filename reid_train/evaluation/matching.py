"""Who is a right match for whom: the camera rule, junk and distractors, as index arrays.

Shape legend: Q queries, S scored gallery rows (all but junk), P pairs (query, scored row of the same identity).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reid_data.records import DISTRACTOR_PID, JUNK_PID


@dataclass(frozen=True)
class Pairs:
    """Every (query, scored gallery row) of one identity, by rising query, then rising row.

    `query` and `column` are (P,), columns counted in the scored gallery; `is_match` (P,) tells the right matches from
    the pairs that are left out (same camera); `start` (Q + 1,) is where each query's pairs begin; `query_pids` (Q,).
    """

    query: np.ndarray
    column: np.ndarray
    is_match: np.ndarray
    start: np.ndarray
    query_pids: np.ndarray

    def num_matches(self) -> np.ndarray:
        """Right matches of each query, (Q,) int64."""
        return np.bincount(self.query[self.is_match], minlength=len(self.query_pids))

    def groups(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(queries, columns) of each identity that has both; their product is exactly its pairs."""
        paired = np.flatnonzero(np.diff(self.start))
        by_pid = paired[np.argsort(self.query_pids[paired], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.query_pids[by_pid])) + 1
        for queries in np.split(by_pid, cuts) if len(by_pid) else ():
            yield queries, self.column[self.start[queries[0]] : self.start[queries[0] + 1]]


def scored_rows(gallery_pids: np.ndarray) -> np.ndarray:
    """Gallery rows that are ranked at all: everything but junk."""
    return np.flatnonzero(gallery_pids != JUNK_PID)


def same_identity_pairs(
    query_pids: np.ndarray, query_camids: np.ndarray, pids: np.ndarray, camids: np.ndarray, *, camera_rule: bool
) -> Pairs:
    """The pairs of a protocol; `pids` and `camids` are those of the scored rows.

    With `camera_rule` a pair from one camera is left out of the ranking, otherwise it is a match. Junk and distractors
    are nobody: a query with such an id has no pair.
    """
    by_pid = np.argsort(pids, kind="stable")
    first = np.searchsorted(pids[by_pid], query_pids, side="left")
    last = np.searchsorted(pids[by_pid], query_pids, side="right")
    counts = np.where((query_pids == DISTRACTOR_PID) | (query_pids == JUNK_PID), 0, last - first)
    start = np.concatenate([[0], np.cumsum(counts)])
    query = np.repeat(np.arange(len(query_pids)), counts)
    column = by_pid[np.arange(start[-1]) - start[query] + first[query]]
    is_match = query_camids[query] != camids[column] if camera_rule else np.ones(len(query), bool)
    return Pairs(query, column, is_match, start, query_pids)
