"""Seals: what is kept to be read again carries the sha256 of its content, which is looked at when it is read.

A file ends in one line of JSON, {"event": "seal", "sha256": HASH}, over all bytes before it: readers of PNG and of zip archives
(`.npz`, `state.pt`) stop at the end of their own format. A document of JSON that people read holds the hash of the rest of it
under "sha256" instead. Models of safetensors carry theirs in the header (see `reid_train.runs.checkpoint`).
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid_data.files import AnyPath, printable, settings_digest, sha256_bytes, write_atomic

KEY = "sha256"
_BEGIN, _END = b'{"event": "seal", "sha256": "', b'"}\n'
LENGTH = len(_BEGIN) + 64 + len(_END)
CHANGED = "it is not as it was written: its checksum differs"
NO_SEAL = "it was cut short, or is of an earlier version: it has no checksum"
MOST_SAID = 3
PIECE = 1 << 20
SYNC = "REID_CACHE_SYNC"
"""Set to 1 to force every file of a cache to the disk before it gets its name. Without, a power cut may leave it empty, which
its seal tells, so that it is made again."""

_said: Counter[str] = Counter()


def sealed(data: bytes) -> bytes:
    """`data` with its seal behind it."""
    return data + _seal(sha256_bytes(data))


def unsealed(data: bytes) -> tuple[bytes, bool]:
    """The content of `data` without its seal, and whether there was one. Raises ValueError if it is not what was sealed."""
    content, last = data[:-LENGTH], data[-LENGTH:]
    if not _is_seal(last):
        return data, False
    if _seal(sha256_bytes(content)) != last:
        raise ValueError(CHANGED)
    return content, True


def seal_file(path: Path) -> None:
    """Put the seal behind what is in a file, and force all of it to the disk."""
    with open(path, "r+b") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(_seal(sha256))
        file.flush()
        os.fsync(file.fileno())


def require_intact(path: Path) -> None:
    """Raise ValueError if a file has a seal and is not what was sealed. Read in pieces; OSError if it cannot be read."""
    size, total = os.path.getsize(path), hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(max(0, size - LENGTH))
        last = file.read(LENGTH)
        if not _is_seal(last):
            return
        file.seek(0)
        for start in range(0, size - LENGTH, PIECE):
            total.update(file.read(min(PIECE, size - LENGTH - start)))
    if _seal(total.hexdigest()) != last:
        raise ValueError(CHANGED)


def keep(path: AnyPath, data: bytes) -> None:
    """Write a file of a cache, sealed."""
    write_atomic(path, sealed(data), sync=os.environ.get(SYNC) == "1")


def kept(path: AnyPath, kind: str) -> bytes | None:
    """What `keep` wrote; None if it is not there, or, after saying so, if it is damaged: the caller makes it again.

    `kind` names what is kept, such as "mask".
    """
    try:
        with open(path, "rb") as file:
            content, whole = unsealed(file.read())
        reason = NO_SEAL
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        whole, reason = False, str(error)
    if whole:
        return content
    say_damaged(path, kind, reason)
    return None


def say_damaged(path: AnyPath, kind: str, reason: object) -> None:
    """Warn that a file of a cache is damaged and made again; after MOST_SAID of a kind no more."""
    _said[kind] += 1
    if _said[kind] <= MOST_SAID:
        more = " Others like it are made again without a word." if _said[kind] == MOST_SAID else ""
        logging.getLogger("reid_data").warning(
            "a kept %s is damaged and made again: '%s': %s.%s", kind, printable(path), reason, more
        )


def with_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A table that can be written as JSON, with its seal."""
    rest = {name: value for name, value in document.items() if name != KEY}
    return {**rest, KEY: settings_digest(rest)}


def without_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document without its seal. Raises ValueError if it has one and is not as it was written."""
    rest = {name: value for name, value in document.items() if name != KEY}
    if KEY in document and document[KEY] != settings_digest(rest):
        raise ValueError(f'{CHANGED}. If it was edited on purpose, take "{KEY}" out of it, too')
    return rest


def _seal(sha256: str) -> bytes:
    return _BEGIN + sha256.encode("ascii") + _END


def _is_seal(last: bytes) -> bool:
    return len(last) == LENGTH and last.startswith(_BEGIN) and last.endswith(_END)
