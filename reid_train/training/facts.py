"""What an epoch records: means of named values over its batches."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from reid_train.processes.group import mean_over_processes


class Means:
    """Running means of named values; values that are not finite (a skipped fp16 step's gradient) are left out."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, **values: float) -> None:
        """Take in one value for each name."""
        for name, value in values.items():
            if math.isfinite(value):
                self.sums.setdefault(name, []).append(value)

    def row(self) -> dict[str, float]:
        """The mean of each name, over all processes."""
        return mean_over_processes({name: math.fsum(values) / len(values) for name, values in self.sums.items()})


def numbers(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalar tensors as numbers, which come from the device all at once."""
    return dict(zip(scalars, torch.stack([value.detach().float() for value in scalars.values()]).tolist()))
