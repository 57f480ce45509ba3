"""Order, bounds, errors and dying workers of the ordered map."""

import os
import signal

import pytest

from reid_data.errors import EnvironmentFault
from reid_data.parallel import ordered_map


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


@pytest.mark.parametrize("workers", [1, 2, 3])
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


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="three"):
        list(ordered_map(fail_at_three, range(6), workers, chunk=1))


def test_a_killed_worker_is_said_in_words():
    with pytest.raises(EnvironmentFault, match="worker process died"):
        list(ordered_map(die_at_three, range(6), 2, chunk=1))
