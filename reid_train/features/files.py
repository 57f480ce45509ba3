"""Feature files: from any model to our evaluator, and back. Nothing in them is ever unpickled.

Two forms with the same keys: FILE.npz without object arrays, or FILE.safetensors with the paths in FILE.json beside it.

    query_feats (Q, K) float      query_pids (Q,) int      query_camids (Q,) int      query_paths (Q,) text, optional
    gallery_feats (G, K)          gallery_pids             gallery_camids             gallery_paths

From a .safetensors file the gallery can be read by tiles, so that it may be larger than the memory.
"""

import io
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.errors import InputError, ReidError, UsageError
from reid_data.files import printable, replacing, write_atomic, write_json
from reid_data.shapes import parse_json, require
from reid_data.tensors import StoredRows, read_header

SIDES = ("query", "gallery")
NUMBERS = tuple(f"{side}_{kind}" for side in SIDES for kind in ("feats", "pids", "camids"))
TEXTS = tuple(f"{side}_paths" for side in SIDES)
AGAIN = "Write it again."
MAX_EXPANSION, SMALL = 100, 100_000_000
"""A compressed file may hold this many times its size, and these bytes in any case."""


@dataclass(frozen=True)
class FeatureFile:
    """What a feature file holds; `gallery_feats` may be a `StoredRows`. Paths are empty where the file has none."""

    query_feats: Any
    query_pids: np.ndarray
    query_camids: np.ndarray
    gallery_feats: Any
    gallery_pids: np.ndarray
    gallery_camids: np.ndarray
    query_paths: tuple[str, ...] = ()
    gallery_paths: tuple[str, ...] = ()

    def arrays(self) -> tuple[Any, ...]:
        """The six arguments of `protocol.evaluate`, in its order."""
        return (
            self.query_feats,
            self.query_pids,
            self.query_camids,
            self.gallery_feats,
            self.gallery_pids,
            self.gallery_camids,
        )


def read_features(path: str | os.PathLike[str], *, stream: bool = True) -> FeatureFile:
    """Read a feature file. With `stream` the gallery of a .safetensors file stays on the disk (`StoredRows`).

    Raises InputError for a file that is missing, damaged, pickled or lacks a key, UsageError for another ending.
    """
    where = Path(path)
    if where.suffix not in (".npz", ".safetensors"):
        raise UsageError(f"'{printable(where)}': a feature file ends in .npz or .safetensors.")
    if not where.is_file():
        raise InputError(
            f"there is no feature file '{printable(where)}'. Write one with 'reid-train extract', or see docs/evaluation.md."
        )
    values = read_npz(where) if where.suffix == ".npz" else _read_safetensors(where)
    missing = [key for key in NUMBERS if key not in values]
    if missing:
        raise InputError(
            f"'{printable(where)}' lacks {', '.join(missing)}; it holds {', '.join(sorted(values)) or 'nothing'}. "
            f"Expected {', '.join(NUMBERS)} and, if you like, {', '.join(TEXTS)}."
        )
    flat = [key for key in (*NUMBERS, *TEXTS) if key in values and not getattr(values[key], "shape", (1,))]
    if flat:
        raise InputError(f"'{printable(where)}': {', '.join(flat)} is a single value; expected one for each image.")
    numbers: dict[str, Any] = {key: values[key] for key in NUMBERS}
    for key, value in numbers.items():
        if isinstance(value, StoredRows) and not (stream and key == "gallery_feats"):
            numbers[key] = value[:]
    texts: dict[str, Any] = {key: tuple(map(str, values[key])) for key in TEXTS if key in values}
    for side in SIDES:
        paths, rows = texts.get(f"{side}_paths", ()), numbers[f"{side}_feats"].shape[0]
        if paths and len(paths) != rows:
            raise InputError(
                f"'{printable(where)}': {rows} {side} features but {len(paths)} {side}_paths; expected one for each."
            )
    return FeatureFile(**numbers, **texts)


