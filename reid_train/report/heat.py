"""Heat maps: one metric of all squares, with colours by steps."""

from dataclasses import dataclass

from reid_train.report.evidence import Evidence
from reid_train.report.scores import NOTHING, Score, Scores

NUM_COLOURS = 10


@dataclass(frozen=True)
class Square:
    """One square of a heat map: its score and its colour (0 to NUM_COLOURS - 1; None without a value)."""

    score: Score
    colour: int | None


@dataclass(frozen=True)
class HeatMap:
    """One metric: rows of (name, squares), the chance row if there is one, the value at the end of the colours in percent."""

    metric: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square, ...]], ...]
    chance: tuple[float, ...]
    top: int


def heat_map(evidence: Evidence, scores: Scores, metric: str) -> HeatMap:
    """One metric of all squares; the colours run from 0 to the next 10 % above the highest value."""
    tests = evidence.document["tests"]
    values = [score.value for (_, _, name), score in scores.items() if name == metric and score.value is not None]
    top = min(100, 10 * (int(10 * max(values, default=0.0)) + 1))

    def square(row: str, test: str) -> Square:
        score = scores.get((row, test, metric), NOTHING)
        if score.value is None:
            return Square(score, None)
        return Square(score, min(NUM_COLOURS - 1, int(NUM_COLOURS * 100 * score.value / top)))

    rows = tuple((row, tuple(square(row, test) for test in evidence.columns)) for row in evidence.rows)
    chance = tuple(tests[test]["chance_mAP"] for test in evidence.columns) if metric == "mAP" else ()
    return HeatMap(metric, tuple(evidence.columns), rows, chance, top)
