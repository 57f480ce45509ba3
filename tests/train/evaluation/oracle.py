"""Slow, obvious evaluators in plain Python, against which the fast ones are tested. Exact for integer-valued features."""

import math
from fractions import Fraction


def score(query, item, metric):
    """Larger is closer, the same for equally close; exact if all numbers are ints (a cosine is then given as its signed square)."""
    exact = all(isinstance(value, int) for value in (*query, *item))
    add = sum if exact else math.fsum
    product, square = add(a * b for a, b in zip(query, item)), add(b * b for b in item)
    if metric == "euclidean":
        return 2 * product - square
    if not square:
        return 0
    return Fraction(product * abs(product), square) if exact else product / math.sqrt(square)


def plain(rows):
    """Rows as lists of ints, or of floats where there is a fraction."""
    rows = [[float(value) for value in row] for row in rows]
    whole = all(value.is_integer() for row in rows for value in row)
    return [[int(value) for value in row] for row in rows] if whole else rows


def ranking(query, pid, camid, gallery, pids, camids, *, metric="cosine", camera_rule=True, adjust=None):
    """[right?, ...] from the closest to the farthest; wrong images before right ones on ties. `adjust(score, index)` re-ranks."""
    ranked = []
    for index, item in enumerate(gallery):
        same = pids[index] == pid and pid not in (0, -1)
        if pids[index] == -1 or (same and camera_rule and camids[index] == camid):
            continue
        value = score(query, item, metric)
        ranked.append((value if adjust is None else adjust(value, index), same))
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    return [same for _, same in ranked]


def numbers(right, ap="step"):
    """(AP, INP, rank of the first match, number of matches) of one ranking; (nan, nan, 0, 0) without a match."""
    ranks = [place + 1 for place, same in enumerate(right) if same]
    if not ranks:
        return math.nan, math.nan, 0, 0
    parts = []
    for number, rank in enumerate(ranks, start=1):
        before = (number - 1) / (rank - 1) if rank > 1 else 1.0
        parts.append(number / rank if ap == "step" else (before + number / rank) / 2)
    return sum(parts) / len(ranks), len(ranks) / ranks[-1], ranks[0], len(ranks)


def evaluate(query, qp, qc, gallery, gp, gc, *, metric="cosine", camera_rule=True, ap="step"):
    """Per-query `numbers` for all queries, as four lists."""
    query, gallery = plain(query), plain(gallery)
    rows = [
        numbers(ranking(q, p, c, gallery, gp, gc, metric=metric, camera_rule=camera_rule), ap)
        for q, p, c in zip(query, qp, qc)
    ]
    return tuple(map(list, zip(*rows)))
