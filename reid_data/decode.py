"""From records to pixels at the input size, in several processes. Imports no torch, so that workers start at once."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid_data.errors import ImageError
from reid_data.images import read_record, resize
from reid_data.parallel import ordered_map
from reid_data.records import Record

Progress = Callable[[int, int], None]
Images = Callable[[Sequence[Record], tuple[int, int], int], Iterator[np.ndarray | str]]
"""From records, a size (height, width) and a number of workers to each image at that size, in order, or the reason why
there is none."""


class Unreadable(NamedTuple):
    """An image that could not be used, and why."""

    name: str
    reason: str


def decode_all(
    records: Sequence[Record], size: tuple[int, int], *, workers: int = 1, progress: Progress | None = None
) -> tuple[np.ndarray | None, list[str | None]]:
    """(pixels (readable, H, W, 3) uint8 at `size`, per record None or the reason why it cannot be read).

    The pixels are None if they would fill more than half of the free memory.
    """
    fits = len(records) * size[0] * size[1] * 3 <= free_memory() / 2
    pixels = np.empty((len(records) if fits else 0, *size, 3), np.uint8)
    reasons: list[str | None] = []
    count = 0
    for done, image in enumerate(ordered_map(decode, ((record, size) for record in records), workers, chunk=64), 1):
        reasons.append(image if isinstance(image, str) else None)
        if not isinstance(image, str):
            if fits:
                pixels[count] = image
            count += 1
        if progress is not None:
            progress(done, len(records))
    return (pixels[:count] if fits else None), reasons


def decode(item: tuple[Record, tuple[int, int]]) -> np.ndarray | str:
    """(record, size) -> the image (H, W, 3) uint8 at `size`, or the reason why it cannot be read."""
    record, size = item
    try:
        return resize(read_record(record), size)
    except ImageError as error:
        return str(error)


def decoded(records: Sequence[Record], size: tuple[int, int], workers: int) -> Iterator[np.ndarray | str]:
    """The images as they are in their files: the usual `Images`."""
    return ordered_map(decode, ((record, size) for record in records), workers, chunk=64)


def free_memory() -> int:
    """Bytes of memory that can be had without swapping; a guess of 4 GB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4_000_000_000
