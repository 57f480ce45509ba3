"""Masks that lie on disk already: a synthetic set's own, or another tool's."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from reid_data.errors import ImageError, InputError
from reid_data.files import printable
from reid_data.formats import SUFFIXES
from reid_data.images import read_bytes, read_mask
from reid_data.masks import judge
from reid_data.records import SPLIT_FOLDERS, Record
from reid_data.segment.base import PlainSegmenter

MASK_FOLDER = "masks"


@dataclass(frozen=True)
class PrecomputedSegmenter(PlainSegmenter):
    """Reads `<mask root>/<the image's name with .png>`, else `<mask root>/<split folder>/<stem>.png`.

    `roots` maps a set's folder to its mask root; a set that is not in it has its masks in its own `masks/`. A picture
    without a mask cannot be used; one without a person has a mask that is 0 everywhere.
    """

    roots: dict[str, str] = field(default_factory=dict)

    name = "precomputed"
    cached = False
    max_workers = None
    batch = 16

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`; here of the mask files' content. Raises InputError when `records` have no masks at all."""
        total = hashlib.sha256(b"precomputed 1\n")
        found = 0
        for record in records:
            path = self._find(record)
            if path is not None:
                found += 1
                total.update(os.fsencode(record.name) + b"\0" + hashlib.sha256(read_bytes(path)).digest())
        if records and not found:
            raise InputError(
                f"no masks for '{printable(records[0].root)}': expected files like '{printable(self._places(records[0])[0])}'. "
                "Make them there, or choose another --segmenter."
            )
        return total.hexdigest()

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`."""
        alphas = [self._one(record, image) for record, image in zip(records, images, strict=True)]
        return alphas, [judge(alpha).quality for alpha in alphas]

    def _one(self, record: Record, image: np.ndarray) -> np.ndarray:
        path = self._find(record)
        if path is None:
            raise ImageError(self._missing(record))
        name = _shown(path, record)
        try:
            alpha = read_mask(path)
        except ImageError as error:
            raise ImageError(f"its mask '{name}' {error}") from error
        if alpha.shape != image.shape[:2]:
            got, expected = "x".join(map(str, alpha.shape)), "x".join(map(str, image.shape[:2]))
            raise ImageError(f"its mask '{name}' is {got}, the image {expected} (height x width)")
        return alpha

    def _missing(self, record: Record) -> str:
        """Where the mask was expected, and the file of another kind that lies there, if one does."""
        places = self._places(record)
        others = (f"{os.path.splitext(place)[0]}{suffix}" for place in places for suffix in SUFFIXES)
        other = next((path for path in others if os.path.lexists(path)), None)
        found = "" if other is None else f"; '{_shown(other, record)}' is there, but a mask is an 8-bit PNG"
        return f"has no mask: expected '{_shown(places[0], record)}'{found}"

    def _places(self, record: Record) -> list[str]:
        root = Path(self.roots.get(record.root) or os.path.join(record.root, MASK_FOLDER))
        beside = root / PurePosixPath(record.name).with_suffix(".png")
        return [str(beside), str(root / SPLIT_FOLDERS[record.split] / f"{record.stem}.png")]

    def _find(self, record: Record) -> str | None:
        return next((path for path in self._places(record) if os.path.lexists(path)), None)


def _shown(path: str, record: Record) -> str:
    """A mask's path for a reason: from the set's folder, where it lies in it, so that tables do not depend on the place."""
    inside = os.path.commonpath([os.path.abspath(path), os.path.abspath(record.root)]) == os.path.abspath(record.root)
    return printable(os.path.relpath(path, record.root) if inside else path)
