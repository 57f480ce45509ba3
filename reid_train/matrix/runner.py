"""What runs the cells of a grid: the protocol, and the plainest way, one cell after the other in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reid_data.errors import ReidError
from reid_train.matrix.cells import Cell, Column, Machine, Work
from reid_train.matrix.failures import Failures, failure_of
from reid_train.testing import test as run_test
from reid_train.training.fit import fit

Progress = Callable[[int, int], None]
Announce = Callable[[str], Progress | None]


class Runner(Protocol):
    """A way to run cells. Which one is used changes no result: each leaves the same run folders behind."""

    def run(self, work: Sequence[Work], failures: Failures) -> None:
        """Train every cell that is not trained, test it on its columns, and return when all is done or has failed.

        What failed before is forgotten as its cell begins. A training that fails is added to `failures` under the cell's
        key, and its tests are left out; a test that fails under its own key, and the tests after it are still done. The
        rest goes on. An interruption goes through once nothing runs any more or all is told to stop; what is finished
        stays, and the next run goes on from there.
        """


@dataclass
class InProcess:
    """The runner in this process.

    `announce(what)` is called before each training and test and returns where its progress goes. Only a ReidError is a
    cell's failure; anything else is a fault of the program and goes through.
    """

    machine: Machine
    announce: Announce

    def run(self, work: Sequence[Work], failures: Failures) -> None:
        """See `Runner`."""
        for number, (cell, tests) in enumerate(work, 1):
            self._cell(f"[{number}/{len(work)}] {cell.training.label}", cell, tests, failures)

    def _cell(self, place: str, cell: Cell, tests: Sequence[Column], failures: Failures) -> None:
        settings = cell.training.settings
        how: dict[str, Any] = {"device": self.machine.device, "workers": self.machine.workers}
        failures.forget([cell.key, *(cell.test_keys[test.name] for test in tests)])
        try:
            progress = self.announce(f"{place}: {'already trained' if cell.done else 'training'}")
            data_root = self.machine.data_root
            if not cell.training.run:
                fit(settings, cell.datasets, cell.folder, progress=progress, data_root=data_root, **how)
        except ReidError as error:
            failures.add(cell.key, failure_of(error))
            return
        for test in tests:
            progress = self.announce(f"{place}: testing on {test.name}")
            try:
                run_test(cell.folder, test.dataset, progress=progress, changes=settings.as_dict("test"), **how)
            except ReidError as error:
                failures.add(cell.test_keys[test.name], failure_of(error))
