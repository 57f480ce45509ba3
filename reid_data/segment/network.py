"""A small U-Net of plain 3x3 convolutions that finds the central person in a (128, 64) crop.

On a processor plain convolutions beat depthwise ones of the same size; skips are added, not concatenated, to keep the wide
layers at low resolution. After Ronneberger et al., "U-Net", MICCAI 2015, with the residual blocks of He et al., CVPR 2016.
"""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import printable, write_atomic
from reid_data.tensors import read_header, read_tensors

SIZE = (128, 64)
"""Height and width of what the network sees."""

WIDTHS = (24, 40, 64, 96)
BLOCKS = (1, 1, 2, 2)
STEM = 8
FORMAT = "pedestrian-net 1"
"""Written into every weights file; a file with another value is refused."""

MAKE_ONE = "Make one with 'reid-data train-segmenter'."


class ConvNorm(nn.Module):
    """3x3 convolution, batch norm, optional ReLU. `fold` melts the norm into the convolution."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, activate: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(outside)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, H / stride, W / stride)."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return functional.relu(x, inplace=True) if self.activate else x

    def fold(self) -> None:
        """Replace conv + norm (running statistics) by one convolution with a bias."""
        if self.norm is None:
            return
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        stride = (self.conv.stride[0], self.conv.stride[1])
        folded = nn.Conv2d(self.conv.in_channels, self.conv.out_channels, 3, stride, 1)
        folded.weight = nn.Parameter(self.conv.weight * scale[:, None, None, None])
        folded.bias = nn.Parameter(self.norm.bias - mean * scale)
        self.conv, self.norm = folded, None


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return functional.relu(x + self.second(self.first(x)))


class PedestrianNet(nn.Module):
    """(N, 3, 128, 64) float in [-1, 1] -> (N, 1, 128, 64) logits. Any size divisible by 16 works; it is trained for one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM)
        inside = (STEM, *WIDTHS[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(ConvNorm(before, width, stride=2), *(Block(width) for _ in range(blocks)))
            for before, width, blocks in zip(inside, WIDTHS, BLOCKS)
        )
        self.whole = nn.Linear(WIDTHS[-1], WIDTHS[-1])
        rising = WIDTHS[::-1]
        self.narrow = nn.ModuleList(nn.Conv2d(wide, width, 1) for wide, width in pairwise(rising))
        self.up = nn.ModuleList(Block(width) for width in rising[1:])
        self.full = nn.Conv2d(WIDTHS[0], 4 * STEM, 1)
        self.merge = ConvNorm(2 * STEM, 12)
        self.head = nn.Conv2d(12, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        stem = self.stem(x)
        levels = []
        x = stem
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        for narrow, block, skip in zip(self.narrow, self.up, levels[-2::-1]):
            x = block(functional.interpolate(narrow(x), scale_factor=2.0, mode="nearest") + skip)
        x = functional.pixel_shuffle(self.full(x), 2)
        return self.head(self.merge(torch.cat([x, stem], 1)))


def fold_norms(net: PedestrianNet) -> PedestrianNet:
    """The same function in evaluation mode without batch norms, in place; returns `net`."""
    net.eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ConvNorm):
                module.fold()
    return net


def save_weights(net: PedestrianNet, path: Path, about: dict[str, str]) -> None:
    """Write a folded network as half-precision safetensors; `about` (terms, recipe, ...) becomes its metadata.

    Raises InputError when a weight is not finite in half precision: such a network finds nobody.
    """
    state = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    _refuse_not_finite(state, path)
    write_atomic(path, _with_sorted_header(save(state, {"format": FORMAT, **about})))


def _with_sorted_header(data: bytes) -> bytes:
    """The same safetensors file with its header's keys in order: the library writes them in any."""
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True).encode("ascii")
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def load_weights(path: Path) -> PedestrianNet:
    """The folded network in a file of `save_weights`, float32, evaluation mode. Raises EnvironmentFault or InputError."""
    net = fold_norms(PedestrianNet())
    if not path.exists():
        raise EnvironmentFault(
            f"there are no segmenter weights at '{printable(path)}'. Mend the path, or reinstall the package if it is a bundled file."
        )
    tensors, about = read_tensors(path, remedy=MAKE_ONE)
    state, found = {name: tensor.float() for name, tensor in tensors.items()}, about.get("format")
    if found != FORMAT:
        raise InputError(
            f"'{printable(path)}' holds no pedestrian segmenter: its format is {found!r}, expected {FORMAT!r}. "
            f"{MAKE_ONE}"
        )
    _refuse_not_finite(state, path)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"'{printable(path)}' does not fit this network: {error}") from error
    return net.requires_grad_(False)


def _refuse_not_finite(state: dict[str, Tensor], path: Path) -> None:
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise InputError(
            f"'{printable(path)}': the weights '{bad[0]}' are not all finite numbers. Train again with a lower --rate."
        )


def read_about(path: Path) -> dict[str, str]:
    """The metadata that `save_weights` put into a file: terms, recipe, sources. Raises InputError."""
    return read_header(path, remedy=MAKE_ONE).metadata


def to_input(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@torch.inference_mode()
def predict(net: PedestrianNet, images: np.ndarray, *, flip: bool = False, batch: int = 64) -> np.ndarray:
    """(N, 128, 64, 3) uint8 RGB -> (N, 128, 64) float32 chance of being the person.

    `flip` averages with the mirrored picture's mirrored answer: twice the work.
    """
    device = next(net.parameters()).device
    found = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), batch):
        x = to_input(images[start : start + batch]).to(device, memory_format=torch.channels_last)
        chance = torch.sigmoid(net(x))
        if flip:
            chance = (chance + torch.sigmoid(net(x.flip(3))).flip(3)) / 2
        found[start : start + batch] = chance[:, 0].cpu().numpy()
    return found
