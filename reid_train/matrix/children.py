"""Cells in processes of their own: several at once, a GPU and a share of the processors for each, a log for each."""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from reid_data.claims import is_claimed
from reid_data.errors import EnvironmentFault
from reid_data.files import make_folder
from reid_data.parallel import default_workers
from reid_train.matrix.cells import Cell, Column, Machine, Work
from reid_train.matrix.command import fit_command
from reid_train.matrix.failures import Failure, Failures
from reid_train.processes.group import pick_device

LOGS_FOLDER = "logs"
TAIL_LINES = 20
SAID_CHARACTERS = 300
ORPHAN_SECONDS = 20.0
INTERRUPTED_CODES = (128 + signal.SIGINT, 128 + signal.SIGTERM)
Say = Callable[[str], None]


@dataclass
class Children:
    """The runner whose cells are processes of their own; what the command line uses.

    `program`: the start of a command that `fit ...` is put behind; it must end when its standard input closes, so that no
    cell outlives the runner. `folder`: the grid's; logs go below it. `say` gets each line of a child, with its number.
    """

    program: Sequence[str]
    folder: Path
    machine: Machine
    jobs: int
    say: Say
    live: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, work: Sequence[Work], failures: Failures) -> None:
        """See `Runner`; a child that ends without what it should have made has failed. An interruption stops the children."""
        slots: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        gpus = self._gpus()
        for number in range(self.jobs):
            slots.put(gpus[number % len(gpus)] if gpus else None)

        def one(number: int, cell: Cell, tests: list[Column]) -> None:
            gpu = slots.get()
            try:
                self._cell(f"[{number}/{len(work)}]", cell, tests, gpu, failures)
            finally:
                slots.put(gpu)

        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(one, number, *item) for number, item in enumerate(work, 1)]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                for child in list(self.live):
                    child.send_signal(signal.SIGINT)
                raise

    def _gpus(self) -> list[str]:
        """The GPUs to hand out: those this process sees; none on a CPU or where one was named."""
        if ":" in self.machine.device or pick_device(self.machine.device).type != "cuda":
            return []
        import torch

        named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return named or [str(number) for number in range(torch.cuda.device_count())]

    def _cell(self, place: str, cell: Cell, tests: list[Column], gpu: str | None, failures: Failures) -> None:
        """Train and test one cell. A test that fails ends its child, so the tests after it get children of their own."""
        self.say(f"{place} {cell.training.label}: {'testing' if cell.done else 'training'}")
        started = time.monotonic()
        failures.forget([cell.key, *(cell.test_keys[test.name] for test in tests)])
        log = make_folder(self.folder / LOGS_FOLDER) / f"{cell.folder.name}.log"
        log.unlink(missing_ok=True)
        failure = self._child(place, cell, tests, gpu, log)
        if not cell.done:
            failures.add(cell.key, failure)
            self.say(f"{place} {cell.training.label}: failed: {_short(failure.reason)}")
            return
        left = cell.missing_tests(tests)
        for test in left:
            alone = failure if len(left) == 1 and len(tests) == 1 else self._child(place, cell, [test], gpu, log)
            if cell.missing_tests([test]):
                failures.add(cell.test_keys[test.name], alone)
                self.say(f"{place} {cell.training.label} on {test.name}: failed: {_short(alone.reason)}")
        self.say(f"{place} {cell.training.label}: done in {time.monotonic() - started:.0f} s")

    def _child(self, place: str, cell: Cell, tests: list[Column], gpu: str | None, log: Path) -> Failure:
        """Run one child to its end; why it failed, if it did (its files say whether it did)."""
        _wait_for_orphan(cell.folder)
        share = max(1, default_workers() // self.jobs)
        machine = replace(self.machine, workers=share if self.machine.workers is None else self.machine.workers)
        if self.stopped.is_set():
            return Failure("interrupted", again=True)
        command = [*self.program, *fit_command(cell, tests, machine)]
        lines: list[str] = []
        with (
            open(log, "ab") as file,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(gpu),
            ) as child,
        ):
            self.live.add(child)
            if self.stopped.is_set():
                child.send_signal(signal.SIGINT)
            assert child.stdout is not None
            for data in child.stdout:
                file.write(data)
                file.flush()
                lines = [*lines[1 - TAIL_LINES :], data.decode("utf-8", "backslashreplace").rstrip()]
                self.say(f"{place}   {_short(lines[-1])}")
            code = child.wait()
            self.live.discard(child)
        return _failure(code, lines)

    def _environment(self, gpu: str | None) -> dict[str, str]:
        found = dict(os.environ)
        if gpu is not None:
            found["CUDA_VISIBLE_DEVICES"] = gpu
        if self.jobs > 1:
            found.setdefault("OMP_NUM_THREADS", str(max(1, default_workers() // self.jobs)))
        return found


def _short(line: str) -> str:
    """A line fit for a terminal; the log has all of it."""
    return line if len(line) <= SAID_CHARACTERS else f"{line[:SAID_CHARACTERS]} ..."


def _wait_for_orphan(folder: Path) -> None:
    """Wait a little for the child of a killed runner, which ends as soon as it notices."""
    until = time.monotonic() + ORPHAN_SECONDS
    while is_claimed(folder) and time.monotonic() < until:
        time.sleep(0.2)


def _failure(code: int, lines: Sequence[str]) -> Failure:
    if code < 0:
        number = -code
        name = signal.Signals(number).name if number in {int(one) for one in signal.Signals} else ""
        return Failure(f"killed by signal {number} {name}".rstrip(), tuple(lines), again=True)
    if code in INTERRUPTED_CODES:
        return Failure("interrupted", tuple(lines), again=True)
    said = [line for line in lines if line.startswith("Error: ")] or [line for line in lines if line] or ["no output"]
    reason = said[-1].removeprefix("Error: ")
    return Failure(reason, tuple(lines), again=code == EnvironmentFault.exit_code)
