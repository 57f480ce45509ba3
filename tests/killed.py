"""Work that is killed at a chosen write or rename, in a process of its own."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from reid_data import files

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["cv2", "torch", "albumentations", "reid_data.compose.build", "reid_data.plates.build", "reid_data.written.forget"]
)
"""Children are forked from a server that has imported this and done nothing. A test's own process is no parent for them: the
threads that it ended a moment ago may hold locks of OpenCV or torch yet, and a child would wait for these for ever."""


def killed(failpoint: int, work: Callable[..., object], *given: object, **options: object) -> bool:
    """Do `work` (of a module, as are its arguments' classes) in a process that kills itself at that write or rename.

    Whether it was killed; if not, the work must have ended well.
    """
    child = FORKS.Process(target=_work, args=(dict(os.environ), failpoint, work, given, options))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), f"ended with {child.exitcode}; its words are above"
    return child.exitcode != 0


def _work(
    environment: Mapping[str, str],
    failpoint: int,
    work: Callable[..., object],
    given: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    os.environ.clear()
    os.environ.update(environment, REID_FAILPOINT=str(failpoint))
    files._hits = 0
    work(*given, **options)
