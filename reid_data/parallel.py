"""Run a function over many items in several processes, results in order."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from reid_data.errors import EnvironmentFault

Item = TypeVar("Item")
Result = TypeVar("Result")
STOPS = (signal.SIGINT, signal.SIGTERM)


def default_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine(Protocol):
    """A way to run a function over many items in several processes. Which one is used changes no result."""

    here: bool
    """Whether one worker is this very process, which then needs no engine."""

    def map(
        self,
        function: Callable[[list[Item]], list[Result]],
        items: Iterable[Item],
        workers: int,
        *,
        chunk: int,
        lost: Callable[[Item, str], Result] | None,
    ) -> Iterator[Result]:
        """Yield the results of each item in the order of `items`; `function` gets `chunk` items at a time, the last time what is
        left. `function` and `lost` as in `ordered_map`."""


class LocalProcesses:
    """The engine of one machine, and the usual one. A worker that dies ends the map, whatever `lost` says."""

    here = True

    def map(
        self,
        function: Callable[[list[Item]], list[Result]],
        items: Iterable[Item],
        workers: int,
        *,
        chunk: int,
        lost: Callable[[Item, str], Result] | None,
    ) -> Iterator[Result]:
        """See `Engine`. At most 4 * `workers` chunks are under way."""
        context = _context()
        feed = iter(items)
        pool = ProcessPoolExecutor(workers, context, _start_worker, (function,))
        try:
            waiting: deque[Future[list[Result]]] = deque()
            for part in iter(lambda: list(islice(feed, chunk)), []):
                with undisturbed():
                    waiting.append(pool.submit(_run_chunk, part))
                if len(waiting) >= 4 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise EnvironmentFault(
                "a worker process died (killed, or out of memory). Run the same command again with fewer --workers; "
                "what is finished is kept."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


LOCAL = LocalProcesses()
_engine: ContextVar[Engine] = ContextVar("engine", default=LOCAL)


@contextmanager
def using(engine: Engine) -> Iterator[None]:
    """Every `ordered_map` that is begun in the block runs on `engine`."""
    before = _engine.set(engine)
    try:
        yield
    finally:
        _engine.reset(before)


def runs_here(workers: int) -> bool:
    """Whether a map with so many workers stays in this process."""
    return workers <= 1 and _engine.get().here


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    chunk: int = 16,
    lost: Callable[[Item, str], Result] | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item in the order of `items`, whatever the number of `workers` and the engine.

    `function` is pickled once for each worker, not with every item: a module-level function, or an object with `__call__`,
    whose tools (a cache, a network) are built where it is first called if they are cached properties. With one worker
    or none everything happens in this process. `chunk` items travel together; only a few chunks a worker are under way, so
    memory does not grow with the number of items. `lost(item, reason)`: the result of an item that kills its workers, for an
    engine that goes on all the same.
    """
    if runs_here(workers):
        yield from map(function, items)
        return
    yield from _engine.get().map(partial(_each, function), items, workers, chunk=chunk, lost=lost)


def batched_map(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    workers: int,
    *,
    batch: int,
    lost: Callable[[Item, str], Result] | None = None,
) -> Iterator[Result]:
    """As `ordered_map` for a function of a list of `batch` items (the last list may be shorter) that gives a list of as many
    results."""
    if runs_here(workers):
        feed = iter(items)
        for part in iter(lambda: list(islice(feed, batch)), []):
            yield from function(part)
        return
    yield from _engine.get().map(function, items, workers, chunk=batch, lost=lost)


def _each(function: Callable[[Item], Result], part: list[Item]) -> list[Result]:
    return [function(item) for item in part]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM after the block, not in it: an interrupted start of a process leaves a stray one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            os.kill(os.getpid(), one)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Programs started in the block never answer Ctrl-C, not even while their modules load: their parent does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _context() -> multiprocessing.context.BaseContext:
    """How workers are started: forked from a server, itself as deaf as they have to be."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    with deaf_children():
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


_function: Callable[[list[Any]], list[Any]]
"""What this process is a worker for; it serves one map only."""


def _run_chunk(part: list[Any]) -> list[Any]:
    return _function(part)


def _start_worker(function: Callable[[list[Any]], list[Any]]) -> None:
    """One thread per worker, no reaction to Ctrl-C (the parent stops us), no life after the parent's."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
