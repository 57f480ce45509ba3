"""Where a training runs: device, threads, and its place among several processes.

Several processes (torchrun, or `--nproc`) split each global batch; gradients are averaged over them after the backward.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed, nn

from reid_data.devices import choose_device
from reid_data.parallel import default_workers

_alone: ContextVar[bool] = ContextVar("alone", default=False)


def pick_device(name: str) -> torch.device:
    """The device behind `auto|cpu|cuda|cuda:N`; `auto` takes CUDA if there is any.

    Of several CUDA devices `auto` and `cuda` take this process's own. Prepares threads and float32 arithmetic.

    Raises UsageError for another word, EnvironmentFault (exit code 4) for a CUDA device that is not there.
    """
    name = choose_device(name)
    if name == "cuda":
        name = choose_device(f"cuda:{local_rank()}")
    if name == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, default_workers() // num_processes()))
    else:
        torch.backends.cudnn.benchmark = True
    return torch.device(name)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes of this training for the time of the block; alone, nothing happens."""
    if num_processes() == 1 or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process as torchrun or `launch` tells it, 0 when alone."""
    return int(os.environ.get("RANK", "0"))


def num_processes() -> int:
    """How many processes train together."""
    return 1 if _alone.get() else int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def alone() -> Iterator[None]:
    """For the time of the block this process computes as if it trained alone: nothing is gathered, nobody is waited for."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def barrier() -> None:
    """Wait until all processes have come here."""
    if num_processes() > 1:
        distributed.barrier()


def mean_over_processes(values: dict[str, float]) -> dict[str, float]:
    """The mean of each value over the processes, which all have the same names."""
    if num_processes() == 1:
        return values
    gathered: list[dict[str, float]] = [{} for _ in range(num_processes())]
    distributed.all_gather_object(gathered, values)
    return {name: sum(row[name] for row in gathered) / len(gathered) for name in values}


def local_rank() -> int:
    """The number of this process on its machine, as torchrun tells it; 0 when alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))


class _Gather(torch.autograd.Function):
    """All processes' rows, with the gradient of every row sent back to the process it came from."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        pieces = [torch.empty_like(rows) for _ in range(num_processes())]
        distributed.all_gather(pieces, rows.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        share = len(total) // num_processes()
        return total[rank() * share : (rank() + 1) * share]


def gather_rows(rows: Tensor) -> Tensor:
    """(N, ...) of each process -> (processes * N, ...) in the order of the processes, differentiable; alone: the same rows."""
    if num_processes() == 1:
        return rows
    if rows.requires_grad:
        return _Gather.apply(rows)
    pieces = [torch.empty_like(rows) for _ in range(num_processes())]
    distributed.all_gather(pieces, rows.contiguous())
    return torch.cat(pieces)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes."""
    mean_of_tensors([parameter.grad for parameter in parameters if parameter.grad is not None])


def mean_of_tensors(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, in place."""
    if num_processes() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= num_processes()
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view_as(tensor))
        offset += tensor.numel()


def from_first(value: Any) -> Any:
    """`value` of the first process in all of them; it travels by pickle between processes of this program."""
    if num_processes() == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, src=0)
    return held[0]
