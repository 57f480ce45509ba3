"""Start the processes of one training on this machine (`--nproc N`), as torchrun would."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from reid_data.errors import EnvironmentFault, ReidError
from reid_data.parallel import deaf_children, undisturbed


def launch(function: Callable[..., Any], arguments: tuple[Any, ...], num_processes: int) -> Any:
    """Run `function(*arguments)` in `num_processes` processes that find each other; what the first one returns.

    `function` is module-level and, like arguments and result, travels by pickle between processes of this program (plain
    values and arrays, no tensors). If one fails, the others are stopped; its ReidError is raised here.
    """
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    ends, children = [], []
    try:
        for rank in range(num_processes):
            here, there = context.Pipe(duplex=False)
            child = context.Process(
                target=_run, args=(there, function, arguments, rank, num_processes, port), daemon=False
            )
            with undisturbed():
                with deaf_children():
                    child.start()
                there.close()
                ends.append(here)
                children.append(child)
        answers = _collect(ends)
    finally:
        for child in children:
            child.terminate()
            child.join()
    return answers[0]


def _collect(ends: "list[Connection[Any, Any]]") -> dict[int, Any]:
    """The answer of every process; raises as soon as one fails."""
    answers: dict[int, Any] = {}
    while len(answers) < len(ends):
        ready = wait([end for rank, end in enumerate(ends) if rank not in answers])
        for rank in [rank for rank, end in enumerate(ends) if end in ready]:
            try:
                failure, value = ends[rank].recv()
            except EOFError as error:
                raise EnvironmentFault(
                    f"process {rank} of the training died (killed, or out of memory). Run the same command again; "
                    "what is finished is kept."
                ) from error
            if failure is not None:
                raise failure
            answers[rank] = value
    return answers


def _run(
    answer: "Connection[Any, Any]",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    rank: int,
    num_processes: int,
    port: int,
) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_processes, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    try:
        answer.send((None, function(*arguments)))
    except ReidError as error:
        answer.send((error, None))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
