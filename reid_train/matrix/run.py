"""Run a plan: every training once, every test of it, then the document. The same call again does only what is missing."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reid_data.errors import EnvironmentFault, ReidError
from reid_data.files import make_folder, only_writer, write_json
from reid_train.matrix.cells import Cell, Column, Machine, prepare
from reid_train.matrix.document import make_document, num_failed
from reid_train.matrix.failures import Failure, Failures, read_failures
from reid_train.matrix.plan import Plan
from reid_train.matrix.runner import Children
from reid_train.testing import test as run_test
from reid_train.training.fit import fit

__all__ = ["Machine", "invalidated", "num_failed", "prepare", "run_matrix", "run_prepared"]
logger = logging.getLogger("reid_train")
RESULTS_FILE = "results.json"

Progress = Callable[[int, int], None]
Announce = Callable[[str], Progress | None]


def run_matrix(plan: Plan, folder: Path, machine: Machine, announce: Announce) -> dict[str, Any]:
    """Run what is missing of `plan` in this process and write `results.json` into `folder`; returns that document.

    `announce(what)` is called before each training and test and returns where its progress goes. A cell that fails with
    a ReidError is recorded with its reason and the grid goes on.
    """
    return run_prepared(*prepare(plan, machine), folder, machine, announce=announce)


def run_prepared(
    cells: Sequence[Cell],
    tests: Sequence[Column],
    folder: Path,
    machine: Machine,
    *,
    announce: Announce | None = None,
    children: Children | None = None,
    retry_failed: bool = False,
) -> dict[str, Any]:
    """`run_matrix` after `prepare`: cells in `children`, else in this process, else (neither given) not at all.

    What failed of itself before is not tried again unless `retry_failed`; what was killed, or lacked space, is.
    """
    with only_writer(make_folder(folder)):
        failures = read_failures(folder)
        if retry_failed:
            failures.forget(list(failures.found))
        work = _missing(cells, tests, failures)
        if children is not None:
            children.run(work, failures)
        elif announce is not None:
            for number, (cell, columns) in enumerate(work, 1):
                _run_here(cell, columns, machine, failures, partial(_numbered, announce, f"[{number}/{len(work)}]"))
        document = make_document(cells, tests, failures)
        write_json(folder / RESULTS_FILE, document)
    return document


def _missing(cells: Sequence[Cell], tests: Sequence[Column], failures: Failures) -> list[tuple[Cell, list[Column]]]:
    """The cells with something to do, and the test sets that each still needs."""
    work = []
    for cell in cells:
        if failures.lasting(cell.key) and not cell.done:
            continue
        missing = [test for test in cell.missing_tests(tests) if not failures.lasting(cell.test_keys[test.name])]
        if missing or not cell.done:
            work.append((cell, missing))
    return work


def _numbered(announce: Announce, place: str, what: str) -> Progress | None:
    return announce(f"{place} {what}")


def _run_here(cell: Cell, tests: Sequence[Column], machine: Machine, failures: Failures, announce: Announce) -> None:
    """Train and test one cell in this process."""
    settings = cell.training.settings
    how: dict[str, Any] = {"device": machine.device, "workers": machine.workers}
    failures.forget([cell.key, *(cell.test_keys[test.name] for test in tests)])
    label = cell.training.label
    try:
        progress = announce(f"{label}: {'already trained' if cell.done else 'training'}")
        fit(settings, cell.datasets, cell.folder, progress=progress, data_root=machine.data_root, **how)
    except ReidError as error:
        failures.add(cell.key, _failure(error))
        return
    for test in tests:
        progress = announce(f"{label}: testing on {test.name}")
        try:
            run_test(cell.folder, test.dataset, progress=progress, changes=settings.as_dict("test"), **how)
        except ReidError as error:
            failures.add(cell.test_keys[test.name], _failure(error))


def _failure(error: ReidError) -> Failure:
    return Failure(str(error), again=isinstance(error, EnvironmentFault))


def invalidated(folder: Path, cells: Sequence[Cell], tests: Sequence[Column]) -> list[str]:
    """What changed since `folder`'s last document was written, and what of it must be done again; a line for each set."""
    try:
        old: Mapping[str, Any] = json.loads((folder / RESULTS_FILE).read_bytes())
        digests, known = old["digests"], {row["key"] for row in old["trainings"]}
    except (OSError, ValueError, KeyError, TypeError):
        return []
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
