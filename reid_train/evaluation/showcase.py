"""`ranked_lists.json`: the best, median and worst queries of a test with what was found for them, for the report."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.files import write_json
from reid_train.evaluation.ranked_list import ranked_lists, worst_first

SHOWCASE_FILE = "ranked_lists.json"
SCHEMA = "reid-ranked-lists/1"
KINDS = ("best", "median", "worst")
NUM_QUERIES, TOP = 3, 10


def notable_queries(ap: np.ndarray, num: int = NUM_QUERIES) -> dict[str, np.ndarray]:
    """Rows of the `num` queries with the highest, the middle and the lowest AP, by kind (see KINDS).

    Queries without a match are left out; with fewer than 3 x `num` others, a query is shown once, as best before worst
    before median. Equal ones are taken by row.
    """
    rising = worst_first(ap, len(ap))
    num = min(num, len(rising))
    best = rising[::-1][:num]
    worst = rising[: min(num, len(rising) - len(best))]
    between = rising[len(worst) : len(rising) - len(best)]
    start = max(0, (len(between) - num) // 2)
    return {"best": best, "median": between[start : start + num], "worst": worst}


def write_showcase(
    path: str | os.PathLike[str],
    arrays: Sequence[Any],
    names: tuple[Sequence[str], Sequence[str]],
    ap: np.ndarray,
    *,
    metric: str = "cosine",
    camera_rule: bool = True,
) -> None:
    """Write `ranked_lists.json`: for each notable query its image, AP and TOP closest gallery images with their verdicts.

    `arrays` are the six arguments of `protocol.evaluate`, `names` the image names of query and gallery. The order is by
    plain distance, before any re-ranking.
    """
    notable = notable_queries(ap)
    chosen = np.concatenate([notable[kind] for kind in KINDS])
    kinds = [kind for kind in KINDS for _ in notable[kind]]
    lists = ranked_lists(arrays, ap, chosen, top=TOP, metric=metric, camera_rule=camera_rule)
    gallery_pids, gallery_camids = arrays[4], arrays[5]
    rows = [
        {
            "kind": kind,
            "query": names[0][ranked.query],
            "pid": ranked.pid,
            "camid": ranked.camid,
            "ap": ranked.ap,
            "entries": [
                {
                    "image": names[1][entry.row],
                    "pid": int(gallery_pids[entry.row]),
                    "camid": int(gallery_camids[entry.row]),
                    "score": round(entry.score, 4),
                    "verdict": entry.verdict,
                }
                for entry in ranked.entries
            ],
        }
        for kind, ranked in zip(kinds, lists)
    ]
    write_json(Path(path), {"schema": SCHEMA, "metric": metric, "lists": rows})
