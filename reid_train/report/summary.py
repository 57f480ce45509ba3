"""From `results.json` to tables: plain text, Markdown and CSV. Reads only what the matrix wrote."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from reid_data.errors import InputError
from reid_data.files import printable

SCHEMA = "reid-matrix/1"
RESULTS_FILE = "results.json"
METRICS = ("mAP", "rank-1", "rank-5", "rank-10", "mINP")


@dataclass(frozen=True)
class Entry:
    """One square of the matrix: a metric's mean over seeds in percent, its spread (None for one seed), or a failure."""

    value: float | None
    spread: float | None
    num_seeds: int
    failed: bool = False

    def text(self) -> str:
        """`41.2`, `41.2 ±0.8`, `failed` or `-`."""
        if self.value is None:
            return "failed" if self.failed else "-"
        return f"{self.value:.1f}" + (f" ±{self.spread:.1f}" if self.spread is not None else "")


@dataclass(frozen=True)
class Table:
    """One metric as rows (training sets with their varied settings) by columns (test sets)."""

    metric: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: dict[tuple[str, str], Entry]
    chance: dict[str, float]

    def cells(self) -> list[list[str]]:
        """The table as text: a row per training set, and the chance level last where it is known."""
        body = [[row, *(self.entries[row, column].text() for column in self.columns)] for row in self.rows]
        if self.chance:
            body.append(["(chance)", *(f"{self.chance[column]:.1f}" for column in self.columns)])
        return body


def read_results(folder: Path) -> dict[str, Any]:
    """The document that the matrix wrote into `folder`. Raises InputError if there is none or it is something else."""
    path = folder / RESULTS_FILE
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"'{printable(path)}' cannot be read: {error}. Run reid-train matrix first.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f'\'{printable(path)}\' is no matrix result (expected "schema": "{SCHEMA}").')
    if "summary" not in document:
        raise InputError(
            f"'{printable(path)}' was written by an earlier version. Make it anew: reid-train matrix --collect."
        )
    return document


def column_names(document: Mapping[str, Any]) -> list[str]:
    """The test sets as typed, in the order of the cells."""
    return list(dict.fromkeys(cell["test"] for cell in document["cells"]))


def row_name(cell: Mapping[str, Any]) -> str:
    """A row of the table: the training sets and the varied settings; seeds are averaged over."""
    return ", ".join([cell["train"], *(f"{name}={value}" for name, value in cell["axes"].items())])


def make_table(document: Mapping[str, Any], metric: str = "mAP") -> Table:
    """One metric of all cells, averaged over seeds."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    failed: set[tuple[str, str]] = set()
    rows: list[str] = []
    for cell in document["cells"]:
        place = row_name(cell), cell["test"]
        if place[0] not in rows:
            rows.append(place[0])
        if cell["status"] == "ok":
            values[place].append(100 * cell["metrics"][metric])
        else:
            failed.add(place)
    entries = {
        (row, column): _entry(values[row, column], (row, column) in failed)
        for row in rows
        for column in document["tests"]
    }
    chance = {name: 100 * test["chance_mAP"] for name, test in document["tests"].items()} if metric == "mAP" else {}
    return Table(metric, tuple(rows), tuple(document["tests"]), entries, chance)


def _entry(values: list[float], failed: bool) -> Entry:
    if not values:
        return Entry(None, None, 0, failed)
    return Entry(mean(values), stdev(values) if len(values) > 1 else None, len(values), failed)


def as_text(table: Table) -> str:
    """Aligned columns with a heading that says what stands where."""
    head = [f"{table.metric} %: trained on \\ tested on", *table.columns]
    grid = [head, *table.cells()]
    widths = [max(len(row[column]) for row in grid) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        for row in grid
    ]
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(table: Table) -> str:
    """A GitHub table."""
    head = [f"{table.metric} %: trained on \\ tested on", *table.columns]
    lines = [head, ["---", *("---:" for _ in table.columns)], *table.cells()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def as_csv(document: Mapping[str, Any]) -> str:
    """One line per cell: training sets, seed, varied settings, test set, status and every metric (fractions, full precision)."""
    axes = list(document["axes"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["train", "seed", *axes, "test", "status", *METRICS, "chance_mAP", "queries", "queries_without_match"]
    )
    for cell in document["cells"]:
        metrics = cell["metrics"]
        numbers: Sequence[Any] = [metrics.get(name, "") for name in (*METRICS, "queries", "queries_without_match")]
        chance = document["tests"][cell["test"]]["chance_mAP"]
        varied = [cell["axes"][name] for name in axes]
        row = [
            cell["train"],
            cell["seed"],
            *varied,
            cell["test"],
            cell["status"],
            *numbers[: len(METRICS)],
            chance,
            *numbers[len(METRICS) :],
        ]
        rows.writerow([_harmless(value) for value in row])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
