"""Run a plan: every training once, every test of it, then the document. The same call again does only what is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid_data.claims import only_writer
from reid_data.errors import InputError
from reid_data.files import AnyPath, make_folder
from reid_train.matrix.cells import CELLS_FOLDER, Cell, Column, Machine, Work, prepare
from reid_train.matrix.document import make_document, num_failed
from reid_train.matrix.failures import Failures, read_failures
from reid_train.matrix.plan import Plan
from reid_train.matrix.runner import Announce, InProcess, Runner
from reid_train.runs.matrix_document import read_results, write_results
from reid_train.settings.train import SETTINGS_SCHEMA

__all__ = ["Machine", "invalidated", "num_failed", "prepare", "run_matrix", "run_prepared"]


def run_matrix(plan: Plan, folder: AnyPath, machine: Machine, announce: Announce) -> dict[str, Any]:
    """Run what is missing of `plan` in this process and write `results.json` into `folder`; returns that document.

    See `InProcess` for `announce` and for what of a failure is recorded.
    """
    return run_prepared(*prepare(plan, machine), Path(folder), runner=InProcess(machine, announce))


def run_prepared(
    cells: Sequence[Cell],
    tests: Sequence[Column],
    folder: Path,
    *,
    runner: Runner | None,
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Run what is missing of prepared cells by `runner` (None: nothing) and write the document into `folder`.

    What failed of itself before is not tried again unless `retry_failed`; what was killed, or lacked space, is.
    """
    with only_writer(make_folder(folder)):
        failures = read_failures(folder)
        if retry_failed:
            failures.forget(list(failures.found))
        work = _missing(cells, tests, failures)
        if runner is not None:
            runner.run(work, failures)
        document = make_document(cells, tests, failures)
        write_results(folder, document)
    return document


def _missing(cells: Sequence[Cell], tests: Sequence[Column], failures: Failures) -> list[Work]:
    """The cells with something to do, and the test sets that each still needs."""
    work = []
    for cell in cells:
        if failures.lasting(cell.key) and not cell.done:
            continue
        missing = [test for test in cell.missing_tests(tests) if not failures.lasting(cell.test_keys[test.name])]
        if missing or not cell.done:
            work.append((cell, missing))
    return work


def invalidated(folder: Path, cells: Sequence[Cell], tests: Sequence[Column]) -> list[str]:
    """What changed since `folder`'s last document was written, and what of it must be done again; a line for each set."""
    try:
        old = read_results(folder)
        digests, known = old["digests"], {row["key"] for row in old["trainings"]}
    except (InputError, KeyError, TypeError):
        return []
    if old.get("settings_schema", 1) != SETTINGS_SCHEMA:
        return [
            f"the last run of this matrix was made by another version of this tool: its {len(known)} trainings cannot be compared "
            f"with these, and all is done again. They still lie in {CELLS_FOLDER}/."
        ]
    new = {test.name: test.digest for test in tests} | {k: v for cell in cells for k, v in cell.digests.items()}
    lines = []
    for name in sorted(name for name in new if digests.get(name, new[name]) != new[name]):
        trainings = [cell for cell in cells if name in cell.digests and cell.key not in known]
        columns = [test.name for test in tests if test.name == name]
        others = (len(cells) - len(trainings)) * len(columns)
        lines.append(
            f"{name} has changed since the last run of this matrix: {len(trainings)} trainings and "
            f"{others} further tests that depended on it are no longer valid and are done again."
        )
    return lines
