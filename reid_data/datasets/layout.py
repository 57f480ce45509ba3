"""How an unknown folder is laid out: which of the layouts in use it has, why we think so, and when to doubt it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reid_data.datasets.card import CARD_FILE
from reid_data.datasets.folder import read_camera_folders, read_identity_folders
from reid_data.datasets.named_files import list_pictures, read_named_files
from reid_data.datasets.naming import SPLIT_NAMES, import_line, is_camera
from reid_data.datasets.spec import Reader
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.formats import names_a_picture
from reid_data.manifest import MASK_TABLE
from reid_data.records import SPLIT_FOLDERS, SPLITS, Record

MOST_A_PERSON = 500
"""More images a person than this are doubted where folders are taken for people."""
_LOOKED_AT = 200


@dataclass(frozen=True)
class Layout:
    """A layout found: the folder that has it (perhaps one below that asked for), its reader, the folder of each split (none: all is
    train), and in words what was chosen and why; `why` is empty where nothing was guessed."""

    root: Path
    reader: Reader
    splits: dict[str, str] = field(default_factory=dict)
    why: str = ""


def recognise(root: Path) -> Layout | None:
    """The layout of a folder, or of the one folder in it that has folders of splits or cameras; None if there is none, or more
    than one such folder."""
    found = _layout_at(root)
    if found is not None or _is_output(root):
        return found
    below = [layout for name in folders_of(root) if (layout := _layout_at(root / name)) is not None]
    if len(below) != 1 or (below[0].reader is read_identity_folders and not below[0].splits):
        return None
    deeper = f"the set is taken from '{printable(below[0].root.name)}/' in it"
    return Layout(below[0].root, below[0].reader, below[0].splits, "; ".join(filter(None, (deeper, below[0].why))))


def _is_output(root: Path) -> bool:
    return (root / MASK_TABLE).is_file()  # masks of a set lie in the set's own split folders


def _layout_at(root: Path) -> Layout | None:
    if _is_output(root):
        return None
    if (root / CARD_FILE).is_file():
        return Layout(root, read_named_files, SPLIT_FOLDERS)
    folders = folders_of(root)
    splits = _split_folders(folders)
    if splits:
        return _layout_of_splits(root, folders, splits)
    if len(folders) > 1 and all(map(is_camera, folders)):
        why = f"a folder a camera ({_some(folders)}), the first number in a name or folder is the person; everything is train"
        return Layout(root, read_camera_folders, {}, why)
    people = [name for name in folders if _has_picture(root / name)]
    loose = sum(1 for name in _names(root)[:_LOOKED_AT] if (root / name).is_file() and names_a_picture(root / name))
    if not people or loose >= len(people):
        return None
    why = f"each of its {len(people):,} folders with pictures ({_some(people)}) is a person; everything is train"
    return Layout(root, read_identity_folders, {}, why)


def _layout_of_splits(root: Path, folders: Sequence[str], splits: dict[str, str]) -> Layout:
    shown = ", ".join(f"{folder}/ as {split}" for split, folder in splits.items())
    left = [name for name in folders if name not in splits.values() and _has_picture(root / name, below=True)]
    tail = f"; not read: {_some(left)}" if left else ""
    if all(_has_picture(root / folder) or not folders_of(root / folder) for folder in splits.values()):
        usual = all(SPLIT_FOLDERS[split] == folder for split, folder in splits.items())
        return Layout(
            root, read_named_files, splits, "" if usual else f"{shown}, person and camera out of the names{tail}"
        )
    inner = [name for folder in splits.values() for name in folders_of(root / folder)]
    if inner and all(map(is_camera, inner)):
        why = f"{shown}, in each a folder a camera, the first number in a name or folder is the person{tail}"
        return Layout(root, read_camera_folders, splits, why)
    return Layout(root, read_identity_folders, splits, f"{shown}, in each a folder a person{tail}")


def _split_folders(folders: Sequence[str]) -> dict[str, str]:
    """Split -> its folder, by the first of `SPLIT_NAMES` that is there."""
    there = {name.lower(): name for name in reversed(folders)}
    found: dict[str, str] = {}
    for name, split in SPLIT_NAMES.items():
        if name in there and split not in found:
            found[split] = there[name]
    return {split: found[split] for split in SPLITS if split in found}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), key=os.fsencode)
    except OSError:
        return []


def folders_of(root: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones; none where it cannot be read."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                (entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()), key=os.fsencode
            )
    except OSError:
        return []


def _has_picture(folder: Path, *, below: bool = False) -> bool:
    """Whether a picture lies in the folder, or with `below` in a folder of it; not where it cannot be read (its reader says so)."""
    if any(names_a_picture(folder / name) for name in _names(folder) if (folder / name).is_file()):
        return True
    return below and any(_has_picture(folder / name) for name in folders_of(folder))


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"{printable(name)}/" for name in names[:3]) + (" ..." if len(names) > 3 else "")


def is_unread(folder: Path) -> bool:
    """Whether pictures lie in a folder, or in those in it, but not as a set that we would read."""
    return not _is_output(folder) and recognise(folder) is None and _has_picture(folder, below=True)


def doubt(layout: Layout, records: Sequence[Record]) -> str:
    """Why a layout may be a wrong guess, with the line that reads the names instead; empty where it is plausible."""
    people = {record.pid for record in records if record.pid > 0}
    if layout.reader is not read_identity_folders or len(records) <= MOST_A_PERSON * max(1, len(people)):
        return ""
    line = import_line(layout.root, [record.name for record in records])
    return (
        f"{len(people)} people in {len(records):,} images is not likely. If the folders are no people, say where person and "
        f"camera stand: {line}"
    )


def unknown_layout(root: Path) -> InputError:
    """The error for a folder that has no layout that we know: what lies there, and what to type."""
    below = [name for name in folders_of(root) if _layout_at(root / name) is not None]
    if below:
        return InputError(
            f"'{printable(root)}' holds {len(below)} folder{'s' * (len(below) > 1)} that can be read as a set ({_some(below)}): give "
            f"the path, as in '{printable(root / below[0])}'."
        )
    records, _ = list_pictures(root)
    if not records:
        return InputError(
            f"no images below '{printable(root)}': expected Market names in bounding_box_train/, query/ and bounding_box_test/, "
            "or one folder of images per identity, or a CSV file."
        )
    place = os.path.dirname(records[0].name)
    where = f" (the first in '{printable(place)}/')" if place else ""
    return InputError(
        f"{len(records):,} pictures lie below '{printable(root)}'{where}, but not as a set: no folders for splits or people. "
        f"Name the place of person and camera: {import_line(root, [record.name for record in records])}"
    )
