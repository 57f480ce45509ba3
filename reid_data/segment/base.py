"""What a segmenter is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from reid_data.errors import ImageError, UsageError
from reid_data.records import Record

EXCLUSIVE = ("flip", "weights")
"""Options that only some segmenters take; the others refuse them. Further options are passed over where they mean nothing."""


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
    def tells_empties(self) -> bool:
        """Whether it finds nobody where nobody is; the others cut something out of every picture, or know nothing of new ones."""
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

    def on(self, device: str) -> Self:
        """The same at work on `device` (auto, cpu, cuda or cuda:N); itself if it knows no devices."""
        ...

    def adapted_to(self, records: Sequence[Record]) -> Self:
        """The same, fitted to how these pictures frame their people; itself if there is nothing to fit."""
        ...

    def configured(self, options: Mapping[str, Any]) -> Self:
        """The same with what a user asks for: `device`, `flip`, `weights`, `sam_model` and `sam_weights`.

        Raises ReidError for an option that does not belong to it (see EXCLUSIVE), or that cannot be met here.
        """
        ...


class PlainSegmenter:
    """The members of a `Segmenter` that has no options, knows no devices, is the same for all pictures and cannot tell that
    nobody is there."""

    name: str
    tells_empties: bool = False

    def on(self, device: str) -> Self:
        """See `Segmenter`."""
        return self

    def adapted_to(self, records: Sequence[Record]) -> Self:
        """See `Segmenter`."""
        return self

    def configured(self, options: Mapping[str, Any]) -> Self:
        """See `Segmenter`."""
        refuse(self.name, options, EXCLUSIVE)
        return self


def refuse(name: str, options: Mapping[str, Any], refused: Sequence[str]) -> None:
    """Raise UsageError if one of the `refused` options is given to the segmenter `name`."""
    given = [f"--{option}" for option in refused if options.get(option)]
    if given:
        several = len(given) > 1
        raise UsageError(
            f"{' and '.join(given)} belong{'' if several else 's'} to --segmenter small, not to {name}. "
            f"Leave {'them' if several else 'it'} out."
        )


@dataclass(frozen=True)
class KeptMasks(PlainSegmenter):
    """Stands in for a segmenter of which only the kept masks are at hand: no network is loaded, and no mask is made."""

    name: str = "kept"
    known_digest: str = ""
    cached: bool = True

    max_workers = None
    batch = 16

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`."""
        return self.known_digest

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`; always an ImageError, unless there are no pictures."""
        if not images:
            return [], []
        raise ImageError("has lost its mask from the cache; run the same command again")
