"""Masks kept by what they depend on, so that nothing is segmented twice."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from reid_data.errors import ImageError
from reid_data.files import cache_folder, make_folder, sha256_bytes, write_atomic
from reid_data.images import decode_image, read_bytes
from reid_data.masks import Verdict, judge
from reid_data.records import Record
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
        results: list[Masked | Unusable | None] = [None] * len(records)
        waiting: list[tuple[int, np.ndarray, str]] = []
        for index, record in enumerate(records):
            try:
                data = read_bytes(record.path, record.root)
                image, sha = decode_image(data), sha256_bytes(data)
            except ImageError as error:
                results[index] = Unusable(record, str(error))
                continue
            kept = self._load(sha, image.shape[:2])
            if kept is None:
                waiting.append((index, image, sha))
            else:
                results[index] = Masked(record, image, sha, *kept)
        for (index, image, sha), made in zip(waiting, self._segment(records, waiting), strict=True):
            record = records[index]
            if isinstance(made, str):
                results[index] = Unusable(record, made)
                continue
            self._store(sha, *made)
            results[index] = Masked(record, image, sha, made[0].astype(np.float32) / 255, made[1])
        return [result for result in results if result is not None]

    def _segment(
        self, records: Sequence[Record], waiting: list[tuple[int, np.ndarray, str]]
    ) -> list[tuple[np.ndarray, float] | str]:
        """(8-bit mask, rounded quality) of each waiting image, or the reason why there is none."""
        if not waiting:
            return []
        chosen, images = [records[index] for index, _, _ in waiting], [image for _, image, _ in waiting]
        try:
            alphas, qualities = self.segmenter.segment(chosen, images)
        except ImageError as error:
            if len(waiting) == 1:
                return [str(error)]
            return [result for one in waiting for result in self._segment(records, [one])]
        return [
            (np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8), round(float(quality), 4))
            for alpha, quality in zip(alphas, qualities, strict=True)
        ]

    def _path(self, sha: str) -> Path | None:
        return None if self.folder is None else self.folder / sha[:2] / f"{sha}.png"

    def _load(self, sha: str, size: tuple[int, int]) -> tuple[np.ndarray, float] | None:
        """A kept mask with its quality; None when it is not there or damaged (it is made again then)."""
        path = self._path(sha)
        if path is None or not os.path.exists(path):
            return None
        try:
            with Image.open(path, formats=["PNG"]) as file:
                plane, quality = np.asarray(file), float(file.info[QUALITY_KEY])
        except (OSError, SyntaxError, KeyError, ValueError):
            return None
        return (plane.astype(np.float32) / 255, quality) if plane.shape == size else None

    def _store(self, sha: str, plane: np.ndarray, quality: float) -> None:
        path = self._path(sha)
        if path is None:
            return
        note, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
        note.add_text(QUALITY_KEY, repr(quality))
        Image.fromarray(plane).save(buffer, "PNG", pnginfo=note)
        make_folder(path.parent)
        write_atomic(path, buffer.getvalue())
