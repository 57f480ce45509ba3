"""Folders of photographs that nobody is named in: for commands that ask for pictures and not for people."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from reid_data.datasets import find_dataset, is_path, known_layout, load_dataset
from reid_data.datasets.card import CARD_FILE
from reid_data.datasets.naming import import_line
from reid_data.errors import InputError
from reid_data.files import AnyPath, printable
from reid_data.formats import READ, names_a_picture
from reid_data.manifest import MASK_TABLE
from reid_data.records import SPLIT_FOLDERS, Card, Colour, Record, ReidDataset, over_matte

PICTURES = "pictures"
"""The kind of a set of which nobody says who is on it: every image is `train`, pid 0, camera 0."""


def load_pictures(name: AnyPath, data_root: AnyPath, matte: Colour | None = None) -> ReidDataset:
    """A set as `load_dataset` reads it or, where a path leads to a folder of photographs that is no set, those as one.

    A folder is taken so if pictures lie in it themselves and it has no split folders, or if it has no layout that is known
    and pictures somewhere below. Its card is of the kind `PICTURES`. Raises ReidError as `load_dataset`.
    """
    text = name if isinstance(name, str) else os.path.join(os.curdir, name)
    root = find_dataset(text, Path(data_root))
    if is_path(text) and _is_flat(root):
        return _as_set(root, matte)
    try:
        return load_dataset(name, data_root, matte)
    except InputError:
        unnamed = is_path(text) and root.is_dir() and not known_layout(text, root)
        if not unnamed or not list_pictures(root)[0]:
            raise
        return _as_set(root, matte)


def _is_flat(root: Path) -> bool:
    """Whether pictures lie in the folder itself, and no folder of it is called like a split."""
    splits = ("train", "gallery", *SPLIT_FOLDERS.values())
    if not root.is_dir() or (root / CARD_FILE).exists() or any((root / name).is_dir() for name in splits):
        return False
    return any(names_a_picture(entry) for entry in os.scandir(root) if entry.is_file())


def _as_set(root: Path, matte: Colour | None) -> ReidDataset:
    records, others = list_pictures(root)
    label = root.resolve().name
    ignored = {"not an image": others} if others else {}
    return over_matte(ReidDataset(Card(label, PICTURES, label), root, records, [], [], ignored), matte)


def list_pictures(root: Path, leave_out: Callable[[Path], bool] = lambda folder: False) -> tuple[list[Record], int]:
    """A record per picture below `root`, sorted by path, and the number of files passed over because they are no pictures.

    Left out: hidden files and folders, `masks/` and `plates/` of `root` itself, folders of masks that `segment` wrote, and
    those that `leave_out` names.
    """
    names, others = [], 0
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_output(Path(parent, name), root))
        folders[:] = [name for name in folders if not leave_out(Path(parent, name))]
        pictures = [name for name in files if names_a_picture(Path(parent, name))]
        others += sum(not name.startswith(".") for name in files) - len(pictures)
        names += [PurePosixPath(os.path.relpath(os.path.join(parent, name), root)).as_posix() for name in pictures]
    return [Record(str(root), name, 0, 0, "train") for name in sorted(names, key=os.fsencode)], others


def _is_output(folder: Path, root: Path) -> bool:
    if folder.name.startswith(".") or (folder.parent == root and folder.name in ("masks", "plates")):
        return True
    return (folder / MASK_TABLE).is_file()


def require_pictures(records: list[Record], root: Path) -> None:
    """Raise InputError where there is no picture."""
    if not records:
        raise InputError(f"no pictures below '{printable(root)}': expected {READ} files.")


def how_to_import(dataset: ReidDataset) -> str:
    """The command that makes a set with people of a folder of photographs."""
    return import_line(dataset.root, [record.name for record in dataset.records])
