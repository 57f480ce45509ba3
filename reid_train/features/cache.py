"""Features kept by what they are a function of, in parts, so that a stopped extraction goes on and a second one is free.

A folder `features/<key>` below the cache holds one file per part of PART images. The oldest folders go when all of them
together pass LIMIT bytes; none that was used within the last hour, as another process or machine may be at it.
"""

import io
import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reid_data.files import cache_folder, make_folder, settings_digest
from reid_data.seals import keep, kept

PART = 4096
LIMIT = 8_000_000_000
IN_USE_SECONDS = 3600


class Part(NamedTuple):
    """Features (n, D) float32 of the readable images of a part; the places and reasons of the others."""

    feats: np.ndarray
    bad: list[int]
    reasons: list[str]


class FeatureCache:
    """The parts of one extraction. `key`: everything that the features depend on, as something JSON-able."""

    def __init__(self, key: Any) -> None:
        self.folder = cache_folder("features") / settings_digest(key)[:40]
        self._mark_used()

    def read(self, number: int, width: int) -> Part | None:
        """Part `number` with features of this width; None if it is absent or damaged."""
        data = kept(self._path(number), "part of features")
        if data is None:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            part = Part(file["feats"], file["bad"].tolist(), file["reasons"].tolist())
        return part if part.feats.shape[1:] == (width,) and part.feats.dtype == np.float32 else None

    def write(self, number: int, part: Part) -> None:
        """Keep a part."""
        make_folder(self.folder)
        file = io.BytesIO()
        np.savez(file, feats=part.feats, bad=np.array(part.bad, np.int64), reasons=np.array(part.reasons, np.str_))
        keep(self._path(number), file.getvalue())

    def has(self, number: int) -> bool:
        """Whether there is a file of this part."""
        return self._path(number).is_file()

    def finish(self) -> None:
        """Mark this folder as used now, and remove the least recently used ones above the limit."""
        if self._mark_used():
            prune(self.folder.parent, LIMIT, keep=self.folder)

    def _mark_used(self) -> bool:
        """Whether the folder is there; if so, used now."""
        try:
            os.utime(self.folder)
        except FileNotFoundError:
            return False
        return True

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.npz"


def prune(place: Path, limit: int, *, keep: Path) -> None:
    """Remove the least recently used folders of `place` until all together have at most `limit` bytes; never `keep`, nor what was
    used within the last hour."""
    found = sorted(
        (folder for folder in place.iterdir() if folder.is_dir()), key=lambda folder: folder.stat().st_mtime_ns
    )
    sizes = {folder: sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) for folder in found}
    total = sum(sizes.values())
    for folder in found:
        if total <= limit or time.time() - folder.stat().st_mtime < IN_USE_SECONDS:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]
