"""Masks of many records over several processes: what each one is like, the masks themselves left in the cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Generic, TypeVar

import numpy as np

from reid_data.masks import thumbnail
from reid_data.parallel import batched_map, runs_here
from reid_data.records import Record
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Masked, Unusable

Progress = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class MaskInfo:
    """A mask in brief: hash of the image file, image size (height, width), quality, share of the crop, what speaks
    against it, and the mask as a (32, 16) uint8 thumbnail."""

    record: Record
    sha256: str
    size: tuple[int, int]
    quality: float
    area: float
    reasons: tuple[str, ...]
    thumb: np.ndarray


def survey(
    records: Sequence[Record], segmenter: Segmenter, workers: int, progress: Progress | None = None
) -> Iterator[MaskInfo | Unusable]:
    """Yield the `MaskInfo` (or the reason why there is none) of each record in order; masks not yet kept are made."""
    yield from map_masked(mask_info, records, segmenter, workers, progress)


def mask_info(masked: Masked) -> MaskInfo:
    """A mask in brief."""
    verdict = masked.verdict
    size = (masked.image.shape[0], masked.image.shape[1])
    return MaskInfo(
        masked.record, masked.sha256, size, masked.quality, verdict.area, verdict.reasons, thumbnail(masked.alpha > 0.5)
    )


def map_masked(
    function: Callable[[Masked], Result],
    records: Sequence[Record],
    segmenter: Segmenter,
    workers: int,
    progress: Progress | None = None,
) -> Iterator[Result | Unusable]:
    """Yield `function(Masked)` of each record in order; `function` travels by name or as a partial of such a one."""
    found = masked_map(partial(_apply, function), records, segmenter, workers)
    for done, result in enumerate(found, 1):
        yield result
        if progress is not None:
            progress(done, len(records))


def masked_map(
    function: Callable[[Sequence[Masked | Unusable]], list[Result]],
    records: Sequence[Record],
    segmenter: Segmenter,
    workers: int,
) -> Iterator[Result]:
    """Yield the results of the records, in order; `function` gets them in lists of the segmenter's `batch`, with their masks.

    One worker, or none, is this process, with reading and writing in threads beside the segmenter; several are processes.
    """
    batch = segmenter.batch
    workers = min(workers, segmenter.max_workers or workers, max(1, -(-len(records) // batch)))
    if runs_here(workers):
        batches = (records[start : start + batch] for start in range(0, len(records), batch))
        for found in MaskCache(segmenter).masked_ahead(batches):
            yield from function(found)
        return

    def lost(record: Record, reason: str) -> Result:
        return function([Unusable(record, reason)])[0]

    yield from batched_map(_Masker(function, segmenter), records, workers, batch=batch, lost=lost)


def _apply(function: Callable[[Masked], Result], found: Sequence[Masked | Unusable]) -> list[Result | Unusable]:
    return [one if isinstance(one, Unusable) else function(one) for one in found]


@dataclass(frozen=True)
class _Masker(Generic[Result]):
    """`function` of a batch of records with their masks."""

    function: Callable[[Sequence[Masked | Unusable]], list[Result]]
    segmenter: Segmenter

    @cached_property
    def cache(self) -> MaskCache:
        """The masks."""
        return MaskCache(self.segmenter)

    def __call__(self, records: Sequence[Record]) -> list[Result]:
        return self.function(self.cache.masked(records))
