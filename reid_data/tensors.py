"""Safetensors files, read in one place: the header, all tensors, or a matrix row by row from the disk.

The header is 8 bytes of length (little-endian) and JSON: name -> type, shape, place; the data follow (huggingface/safetensors).
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.shapes import parse_json, require

if TYPE_CHECKING:
    from torch import Tensor

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "u1"}
"""The types that `StoredRows` reads, as numpy names what lies on the disk; `read_tensors` reads all that torch has."""

_MAX_HEADER = 100_000_000
_MAX_BYTES = 1 << 48


@dataclass(frozen=True)
class Stored:
    """One tensor in a file: its type's name in the format, its shape, and the byte at which it begins."""

    kind: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    metadata: dict[str, str]
    tensors: dict[str, Stored]


def read_header(path: Path, *, called: str = "", remedy: str = "") -> Header:
    """Metadata and tensors' places, checked against the file's size; no tensor is read.

    `called` names the file in messages ('' = its quoted path), `remedy` is the sentence that ends them. Raises InputError
    for a file that is missing, damaged or something else.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_MAX_HEADER, size - 8):
                raise ValueError("its beginning is not that of such a file, or its end is missing")
            entries = parse_json(file.read(length))
        require(entries, {"__metadata__?": {...: str}, ...: dict}, "its header")
        metadata = entries.pop("__metadata__", {})
        return Header(metadata, {name: _stored(name, entry, 8 + length, size) for name, entry in entries.items()})
    except FileNotFoundError as error:
        raise InputError(_sentences(f"there is no file {_name(path, called)}.", remedy)) from error
    except OSError as error:
        raise unreadable(path, error.strerror or str(error), called=called, remedy=remedy) from error
    except KeyError as error:
        raise unreadable(path, f"an entry of its header has no {error}", called=called, remedy=remedy) from error
    except (ValueError, TypeError) as error:
        raise unreadable(path, error, called=called, remedy=remedy) from error


def _stored(name: str, entry: Any, start: int, size: int) -> Stored:
    """The place of a tensor whose bytes lie in a file of `size` bytes after a header that ends at `start`."""
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    whole = all(type(number) is int and 0 <= number < _MAX_BYTES for number in (*shape, begin, end))
    whole = whole and math.prod(max(1, number) for number in shape) < _MAX_BYTES
    num_bytes = math.prod(shape) * np.dtype(TYPES[kind]).itemsize if whole and kind in TYPES else None
    if not whole or start + end > size or begin > end or num_bytes not in (None, end - begin):
        raise ValueError(f"'{name}' ({kind}, {shape}) does not fit into the file")
    return Stored(kind, tuple(shape), start + begin)


def read_tensors(path: Path, *, called: str = "", remedy: str = "") -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """All tensors as they are stored, on the processor, and the metadata; see `read_header` for `called`, `remedy`, errors."""
    from safetensors import SafetensorError, safe_open

    metadata = read_header(path, called=called, remedy=remedy).metadata
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise unreadable(path, error, called=called, remedy=remedy) from error


class StoredRows:
    """A matrix in a file (other shapes: as rows of what one index holds), read when indexed by a slice or an integer array.

    `shape` and `dtype` are those of what comes out; bfloat16 comes out as float32. Only what is asked for is in memory.
    Raises InputError for a single number and for types that are not in `TYPES`.
    """

    def __init__(self, path: Path, stored: Stored, *, remedy: str = "") -> None:
        if stored.kind not in TYPES or not stored.shape:
            reason = f"arrays of {', '.join(TYPES)} can be read, not {stored.kind} of the shape {list(stored.shape)}"
            raise unreadable(path, reason, remedy=remedy)
        self.path, self.offset, self.remedy = path, stored.offset, remedy
        self.shape = (stored.shape[0], math.prod(stored.shape[1:]))
        self.stored = np.dtype(TYPES[stored.kind])
        self.widen = stored.kind == "BF16"
        self.dtype = np.dtype(np.float32) if self.widen else self.stored

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self._read(start, max(stop, start))[::step]
        rising, back = np.unique(index, return_inverse=True)
        cuts = np.flatnonzero(np.diff(rising) > 1) + 1
        runs = [self._read(int(run[0]), int(run[-1]) + 1) for run in np.split(rising, cuts) if len(run)]
        return np.concatenate(runs)[back] if runs else np.empty((0, self.shape[1]), self.dtype)

    def _read(self, start: int, stop: int) -> np.ndarray:
        width = self.shape[1]
        with open(self.path, "rb") as file:
            file.seek(self.offset + start * width * self.stored.itemsize)
            flat = np.fromfile(file, self.stored, (stop - start) * width)
        if len(flat) != (stop - start) * width:
            reason = f"{_name(self.path)} ends before row {stop}: it has become shorter."
            raise InputError(_sentences(reason, self.remedy))
        if self.widen:
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(stop - start, width)


def unreadable(path: Path, reason: object, *, called: str = "", remedy: str = "") -> InputError:
    """The error for a file that is no safetensors file, or holds what cannot be read."""
    return InputError(_sentences(f"{_name(path, called)} is not a readable safetensors file: {reason}.", remedy))


def _name(path: Path, called: str = "") -> str:
    return called or f"'{printable(path)}'"


def _sentences(*texts: str) -> str:
    return " ".join(text for text in texts if text)
