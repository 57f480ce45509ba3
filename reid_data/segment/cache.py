"""Masks kept by what they depend on, so that nothing is segmented twice."""

import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from reid_data.errors import ImageError
from reid_data.files import cache_folder, make_folder, sha256_bytes
from reid_data.images import decode_image, read_bytes
from reid_data.masks import Verdict, judge
from reid_data.records import Record
from reid_data.seals import keep, kept
from reid_data.segment.base import Segmenter

QUALITY_KEY = "reid-quality"


@dataclass(frozen=True)
class Masked:
    """A record's image, (H, W, 3) uint8 RGB, with its mask.

    `alpha` is (H, W) float32 in steps of 1/255, `quality` the segmenter's word on it in steps of 0.0001, `sha256` that
    of the image file.
    """

    record: Record
    image: np.ndarray
    sha256: str
    alpha: np.ndarray
    quality: float

    @cached_property
    def verdict(self) -> Verdict:
        """What its shape alone says."""
        return judge(self.alpha)


@dataclass(frozen=True)
class Unusable:
    """A record whose image (or mask file) cannot be used, and why."""

    record: Record
    reason: str


class MaskCache:
    """Masks of one segmenter, made where they are not kept yet.

    A mask is the same whether it was just made or kept: both go through the 8-bit form in which it is stored.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.folder = cache_folder("masks", segmenter.digest()[:24]) if segmenter.cached else None

    def masked(self, records: Sequence[Record]) -> list[Masked | Unusable]:
        """Every record with its mask, in order; what cannot be used says why."""
        found, made = self._fill(self._read(records))
        self._store(made)
        return found

    def masked_ahead(self, batches: Iterable[Sequence[Record]]) -> Iterator[list[Masked | Unusable]]:
        """`masked` of each batch in turn; while the segmenter works on one, threads read the next and write the last."""
        feed = iter(batches)
        with ThreadPoolExecutor(2) as pool:
            coming = [pool.submit(self._read, batch) for batch in islice(feed, 1)]
            writing: Future[None] | None = None
            while coming:
                ready = coming.pop().result()
                coming = [pool.submit(self._read, batch) for batch in islice(feed, 1)]
                found, made = self._fill(ready)
                if writing is not None:
                    writing.result()
                writing = pool.submit(self._store, made)
                yield found
            if writing is not None:
                writing.result()

    def _read(self, records: Sequence[Record]) -> list["_Read | Masked | Unusable"]:
        """What can be had without the segmenter: the images, and the masks that are kept."""
        return [self._read_one(record) for record in records]

    def _read_one(self, record: Record) -> "_Read | Masked | Unusable":
        try:
            data = read_bytes(record.path, record.root)
            image, sha = decode_image(data, record.transparency), sha256_bytes(data)
        except ImageError as error:
            return Unusable(record, str(error))
        kept = self._load(record, sha, image.shape[:2])
        return _Read(record, image, sha) if kept is None else Masked(record, image, sha, *kept)

    def _fill(self, read: Sequence["_Read | Masked | Unusable"]) -> tuple[list[Masked | Unusable], list["_Made"]]:
        """The batch with the missing masks made, and those masks as they are to be kept."""
        made = iter(self._segment([one for one in read if isinstance(one, _Read)]))
        found: list[Masked | Unusable] = []
        new = []
        for one in read:
            if not isinstance(one, _Read):
                found.append(one)
                continue
            mask = next(made)
            if isinstance(mask, str):
                found.append(Unusable(one.record, mask))
                continue
            plane, quality = mask
            found.append(Masked(one.record, one.image, one.sha256, plane.astype(np.float32) / 255, quality))
            new.append(_Made(one.record, one.sha256, plane, quality))
        return found, new

    def _segment(self, waiting: Sequence["_Read"]) -> list[tuple[np.ndarray, float] | str]:
        """(8-bit mask, rounded quality) of each image, or the reason why there is none."""
        if not waiting:
            return []
        try:
            alphas, qualities = self.segmenter.segment([one.record for one in waiting], [one.image for one in waiting])
        except ImageError as error:
            if len(waiting) == 1:
                return [str(error)]
            return [result for one in waiting for result in self._segment([one])]
        return [
            (np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8), round(float(quality), 4))
            for alpha, quality in zip(alphas, qualities, strict=True)
        ]

    def _path(self, record: Record, sha: str) -> Path | None:
        if self.folder is None:
            return None
        return self.folder.with_name(self.folder.name + record.matte_mark) / sha[:2] / f"{sha}.png"

    def _load(self, record: Record, sha: str, size: tuple[int, int]) -> tuple[np.ndarray, float] | None:
        """A kept mask with its quality; None when it is not there or damaged (it is made again then)."""
        path = self._path(record, sha)
        data = None if path is None else kept(path, "mask")
        if data is None:
            return None
        with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
            plane, quality = np.asarray(file), float(file.info[QUALITY_KEY])
        return (plane.astype(np.float32) / 255, quality) if plane.shape == size else None

    def _store(self, made: Sequence["_Made"]) -> None:
        for one in made:
            path = self._path(one.record, one.sha256)
            if path is None:
                return
            note, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
            note.add_text(QUALITY_KEY, repr(one.quality))
            Image.fromarray(one.plane).save(buffer, "PNG", pnginfo=note)
            make_folder(path.parent)
            keep(path, buffer.getvalue())


class _Read(NamedTuple):
    """An image whose mask is not kept yet."""

    record: Record
    image: np.ndarray
    sha256: str


class _Made(NamedTuple):
    """A new mask as it is kept: the record, the image's hash, (H, W) uint8, quality."""

    record: Record
    sha256: str
    plane: np.ndarray
    quality: float
