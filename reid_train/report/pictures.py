"""Pictures for the page: ranked lists of query and gallery images."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reid_data.datasets import find_dataset
from reid_data.errors import ImageError, ReidError
from reid_data.files import settings_digest
from reid_data.images import encode_jpeg, read_image, resize
from reid_data.records import WHITE
from reid_train.report.evidence import Evidence
from reid_train.report.reliance import split_diagnostic

THUMB, THUMB_QUALITY = (96, 48), 72
SHEETS_FOLDER, SHEET_QUALITY = "sheets", 80
_MARKS = {"right": "+", "wrong": "×", "ignored": "○"}


@dataclass(frozen=True)
class Thumb:
    """One picture of a list: JPEG as a data URI (None: left out or unreadable), what it is, its mark and score."""

    data: str | None
    name: str
    pid: int
    camid: int
    verdict: str
    mark: str
    score: float | None


@dataclass(frozen=True)
class ShownList:
    """A query with what was found for it; `kind` is best, median or worst."""

    kind: str
    ap: float
    query: Thumb
    entries: tuple[Thumb, ...]


@dataclass(frozen=True)
class ShownSquare:
    """The lists of one square of the matrix, of its first seed that has them; `changed` for a diagnostic of a set."""

    row: str
    test: str
    seed: int
    metric: str
    changed: bool
    lists: tuple[ShownList, ...]


def data_uri(image: np.ndarray, quality: int) -> str:
    """(H, W, 3) uint8 RGB as a JPEG in a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, quality)).decode("ascii")


def sheet_path(folder: Path, document: Mapping[str, Any], name: str, sets: Sequence[str]) -> Path:
    """Where a contact sheet lies below the matrix's folder: by name and by the content of the sets that it shows.

    A name cannot lead out of the folder.
    """
    plain = re.sub(r"[^A-Za-z0-9+@=_-]+", "_", name)[:80]
    content = settings_digest([document["digests"].get(one) for one in sets])
    return folder / SHEETS_FOLDER / f"{plain}-{content[:8]}.jpg"


def read_sheet(path: Path) -> tuple[str | None, str]:
    """A contact sheet as a data URI; or None, and why."""
    try:
        return data_uri(read_image(str(path)), SHEET_QUALITY), ""
    except ImageError as error:
        return None, f"No contact sheet: {SHEETS_FOLDER}/{path.name} {error}."


def shown_squares(evidence: Evidence, data_root: Path | None, *, thumbs: bool) -> list[ShownSquare]:
    """The ranked lists of every square, with pictures if `thumbs` and the sets' images are below `data_root`.

    The more squares, the fewer lists of each kind: 3 for up to 6 squares, 2 for up to 12, else 1.
    """
    places = {}
    for row in evidence.rows:
        for test in evidence.columns:
            seed = next((seed for seed in evidence.seeds(row) if (row, seed, test) in evidence.showcases), None)
            if seed is not None:
                places[row, test] = seed
    per_kind = 3 if len(places) <= 6 else 2 if len(places) <= 12 else 1
    cache: dict[tuple[Path, str], str | None] = {}
    squares = []
    for (row, test), seed in places.items():
        split = split_diagnostic(test)
        root = image_folder(split[0] if split else test, data_root) if thumbs else None
        document = evidence.showcases[row, seed, test]
        lists = [
            _shown_list(entry, root, cache)
            for kind in ("best", "median", "worst")
            for entry in [one for one in document["lists"] if one["kind"] == kind][:per_kind]
        ]
        squares.append(ShownSquare(row, test, seed, document["metric"], split is not None, tuple(lists)))
    return squares


def image_folder(name: str, data_root: Path | None) -> Path | None:
    """The folder that a set's image names start from; None if the set is not there."""
    if data_root is None:
        return None
    try:
        root = find_dataset(name, data_root)
    except ReidError:
        return None
    return root if root.is_dir() else root.parent


def _shown_list(entry: Mapping[str, Any], root: Path | None, cache: dict[tuple[Path, str], str | None]) -> ShownList:
    query = _thumb(entry["query"], entry["pid"], entry["camid"], "query", None, root, cache)
    found = (
        _thumb(one["image"], one["pid"], one["camid"], one["verdict"], one["score"], root, cache)
        for one in entry["entries"]
    )
    return ShownList(entry["kind"], entry["ap"], query, tuple(found))


def _thumb(
    name: str, pid: int, camid: int, verdict: str, score: float | None, root: Path | None,
    cache: dict[tuple[Path, str], str | None],
) -> Thumb:  # fmt: skip
    data = None
    if root is not None:
        if (root, name) not in cache:
            cache[root, name] = _read_thumb(root, name)
        data = cache[root, name]
    known = verdict if verdict in (*_MARKS, "query") else "wrong"
    return Thumb(data, name, pid, camid, known, _MARKS.get(known, ""), score)


def _read_thumb(root: Path, name: str) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        return None
    try:
        return data_uri(resize(read_image(str(root / name), str(root), WHITE), THUMB), THUMB_QUALITY)
    except (ImageError, OSError):
        return None
