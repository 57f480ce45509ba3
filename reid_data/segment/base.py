"""What a segmenter is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from reid_data.records import Record


class Segmenter(Protocol):
    """Finds the one person a crop is about.

    An instance travels to worker processes by pickle, so it carries settings and paths; heavy state (weights) is loaded
    at the first `segment`.
    """

    @property
    def name(self) -> str:
        """Its key in `SEGMENTERS`."""
        ...

    @property
    def cached(self) -> bool:
        """Whether its masks depend on nothing but the image and `digest()`, so that they may be kept."""
        ...

    @property
    def max_workers(self) -> int | None:
        """How many processes may hold one at once; None: any number."""
        ...

    @property
    def batch(self) -> int:
        """How many pictures to give it at once: few show progress and lose little when stopped, many keep a GPU busy."""
        ...

    def digest(self, records: Sequence[Record] = ()) -> str:
        """Hexadecimal sha256 of all that the masks of `records` depend on besides the images: settings, weights, files."""
        ...

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """One soft mask and one quality in [0, 1] per image.

        `images`: (H, W, 3) uint8 RGB, of any size each. A mask is (H, W) float32 in [0, 1] at its image's size; one
        that is empty means that no person was found. Raises ImageError where a mask that should exist is unusable.
        """
        ...
