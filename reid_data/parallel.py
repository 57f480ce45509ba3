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
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, TypeVar

from reid_data.errors import EnvironmentFault

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    chunk: int = 16,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yield `function(item)` for each item in the order of `items`, whatever the number of `workers`.

    `function` and `initializer` are module-level (they travel by name). With one worker everything happens in this
    process. At most 4 * `workers` chunks are under way, so memory does not grow with the number of items.
    """
    if workers <= 1:
        if initializer is not None:
            initializer(*initargs)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    feed = iter(items)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (initializer, initargs))
    try:
        waiting: deque[Future[list[Result]]] = deque()
        for part in iter(lambda: list(islice(feed, chunk)), []):
            waiting.append(pool.submit(_run_chunk, function, part))
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


def _run_chunk(function: Callable[[Item], Result], part: list[Item]) -> list[Result]:
    return [function(item) for item in part]


def _start_worker(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """One thread per worker, no reaction to Ctrl-C (the parent stops us), no life after the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)
    if initializer is not None:
        initializer(*initargs)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
