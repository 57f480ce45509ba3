"""How a network computes: device, autocast type, statistics of its input."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from reid_data.errors import UsageError

DTYPES = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Arithmetic:
    """How a step computes: device, autocast type, channel statistics of the input, and the gradient scaler that fp16 needs."""

    def __init__(self, device: torch.device, amp: str, mean: Sequence[float], std: Sequence[float]) -> None:
        if amp == "fp16" and device.type == "cpu":
            raise UsageError("--amp fp16 needs a CUDA device; use --amp none or bf16.")
        self.device, self.dtype = device, DTYPES[amp]
        self._norm = [float(value) for value in mean], [float(value) for value in std]
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    @property
    def norm(self) -> dict[str, list[float]]:
        """The channel statistics, as they are recorded."""
        return {"mean": self._norm[0], "std": self._norm[1]}

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The uint8 colour that becomes (nearly) 0 in the input."""
        red, green, blue = (round(255 * value) for value in self._norm[0])
        return red, green, blue

    def autocast(self) -> AbstractContextManager[object]:
        """The autocast context of the network's forward."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def to_input(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> normalised float32 (N, 3, H, W) on the device, in channels-last memory."""
        moved = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        return moved.float().div(255).sub(self.mean).div(self.std)


def resolve_amp(amp: str, device: torch.device) -> str:
    """`auto` becomes bf16 on CUDA and none on a CPU."""
    return amp if amp != "auto" else "bf16" if device.type == "cuda" else "none"
