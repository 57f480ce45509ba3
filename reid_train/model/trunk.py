"""What a network below the pooling gives, whatever it is: images (N, 3, H, W) float32 -> maps or tokens."""

from typing import NamedTuple

from torch import Tensor, nn

_PLACES = {"NCHW": (2, 3), "NHWC": (1, 2), "NLC": (1,)}


class Output(NamedTuple):
    """How the output of a trunk lies: feature maps (N, C, h, w) or (N, h, w, C), or tokens (N, L, C).

    Of tokens the first `num_prefix` belong to no patch, and the very first is the class token if there is one. `method`: what
    of the network gives it.
    """

    axes: str = "NCHW"
    num_prefix: int = 0
    class_token: bool = False
    method: str = "forward"

    def of(self, network: nn.Module, images: Tensor) -> Tensor:
        """What the network gives for images (N, 3, H, W)."""
        method = network if self.method == "forward" else getattr(network, self.method)
        found: Tensor = method(images)
        return found

    def patches(self, found: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """The output without tokens that belong to no patch, and the axes along which its places lie."""
        return found[:, self.num_prefix :] if self.num_prefix else found, _PLACES[self.axes]


MAPS = Output()


class Trunk(NamedTuple):
    """A network below the pooling, the number C of its features at each place, and how they lie."""

    network: nn.Module
    width: int
    output: Output = MAPS
