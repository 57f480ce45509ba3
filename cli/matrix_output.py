"""What `reid-train matrix` prints and writes: the outlook of a dry run, the tables, the page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say, show

if TYPE_CHECKING:
    from reid_train.matrix.cells import Cell, Column, Machine

FORMATS = ("table", "md", "latex", "csv", "json")
SHOWN_TAIL = 5
SHOWN_CHARACTERS = 300


def print_outlook(
    cells: "Sequence[Cell]", tests: "Sequence[Column]", folder: Path, machine: "Machine", jobs: int, *, as_json: bool
) -> int:
    """Every training with what it still needs, and about how much time and space that takes."""
    from reid_train.matrix.cells import space
    from reid_train.matrix.estimate import estimate_seconds
    from reid_train.matrix.failures import read_failures

    failures = read_failures(folder)
    rows = []
    for cell in cells:
        missing = [test.name for test in cell.missing_tests(tests)]
        failed = failures.lasting(cell.key) and not cell.done
        state = "failed" if failed else "done" if cell.done else "train"
        rows.append(
            {"state": state, "training": cell.training.label, "folder": str(cell.folder), "tests_missing": missing}
        )
    seconds, source = estimate_seconds(cells, tests, machine, jobs)
    num_bytes = space(cells)
    totals = {"seconds": round(seconds, 1), "estimated_from": source, "bytes": num_bytes, "jobs": jobs}
    if as_json:
        show(json.dumps({"cells": rows, **totals}, indent=2))
        return 0
    for row in rows:
        cached = len(tests) - len(row["tests_missing"])
        show(f"{row['state']:6} {row['training']}  ({cached} of {len(tests)} tests cached)  ->  {row['folder']}")
    num_done = sum(cell.done for cell in cells)
    num_tests = sum(len(row["tests_missing"]) for row in rows)
    show(
        f"{len(cells)} trainings ({num_done} cached), {len(cells) * len(tests)} tests "
        f"({len(cells) * len(tests) - num_tests} cached)."
    )
    if seconds or num_bytes:
        estimate = f"about {_duration(seconds)} with --jobs {jobs} (from {source})"
        show(f"To do: {estimate}, {num_bytes / 1e9:.1f} GB.")
    return 0


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def write_tables(document: Mapping[str, Any], folder: Path, data_root: Path, *, thumbs: bool = True) -> None:
    """`results.csv`, `results.md` and the page, beside `results.json`."""
    from reid_data.files import write_atomic
    from reid_train.matrix.tables import all_tables, as_csv, as_markdown

    from .report_page import make_page

    write_atomic(folder / "results.csv", as_csv(document).encode("utf-8", "surrogateescape"))
    text = "\n\n".join(map(as_markdown, all_tables(document)))
    write_atomic(folder / "results.md", (text + "\n").encode("utf-8", "backslashreplace"))
    make_page(folder, data_root, thumbs=thumbs)


def print_results(document: Mapping[str, Any], folder: Path, form: str) -> None:
    """The tables on stdout in one of FORMATS; what failed, and where everything lies, on stderr."""
    from reid_train.matrix.tables import FORMATS as TABLE_FORMATS
    from reid_train.matrix.tables import all_tables, as_csv

    if form == "json":
        show(json.dumps(document, indent=2))
    elif form == "csv":
        show(as_csv(document), nl=False)
    else:
        show("\n\n".join(map(TABLE_FORMATS[form], all_tables(document))))
    _say_failures(document, folder)
    say(f"Tables: {folder}/results.csv, results.json, results.md   Page: {folder}/report.html")


def _say_failures(document: Mapping[str, Any], folder: Path) -> None:
    missing = sum(cell["status"] == "missing" for cell in document["cells"])
    if missing:
        say(f"{missing} of {len(document['cells'])} cells have not been run yet.")
    told = set()
    for cell in document["cells"]:
        if cell["status"] == "failed":
            say(f"failed: {cell['train']} (seed {cell['seed']}) on {cell['test']}: {cell['reason'][:SHOWN_CHARACTERS]}")
            told_above = f"Error: {cell['reason']}"
            tail = tuple(line for line in cell.get("log_tail", ()) if line != told_above)[-SHOWN_TAIL:]
            for line in () if tail in told else tail:
                say(f"    {line[:SHOWN_CHARACTERS]}")
            told.add(tail)
    if told:
        say(f"Whole logs: {folder}/logs. Failed cells are tried again with --retry-failed.")
