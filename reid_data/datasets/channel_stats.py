"""Exact channel statistics: pooled mean and std, and the mean of per-image std, from integer sums.

The pixels of an image are summed as integers, so the result is the same to the last bit for any number of workers and
any order of the images.

Two definitions of the std are in use. Pooled: over all pixels of all images, sqrt(E[x^2] - E[x]^2). Per image: the std
of each image, averaged over images, as most re-ID tools print it; it leaves out the variance between images, so it is
never larger than the pooled one (for images of equal size).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reid_data.datasets.digest import dataset_digest
from reid_data.errors import ImageError, InputError
from reid_data.files import cache_folder, printable
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.images import read_record, resize
from reid_data.parallel import ordered_map
from reid_data.records import Record, ReidDataset
from reid_data.seals import keep, kept

VERSIONS = {"channel-statistics": 1}  # pixel_sums, summarise

IntegerSums = tuple[int, tuple[int, int, int], tuple[int, int, int]]
Triple = tuple[float, float, float]
Size = tuple[int, int]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ChannelStats:
    """Statistics of the channels R, G, B in units of the full range (0 to 1).

    `mean` and `std` are pooled over all pixels; `mean_per_image` and `std_per_image` are means over images of each
    image's mean and (biased, 1/N) std. `size` is None for native sizes, else (height, width) after `images.resize`.
    `failed` lists (name, reason) of images that could not be read.
    """

    num_images: int
    num_pixels: int
    size: Size | None
    mean: Triple
    std: Triple
    mean_per_image: Triple
    std_per_image: Triple
    failed: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)


def pixel_sums(image: np.ndarray) -> IntegerSums:
    """Number of pixels, and per channel the exact sums of x and of x^2, of an (H, W, 3) uint8 image."""
    total = cv2.sumElems(image)
    squares = [cv2.norm(channel, cv2.NORM_L2SQR) for channel in cv2.split(image)]
    return (
        image.shape[0] * image.shape[1],
        (int(total[0]), int(total[1]), int(total[2])),
        (round(squares[0]), round(squares[1]), round(squares[2])),
    )


def _record_sums(item: tuple[Record, Size | None]) -> IntegerSums | str:
    record, size = item
    try:
        image = read_record(record)
    except ImageError as error:
        return str(error)
    return pixel_sums(image if size is None else resize(image, size))


def channel_stats(
    records: Sequence[Record],
    size: Size | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ChannelStats:
    """Statistics over the images of `records`, at native size or resized to `size` = (height, width).

    Unreadable images are left out and listed in the result. Raises InputError if none can be read.
    """
    rows: list[IntegerSums] = []
    failed: list[tuple[str, str]] = []
    jobs = ((record, size) for record in records)
    for done, (record, sums) in enumerate(
        zip(records, ordered_map(_record_sums, jobs, workers, chunk=64, lost=lambda _, reason: reason)), 1
    ):
        if isinstance(sums, str):
            failed.append((record.name, sums))
        else:
            rows.append(sums)
        if progress is not None:
            progress(done, len(records))
    if not rows:
        raise InputError(
            f"none of the {len(records)} images can be read"
            + (f"; the first: {printable(failed[0][0])} {failed[0][1]}." if failed else ".")
        )
    return summarise(rows, size, tuple(failed))


def stats_file(dataset: ReidDataset, split: str, size: Size | None) -> Path:
    """Where the statistics of a split are kept, by the set's contents: a changed image changes the name."""
    label = "native" if size is None else f"{size[0]}x{size[1]}"
    label += "".join(f"-{step}-{version}" for step, version in (VERSIONS | IMAGE_VERSIONS).items() if version != 1)
    return cache_folder("stats") / f"{dataset_digest(dataset)}-{split}-{label}.json"


def kept_stats(
    dataset: ReidDataset, split: str, size: Size | None, workers: int = 1, progress: Progress | None = None
) -> ChannelStats:
    """`channel_stats` of one split, from its file if this very set was measured before, else measured and kept."""
    path = stats_file(dataset, split, size)
    data = kept(path, "file of statistics")
    if data is not None:
        return _from_dict(json.loads(data))
    stats = channel_stats(dataset.split(split), size, workers, progress)
    keep(path, json.dumps(stats.as_dict(), sort_keys=True, ensure_ascii=True).encode("ascii"))
    return stats


def _from_dict(fields: dict[str, Any]) -> ChannelStats:
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    frozen["failed"] = tuple((name, reason) for name, reason in fields["failed"])
    return ChannelStats(**frozen)


def summarise(
    rows: Sequence[IntegerSums], size: Size | None = None, failed: tuple[tuple[str, str], ...] = ()
) -> ChannelStats:
    """Combine the integer sums of at least one image. The order of `rows` does not matter, to the last bit."""
    num_pixels = sum(row[0] for row in rows)
    total = [sum(row[1][channel] for row in rows) for channel in range(3)]
    squares = [sum(row[2][channel] for row in rows) for channel in range(3)]
    return ChannelStats(
        num_images=len(rows),
        num_pixels=num_pixels,
        size=size,
        mean=_triple(total[channel] / num_pixels / 255 for channel in range(3)),
        std=_triple(_std(num_pixels, total[channel], squares[channel]) for channel in range(3)),
        mean_per_image=_triple(
            math.fsum(row[1][channel] / row[0] for row in rows) / len(rows) / 255 for channel in range(3)
        ),
        std_per_image=_triple(
            math.fsum(_std(row[0], row[1][channel], row[2][channel]) for row in rows) / len(rows)
            for channel in range(3)
        ),
        failed=failed,
    )


def _std(num_pixels: int, total: int, squares: int) -> float:
    """Biased std in units of the full range; the numerator is an exact integer (no cancellation)."""
    return math.sqrt(num_pixels * squares - total * total) / num_pixels / 255


def _triple(values: Any) -> Triple:
    red, green, blue = values
    return red, green, blue