def write_features(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Write a feature file from its keys (see the module's text), whole or not at all. Features become float32."""
    where = Path(path)
    unknown = sorted(set(values) - {*NUMBERS, *TEXTS})
    missing = [key for key in NUMBERS if key not in values]
    if unknown or missing or where.suffix not in (".npz", ".safetensors"):
        raise UsageError(
            f"cannot write '{printable(where)}': unknown keys: {', '.join(unknown) or 'none'}; "
            f"missing: {', '.join(missing) or 'none'}; the ending must be .npz or .safetensors."
        )
    numbers = {
        key: np.ascontiguousarray(values[key], np.float32 if key.endswith("feats") else np.int64) for key in NUMBERS
    }
    texts = {key: [str(path) for path in values[key]] for key in TEXTS if key in values}
    if where.suffix == ".npz":
        write_npz(where, {**numbers, **{key: np.array(paths, dtype=np.str_) for key, paths in texts.items()}})
        return
    from safetensors.numpy import save_file

    write_json(where.with_suffix(".json"), texts)
    with replacing(where) as temporary:
        save_file(numbers, temporary)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as .npz, whole or not at all; the same arrays give the same bytes. No object arrays."""
    assert all(array.dtype != object for array in arrays.values())
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; InputError if it is damaged or holds pickled objects, which are never loaded."""
    try:
        _refuse_false_claims(path)
        archive = np.load(path, allow_pickle=False, mmap_mode="r")  # a single array stays on the disk
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(
                f"'{printable(path)}' holds a single array; expected an .npz archive of named arrays (np.savez)."
            )
        with archive:
            return {key: archive[key] for key in archive.files}
    except ReidError:
        raise
    except Exception as error:  # zipfile and numpy raise many kinds on hostile bytes
        if "pickle" in str(error).lower():
            raise InputError(
                f"'{printable(path)}' holds pickled Python objects, which could run code when loaded and are refused. "
                "Save plain arrays: np.savez(FILE, query_feats=..., ...) with numbers and text, no lists of objects."
            ) from error
        raise InputError(f"'{printable(path)}' is not a readable .npz archive: {error}. Write it again.") from error


def _refuse_false_claims(path: Path) -> None:
    """Raise ValueError where an entry is no array, or says that it holds other than what lies in it, or so much more than the
    file that nobody can have meant it: nothing is made room for that is not there."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        claimed, limit = sum(entry.file_size for entry in entries), MAX_EXPANSION * os.path.getsize(path) + SMALL
        if claimed > limit:
            raise ValueError(
                f"its arrays are said to take {claimed / 1e6:,.0f} MB, at most {limit / 1e6:,.0f} are read"
            )
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                if version not in _READ_SHAPE:
                    raise ValueError(f"'{printable(entry.filename)}' is of an unknown version")
                shape, _, kind = _READ_SHAPE[version](file)
                if not kind.hasobject and math.prod(shape) * kind.itemsize != entry.file_size - file.tell():
                    raise ValueError(f"'{printable(entry.filename)}' does not hold what it says ({kind}, {shape})")


_READ_SHAPE = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _read_safetensors(path: Path) -> dict[str, Any]:
    """The arrays of a .safetensors file, two-dimensional ones unread, and the texts of the .json beside it."""
    values: dict[str, Any] = {}
    for key, stored in read_header(path, remedy=AGAIN).tensors.items():
        if key in NUMBERS:
            rows = StoredRows(path, stored, remedy=AGAIN)
            values[key] = rows if len(stored.shape) == 2 else rows[:].reshape(stored.shape)
    beside = path.with_suffix(".json")
    if beside.is_file():
        try:
            texts = parse_json(beside.read_bytes())
            require(texts, {f"{key}?": [str] for key in TEXTS})
            values.update({key: texts[key] for key in TEXTS if key in texts})
        except (OSError, ValueError) as error:
            raise InputError(
                f"'{printable(beside)}' is not readable as JSON: {error}. Write it again or remove it."
            ) from error
    return values
