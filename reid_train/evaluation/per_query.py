"""`per_query.npz`: a result query by query, so that two results can be compared later on the same queries. numpy only."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reid_data.errors import InputError
from reid_data.files import printable
from reid_train.evaluation.metrics import RankingResult
from reid_train.features.files import read_npz, write_npz

PER_QUERY_FILE = "per_query.npz"
_KEYS = ("path", "pid", "camid", "ap", "inp", "first_match", "num_matches")
_NO_HITS = np.empty((0, 0))


@dataclass(frozen=True)
class PerQuery:
    """One row per query: its image, person and camera, AP and INP (NaN without a valid match), rank of the first match
    (0 without one), number of matches. `hits` (Q, R), for the ranks `hit_ranks`, only where a first match is not one
    number (single-gallery-shot): how often a match stands at that rank or before.
    """

    path: np.ndarray
    pid: np.ndarray
    camid: np.ndarray
    ap: np.ndarray
    inp: np.ndarray
    first_match: np.ndarray
    num_matches: np.ndarray
    hit_ranks: tuple[int, ...] = ()
    hits: np.ndarray = field(default_factory=lambda: _NO_HITS)

    def values(self, metric: str) -> np.ndarray:
        """(Q,) float64 whose mean over the valid queries is `metric`: mAP, mINP or rank-N."""
        if metric == "mAP":
            return self.ap
        if metric == "mINP":
            return self.inp
        rank = int(metric.removeprefix("rank-"))
        if rank in self.hit_ranks:
            return self.hits[:, self.hit_ranks.index(rank)]
        return ((self.first_match > 0) & (self.first_match <= rank)).astype(np.float64)


def per_query_of(result: RankingResult, paths: Sequence[str] = ()) -> PerQuery:
    """The rows of a result; `paths` (Q,) name the query images (empty: unnamed)."""
    names = np.array(list(paths) or [""] * len(result.ap), dtype=np.str_)
    single_shot = result.settings.get("protocol") == "cuhk03"
    return PerQuery(
        names, result.query_pids, result.query_camids, result.ap, result.inp, result.first_match, result.num_matches,
        result.ranks if single_shot else (), result.hits if single_shot else _NO_HITS,
    )  # fmt: skip


def write_per_query(path: str | os.PathLike[str], result: RankingResult, paths: Sequence[str] = ()) -> None:
    """Write `per_query.npz` for a result; the same result gives the same bytes."""
    rows = per_query_of(result, paths)
    arrays = {key: getattr(rows, key) for key in _KEYS}
    if rows.hit_ranks:
        arrays |= {"hit_ranks": np.array(rows.hit_ranks), "hits": rows.hits}
    write_npz(Path(path), arrays)


def read_per_query(path: str | os.PathLike[str]) -> PerQuery:
    """Read `per_query.npz`. Raises InputError if it is damaged, pickled or of another kind."""
    arrays = read_npz(Path(path))
    missing = [key for key in _KEYS if key not in arrays]
    lengths = {len(arrays[key]) for key in _KEYS if key in arrays and arrays[key].ndim}
    if missing or len(lengths) != 1:
        raise InputError(
            f"'{printable(path)}' is no per-query result: missing {', '.join(missing) or 'nothing'}, lengths {sorted(lengths)}. "
            "Evaluate again to write it."
        )
    ranks = tuple(map(int, arrays.get("hit_ranks", ())))
    return PerQuery(**{key: arrays[key] for key in _KEYS}, hit_ranks=ranks, hits=arrays.get("hits", _NO_HITS))
