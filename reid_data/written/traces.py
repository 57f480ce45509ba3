"""What was kept or written beside the sets of some pictures: in the cache, as contact sheets, as masks of a folder."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reid_data.errors import EnvironmentFault
from reid_data.files import cache_folder, printable, remove_tree, sha256_file, sweep_temporary, write_atomic
from reid_data.manifest import MASK_TABLE
from reid_data.written.lineage import Names

KEYED_BY_SET = ("features", "stats")
"""Kept by the content of a whole set: whose pictures are in them cannot be told, so all of them go."""
KEYED_BY_PICTURE = ("masks", "plates")


def kept_files(hashes: set[str]) -> list[Path]:
    """Masks and plates in the cache that were made from pictures with these hashes, by any segmenter, and the plates' masks."""
    plates = [path for sha in sorted(hashes) for path in _by_hash("plates", sha)]
    every = hashes | {sha256_file(path) for path in plates}
    return plates + [path for sha in sorted(every) for path in _by_hash("masks", sha)]


def _by_hash(kind: str, sha: str) -> list[Path]:
    return sorted(cache_folder(kind).glob(f"*/{sha[:2]}/{sha}*"))


def clear_cache(hashes: set[str]) -> int:
    """Remove from the cache what came from these pictures (the masks and plates themselves: `kept_files`), what names them, what may
    have come from them, and what killed processes left half-written; the number of kept features and statistics removed."""
    for path in cache_folder("digests").glob("*.json"):
        data = path.read_bytes()
        if any(sha.encode() in data for sha in hashes):
            path.unlink(missing_ok=True)
    for kind in (*KEYED_BY_PICTURE, *KEYED_BY_SET, "digests"):
        sweep_temporary(cache_folder(kind))
    found = kept_by_set()
    for path in found:
        remove_tree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return len(found)


def kept_by_set() -> list[Path]:
    """Kept features and statistics."""
    return [path for kind in KEYED_BY_SET for path in sorted(cache_folder(kind).iterdir())]


def sheets_of(root: Path) -> list[Path]:
    """Contact sheets beside a set; the person may be on them."""
    return sorted(root.parent.glob(f"{root.name}-preview*.jpg"))


@dataclass(frozen=True)
class Table:
    """A folder of masks or cut-outs, as `reid-data segment` writes it: the lines that stay, files of those that go."""

    root: Path
    left: tuple[bytes, ...]
    files: tuple[str, ...]
    rows: int


def tables_in(places: Iterable[Path], hashes: set[str], names: Names) -> Iterator[Table]:
    """The folders of masks in `places`, or in a set there, in which there are masks of these pictures.

    They are known by the picture's hash, where the table does not tell it (older ones, unreadable pictures) by its name.
    """
    called = {name for theirs in names.values() for name in theirs}
    for path in sorted({path.resolve() for place in places for path in _tables(place)}):
        lines = path.read_bytes().splitlines(keepends=True)
        left: list[bytes] = []
        files: list[str] = []
        for line in lines:
            row = {}
            with suppress(ValueError):
                row = json.loads(line)
            if isinstance(row, dict) and _tells_of(row, hashes, called):
                files.append(str(row.get("file", "")))
            else:
                left.append(line)
        if files:
            yield Table(path.parent, tuple(left), tuple(filter(None, files)), len(files))


def _tables(place: Path) -> list[Path]:
    return [*place.glob(f"*/{MASK_TABLE}"), *place.glob(f"*/*/{MASK_TABLE}")]


def _tells_of(row: dict[str, object], hashes: set[str], called: set[str]) -> bool:
    return row["sha256"] in hashes if "sha256" in row else row.get("name") in called


def shorten_table(table: Table) -> None:
    """Remove the files, then their rows."""
    home = os.path.realpath(table.root)
    paths = [os.path.realpath(table.root / name) for name in table.files]
    remove_all(Path(path) for path in paths if path.startswith(home + os.sep))
    write_atomic(table.root / MASK_TABLE, b"".join(table.left))


def remove_all(paths: Iterable[Path]) -> None:
    """Remove these files, as far as they are there."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot remove '{printable(path)}': {error.strerror}. Mend the rights, then repeat the command."
            ) from error
