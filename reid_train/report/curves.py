"""CMC curves of the tests and the curves of the trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid_train.evaluation.per_query import PerQuery
from reid_train.report.charts import Chart, Line, line_chart
from reid_train.report.evidence import Evidence, Run
from reid_train.report.reliance import split_diagnostic
from reid_train.report.sheet import Sheet, make_sheet

CMC_RANKS = 20
MOST_BANDS = 4


@dataclass(frozen=True)
class Quantity:
    """What one diagram of the trainings shows: title, the log's key, the keys of its band, whether its axis is logarithmic."""

    title: str
    key: str
    band: tuple[str, str] | None = None
    log: bool = False


QUANTITIES = (
    Quantity("Loss", "loss"),
    Quantity("Training accuracy", "accuracy"),
    Quantity("Learning rate", "lr", log=True),
    Quantity("Temperature in force", "temperature", log=True),
    Quantity(
        "Class-weight norm: median, smallest to largest",
        "class_norm_median",
        ("class_norm_min", "class_norm_max"),
        True,
    ),
    Quantity("Effective temperature", "effective_temperature", log=True),
)


def cmc(results: Sequence[PerQuery], ranks: int = CMC_RANKS) -> list[tuple[int, float]]:
    """(rank, share of the queries with a right image so far), averaged over the seeds' results.

    Under the single-gallery-shot protocol only the ranks that were recorded.
    """
    wanted = results[0].hit_ranks or tuple(range(1, ranks + 1))
    return [
        (rank, float(np.mean([rows.values(f"rank-{rank}")[rows.num_matches > 0].mean() for rows in results])))
        for rank in wanted
        if rank <= ranks
    ]


def cmc_charts(evidence: Evidence) -> tuple[list[Chart], Sheet]:
    """One diagram per test set, a curve per row; and the numbers. Sets share their axis, and so do diagnostics."""
    curves: dict[str, list[Line]] = {}
    records = []
    for test in evidence.columns:
        for style, row in enumerate(evidence.rows):
            results = evidence.results(row, test)
            if results:
                curve = cmc(results)
                line = Line(row, style, [(rank, 100 * share) for rank, share in curve])
                curves.setdefault(test, []).append(line)
                records += [{"train": row, "test": test, "rank": rank, "share": share} for rank, share in curve]
    charts = []
    for test, lines in curves.items():
        alike = [other for other in curves if (split_diagnostic(other) is None) == (split_diagnostic(test) is None)]
        lowest = min(y for other in alike for line in curves[other] for _, y in line.points)
        limits = (10.0 * max(0, int(lowest / 10) - 1) if lowest > 30 else 0.0, 100.0)
        chart = line_chart(test, lines, labels=("rank", "found, %"), limits=limits, x_ticks=(1, 5, 10, 15, 20))
        charts += [] if chart is None else [chart]
    return charts, make_sheet("cmc", "CMC (shares)", records)


def training_charts(evidence: Evidence) -> tuple[list[Chart], Sheet]:
    """One diagram per quantity, a curve per training (seeds of a row alike); and the numbers, all that the logs hold."""
    charts = []
    for quantity in QUANTITIES:
        lines = [
            _line(run, quantity, style, banded=run.seed == evidence.seeds(row)[0] and len(evidence.rows) <= MOST_BANDS)
            for style, row in enumerate(evidence.rows)
            for run in evidence.runs
            if run.row == row
        ]
        chart = line_chart(quantity.title, lines, labels=("epoch", ""), log=quantity.log)
        if chart is not None:
            charts.append(chart)
    records = [
        {"train": run.row, "seed": run.seed, **{key: value for key, value in row.items() if key != "event"}}
        for run in evidence.runs
        for row in run.epochs
    ]
    columns = sorted({key for record in records for key in record} - {"train", "seed", "epoch"})
    return charts, make_sheet("training", "Training logs", records, ["train", "seed", "epoch", *columns])


def _line(run: Run, quantity: Quantity, style: int, *, banded: bool) -> Line:
    points = [(row["epoch"], row[quantity.key]) for row in run.epochs if _is_number(row.get(quantity.key))]
    band = []
    if quantity.band and banded:
        keys = quantity.band
        band = [
            (row["epoch"], row[keys[0]], row[keys[1]])
            for row in run.epochs
            if all(_is_number(row.get(key)) for key in keys)
        ]
    return Line(f"{run.row}, seed {run.seed}", style, points, band)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
