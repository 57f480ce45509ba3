"""Poolings: what a trunk gives (see `trunk.Output`) -> (N, C) float32, or (N, 2C) for two of them side by side."""

import torch
from torch import Tensor, nn

from reid_data.errors import UsageError, unknown_name
from reid_train.model.trunk import MAPS, Output


class GeneralisedMean(nn.Module):
    """Generalised-mean pooling over the places with a learned exponent (Radenovic et al., arXiv:1711.02512)."""

    def __init__(self, output: Output = MAPS) -> None:
        super().__init__()
        self.output = output
        self.exponent = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, found: Tensor) -> Tensor:
        """(mean of x^p)^(1/p) over the places, x clamped to at least 1e-6; in float32 whatever the autocast."""
        with torch.autocast(found.device.type, enabled=False):
            patches, places = self.output.patches(found)
            return patches.float().clamp_min(1e-6).pow(self.exponent).mean(places).pow(1 / self.exponent)


class AveragePool(nn.Module):
    """The mean over the places: of maps global average pooling, of tokens the mean of those of the patches."""

    def __init__(self, output: Output = MAPS) -> None:
        super().__init__()
        self.output = output

    def forward(self, found: Tensor) -> Tensor:
        """(N, C)."""
        patches, places = self.output.patches(found)
        return patches.float().mean(places)


class ClassToken(nn.Module):
    """The class token."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        if not output.class_token:
            raise UsageError(
                "--pooling cls and cls+gap take the class token, and this backbone has none. Choose --pooling gap or gem."
            )

    def forward(self, found: Tensor) -> Tensor:
        """(N, C)."""
        return found[:, 0].float()


class ClassAndAverage(nn.Module):
    """The class token beside the mean of the patches' tokens."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.token, self.average = ClassToken(output), AveragePool(output)

    def forward(self, found: Tensor) -> Tensor:
        """(N, 2C)."""
        return torch.cat([self.token(found), self.average(found)], 1)


POOLINGS: dict[str, tuple[type[nn.Module], int]] = {
    "gap": (AveragePool, 1),
    "gem": (GeneralisedMean, 1),
    "cls": (ClassToken, 1),
    "cls+gap": (ClassAndAverage, 2),
}
"""name -> (its module, made with the trunk's `Output`; how many times C its features have)"""


def build_pooling(name: str, output: Output, width: int) -> tuple[nn.Module, int]:
    """The pooling `name` over what a trunk of `width` features gives, and the number of features that come out."""
    if name not in POOLINGS:
        raise unknown_name("pooling", name, POOLINGS)
    kind, times = POOLINGS[name]
    return kind(output), times * width
