"""Is a set that we wrote still what its manifest says?"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reid_data.datasets.card import CARD_FILE, read_document
from reid_data.errors import InputError
from reid_data.files import AnyPath, printable, settings_digest, sha256_file
from reid_data.manifest import MANIFEST_FILE, Manifest, Row, read_manifest
from reid_data.parallel import ordered_map
from reid_data.written.output import README_FILE

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Verification:
    """Files that agree with the manifest, and the names of those that are missing, changed, or not in it; `notes` on the
    set as a whole."""

    intact: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.changed or self.extra or self.notes)


def require_manifest(root: Path) -> Manifest:
    """The manifest of a set that we wrote. Raises InputError if there is none, or if it is damaged or names files outside."""
    manifest = read_manifest(root)
    if manifest is None:
        raise InputError(
            f"'{printable(root)}' has no {MANIFEST_FILE}: it was not made by 'reid-data composite', 'backgrounds' or 'subset'."
        )
    return manifest


def verify_set(root: AnyPath, workers: int = 1, progress: Progress | None = None) -> Verification:
    """Hash every file of the set below `root` and compare with its manifest. Raises InputError if it has none."""
    root = Path(root)
    manifest = require_manifest(root)
    expected = {row["name"]: row["sha256"] for row in manifest.of_kind("image") if row.get("sha256")}
    paths = [os.path.join(root, name) for name in expected]
    missing, changed = [], []
    for done, (name, found) in enumerate(zip(expected, ordered_map(_hash, paths, workers, chunk=64), strict=True), 1):
        if found is None:
            missing.append(name)
        elif found != expected[name]:
            changed.append(name)
        if progress is not None:
            progress(done, len(expected))
    extra = sorted(_files_below(root) - expected.keys(), key=os.fsencode)
    intact = len(expected) - len(missing) - len(changed)
    return Verification(intact, tuple(missing), tuple(changed), tuple(extra), tuple(_notes(root, manifest.header)))


def _hash(path: str) -> str | None:
    """sha256 of a file; None if it is not there, nothing known if it cannot be read."""
    try:
        return sha256_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _files_below(root: Path) -> set[str]:
    """Names of all files below `root` but those that describe the set."""
    own = {MANIFEST_FILE, CARD_FILE, README_FILE}
    found = set()
    for parent, _, names in os.walk(root):
        place = os.path.relpath(parent, root)
        for name in names:
            path = name if place == "." else f"{place}/{name}".replace(os.sep, "/")
            if path not in own:
                found.add(path)
    return found


def _notes(root: Path, header: Row) -> list[str]:
    document = read_document(root)
    if document is None:
        return [f"it is not finished (no {CARD_FILE}): the command that began it goes on with it"]
    if document.get("settings_digest") != settings_digest(header["settings"]):
        return [f"the settings in {CARD_FILE} are not those of {MANIFEST_FILE}"]
    return []
