"""Order, bounds, errors and dying workers of the ordered map."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from reid_data.errors import EnvironmentFault
from reid_data.parallel import batched_map, deaf_children, ordered_map, runs_here, undisturbed, using


def square(number: int) -> int:
    """Module-level, as workers need it."""
    return number * number


def fail_at_three(number: int) -> int:
    """Raises for one item."""
    if number == 3:
        raise ValueError("three")
    return number


def die_at_three(number: int) -> int:
    """Kills its process for one item."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def stopped_at_three(number: int) -> int:
    """Is told to stop, and then fails."""
    os.kill(os.getpid(), signal.SIGTERM)
    return fail_at_three(number)


@dataclass(frozen=True)
class Counting:
    """Notes in a folder when its tool is built, and by which process."""

    folder: Path
    add: int

    @cached_property
    def tool(self) -> int:
        """Built where it is first used."""
        (self.folder / f"{os.getpid()}-{self.add}-{len(list(self.folder.iterdir()))}").touch()
        return self.add

    def __call__(self, number: int) -> int:
        return number + self.tool


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_tool_is_built_once_in_each_worker_and_left_to_nobody(workers, tmp_path):
    for add in (1, 10):  # another tool in the same processes, or in new ones
        assert list(ordered_map(Counting(tmp_path, add), range(40), workers, chunk=2)) == [n + add for n in range(40)]
    built = [path.name.split("-")[:2] for path in tmp_path.iterdir()]
    assert len(built) == len({tuple(one) for one in built}), "no process built the tool of one map twice"
    assert 2 <= len(built) <= 2 * max(1, workers)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_results_come_in_order(workers):
    assert list(ordered_map(square, range(100), workers, chunk=3)) == [number * number for number in range(100)]


def test_items_are_not_read_far_ahead():
    taken = []

    def feed():
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(square, feed(), 2, chunk=2)
    next(results)
    assert len(taken) <= 2 * (4 * 2 + 1)
    results.close()


def sizes(part: list[int]) -> list[tuple[int, int]]:
    """Each item with the number of those it came with."""
    return [(number, len(part)) for number in part]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_function_of_lists_gets_the_same_lists_everywhere(workers):
    assert list(batched_map(sizes, range(10), workers, batch=4)) == [(n, 4 if n < 8 else 2) for n in range(10)]


class Elsewhere:
    """An engine that does the last first, and loses what is divisible by seven."""

    here = False

    def map(self, function, items, workers, *, chunk, lost):
        """See `Engine`."""
        items = list(items)
        parts = [items[start : start + chunk] for start in range(0, len(items), chunk)]
        for part in [function(part) for part in parts[::-1]][::-1]:
            yield from (lost(one, "gone") if lost and one in (0, 7) else one for one in part)


def test_another_engine_runs_what_is_begun_in_its_block():
    wanted = [n * n for n in range(10)]
    with using(Elsewhere()):
        assert not runs_here(1)
        assert list(ordered_map(square, range(10), 1, chunk=3)) == wanted
        assert list(ordered_map(square, range(2), 0, lost=lambda item, reason: (item, reason))) == [(0, "gone"), 1]
        assert list(batched_map(sizes, range(5), 1, batch=4)) == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 1)]
    assert runs_here(1)
    assert not runs_here(2)
    assert list(ordered_map(square, range(10), 1)) == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="three"):
        list(ordered_map(fail_at_three, range(6), workers, chunk=1))


def test_a_killed_worker_is_said_in_words():
    with pytest.raises(EnvironmentFault, match="worker process died"):
        list(ordered_map(die_at_three, range(6), 2, chunk=1))


@pytest.fixture
def answered():
    """The numbers of the signals answered; the test's own handlers, put back at its end."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in numbers}
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_answered_after_what_must_not_be_disturbed(answered):
    with undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert answered == []
    assert sorted(answered) == [signal.SIGINT, signal.SIGTERM]
    with pytest.raises(ValueError, match="three"), undisturbed():
        stopped_at_three(3)
    assert len(answered) == 3, "also where that fails"


def test_children_started_deaf_leave_ctrl_c_to_their_parent(answered):
    asking = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT).name)"]
    with deaf_children():
        deaf = subprocess.run(asking, capture_output=True, text=True, check=True)
    assert deaf.stdout == "SIG_IGN\n"
    os.kill(os.getpid(), signal.SIGINT)
    assert answered == [signal.SIGINT], "the parent answers again"
    assert list(ordered_map(signal.getsignal, [signal.SIGINT, signal.SIGTERM], 2)) == [signal.SIG_IGN, signal.SIG_DFL]
