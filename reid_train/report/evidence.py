"""What the runs of a matrix left behind, read once. Files only: no data set, no network, no torch."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from reid_data.costs import COSTS_FILE
from reid_data.errors import InputError
from reid_data.files import printable
from reid_train.evaluation.per_query import PER_QUERY_FILE, PerQuery, read_per_query
from reid_train.evaluation.showcase import SCHEMA as SHOWCASE_SCHEMA
from reid_train.evaluation.showcase import SHOWCASE_FILE
from reid_train.runs.matrix_document import column_names, read_results, row_name
from reid_train.runs.result import read_result

Value = TypeVar("Value")
LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class Run:
    """One training: its row of the matrix, seed and folder; the epochs of its log, its result and its costs (may be empty)."""

    row: str
    seed: int
    folder: Path
    facts: Mapping[str, Any]
    epochs: list[dict[str, Any]]
    result: Mapping[str, Any]
    costs: Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """A matrix document with what lies in the folders of its runs.

    `tests` and `showcases` by (row, seed, test set as typed); `problems` says what should be there and is not.
    """

    folder: Path
    document: Mapping[str, Any]
    runs: tuple[Run, ...]
    tests: dict[tuple[str, int, str], PerQuery] = field(default_factory=dict)
    showcases: dict[tuple[str, int, str], Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def rows(self) -> list[str]:
        """The rows of the matrix, in order."""
        return list(dict.fromkeys(run.row for run in self.runs))

    @property
    def columns(self) -> list[str]:
        """The test sets as typed, in order."""
        return column_names(self.document)

    def seeds(self, row: str) -> list[int]:
        """The seeds of a row, in order."""
        return [run.seed for run in self.runs if run.row == row]

    def results(self, row: str, test: str) -> list[PerQuery]:
        """The per-query results of a square, one per seed that has one."""
        found = (self.tests.get((row, seed, test)) for seed in self.seeds(row))
        return [rows for rows in found if rows is not None]


def read_evidence(folder: Path) -> Evidence:
    """All of a matrix: `results.json` in `folder`, and the run folders that it names beside `folder`.

    Raises InputError if there is no matrix; a missing or damaged file of a run becomes one of `problems`.
    """
    document = read_results(folder)
    problems: list[str] = []
    runs = tuple(_read_run(folder.parent, row, problems) for row in document["trainings"])
    done = {(row_name(cell), cell["seed"], cell["test"]) for cell in document["cells"] if cell["status"] == "ok"}
    tests: dict[tuple[str, int, str], PerQuery] = {}
    showcases: dict[tuple[str, int, str], Mapping[str, Any]] = {}
    for run in runs:
        for name, test in document["tests"].items():
            place = run.folder / "tests" / test["card"]["name"]
            key = run.row, run.seed, name
            if key not in done:
                continue
            rows = _attempt(read_per_query, place / PER_QUERY_FILE, problems)
            lists = _attempt(_read_showcase, place / SHOWCASE_FILE, problems)
            if rows is not None:
                tests[key] = rows
            if lists is not None:
                showcases[key] = lists
    return Evidence(folder, document, runs, tests, showcases, tuple(problems))


def _read_run(runs: Path, facts: Mapping[str, Any], problems: list[str]) -> Run:
    folder = runs / str(facts.get("run", ""))
    epochs: list[dict[str, Any]] = []
    result: Mapping[str, Any] = {}
    costs: Mapping[str, Any] = {}
    if facts.get("status", "ok") == "ok":
        epochs = _attempt(_read_epochs, folder / LOG_FILE, problems) or []
        found = _attempt(read_result, folder, problems)
        result = {} if found is None else vars(found)
        costs = _attempt(_read_json, folder / COSTS_FILE, problems) or {}
    return Run(row_name(facts), facts["seed"], folder, facts, epochs, result, costs)


def _attempt(read: Callable[[Path], Value], path: Path, problems: list[str]) -> Value | None:
    """What `read` gives, or None and a problem noted."""
    try:
        return read(path)
    except InputError as error:
        problems.append(str(error))
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"'{printable(path)}' cannot be read: {error}")
    return None


def _read_json(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise ValueError(f"expected an object, got {type(document).__name__}")
    return document


def _read_epochs(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    epochs = [row for row in rows if row["event"] == "epoch"]
    wrong = [row["epoch"] for row in epochs if not isinstance(row["epoch"], int | float)]
    if wrong:
        raise ValueError(f"epoch {wrong[0]!r} is no number")
    return epochs


def _read_showcase(path: Path) -> dict[str, Any]:
    document = _read_json(path)
    if document.get("schema") != SHOWCASE_SCHEMA:
        raise ValueError(f'expected "schema": "{SHOWCASE_SCHEMA}"')
    return document
