"""The bundled segmenters: a small network on the processor (one thread per process) or a GPU."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch

from reid_data.devices import choose_device
from reid_data.files import settings_digest, sha256_file
from reid_data.manifest import raised
from reid_data.masks import VERSIONS as MASK_VERSIONS
from reid_data.masks import judge
from reid_data.records import Record
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.central import VERSIONS as PERSON_VERSIONS
from reid_data.segment.central import central_person
from reid_data.segment.network import SIZE, PedestrianNet, load_weights, predict

VERSIONS = {"small-network": 1}  # reduce, enlarge, and the network's arithmetic

BUNDLED = ("small", "small-synth")

BATCH = 32
"""Pictures per pass on the processor."""

PAD_TO = 16
"""The last pass is filled up to a multiple of it: very small passes take other kernels, which round differently, and the same
picture shall give the same mask whatever else is in the call."""

GPU_BATCH = 64
"""Pictures per pass on a GPU; a smaller pass is filled up, for the same reason."""


def bundled_weights(name: str) -> Path:
    """Where the weights of a bundled segmenter lie."""
    return Path(str(files("reid_assets"))) / "segmenters" / f"{name}.safetensors"


@dataclass(frozen=True)
class SmallSegmenter(PlainSegmenter):
    """A `PedestrianNet`: `weights` a file ('' = the bundled one called `name`), `flip` averages with the mirrored picture,
    `device` is `auto`, `cpu` or a CUDA device.

    `auto` is the GPU where there is one, else the processor.
    """

    name: str = "small"
    weights: str = ""
    flip: bool = False
    device: str = "auto"
    cached: bool = field(default=True, init=False)
    tells_empties: bool = field(default=True, init=False)

    @property
    def max_workers(self) -> int | None:
        """See `Segmenter`: any number of single-threaded processes, but one on a GPU."""
        return None if self.resolved_device == "cpu" else 1

    @property
    def batch(self) -> int:
        """See `Segmenter`."""
        return 16 if self.resolved_device == "cpu" else GPU_BATCH

    @property
    def path(self) -> Path:
        """The weights file."""
        return Path(self.weights).expanduser() if self.weights else bundled_weights(self.name)

    @property
    def resolved_device(self) -> str:
        """`device` with `auto` replaced."""
        return choose_device(self.device)

    def on(self, device: str) -> Self:
        """See `Segmenter`. Raises ReidError for a device that is not there."""
        choose_device(device)
        return replace(self, device=device)

    def configured(self, options: Mapping[str, Any]) -> Self:
        """See `Segmenter`."""
        return replace(self.on(options["device"]), flip=options["flip"], weights=options["weights"])

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`; the content of the weights counts, not where they lie. A GPU rounds differently, so it counts, too."""
        settings = {
            "name": "pedestrian-net",
            "weights": _sha256(self.path),
            "flip": self.flip,
            "version": VERSIONS["small-network"],
        }
        return settings_digest(settings | other_arithmetic(self.device) | raised(PERSON_VERSIONS | MASK_VERSIONS))

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`. Masks are soft and hold one person; crops of any size are seen at (128, 64)."""
        if not images:
            return [], []
        alphas = [central_person(enlarge(chance, image)) for chance, image in zip(self.chances(images), images)]
        return alphas, [judge(alpha).quality for alpha in alphas]

    def chances(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(N, 128, 64) float32: the network's raw answer to each (H, W, 3) uint8 RGB picture."""
        device = self.resolved_device
        batch, whole = (BATCH, PAD_TO) if device == "cpu" else (GPU_BATCH, GPU_BATCH)
        padded = -len(images) % whole
        small = np.zeros((len(images) + padded, *SIZE, 3), np.uint8)
        for row, image in enumerate(images):
            small[row] = reduce(image)
        with one_thread(device):
            return predict(_network(str(self.path), _sha256(self.path), device), small, flip=self.flip, batch=batch)[
                : len(images)
            ]


def other_arithmetic(device: str) -> dict[str, str]:
    """What a mask cache's key needs besides the settings: nothing for the processor, the kind of device for others."""
    kind = choose_device(device).partition(":")[0]
    return {} if kind == "cpu" else {"device": kind}


def reduce(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 picture at the network's size, (128, 64, 3)."""
    if image.shape[:2] == SIZE:
        return image
    smaller = image.shape[0] > SIZE[0] or image.shape[1] > SIZE[1]
    return cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def enlarge(chance: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A (128, 64) mask at the size of `image`, float32 in [0, 1]."""
    if image.shape[:2] == SIZE:
        return chance
    size = (image.shape[1], image.shape[0])
    smaller = image.shape[0] < SIZE[0] and image.shape[1] < SIZE[1]
    return np.clip(cv2.resize(chance, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), 0, 1)


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On the processor, let torch use one thread inside: its threads wait for the slowest, processes do not."""
    before = torch.get_num_threads()
    if device != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _network(path: str, sha256: str, device: str) -> PedestrianNet:
    """The network in a file whose content is `sha256`: a file that changes is read again."""
    return load_weights(Path(path)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _sha256(path: Path) -> str:
    if not path.is_file():
        load_weights(path)  # says what is wrong
    state = os.stat(path)
    return _sha256_of(str(path), state.st_mtime_ns, state.st_size)


@cache
def _sha256_of(path: str, mtime: int, size: int) -> str:
    return sha256_file(path)
