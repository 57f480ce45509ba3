"""Folders of photographs that nobody is named in: for commands that ask for pictures and not for people."""

import os
from pathlib import Path

from reid_data.datasets import find_dataset, is_path, known_layout, load_dataset
from reid_data.datasets.named_files import list_pictures
from reid_data.datasets.naming import import_line
from reid_data.errors import InputError
from reid_data.files import AnyPath, printable
from reid_data.formats import READ
from reid_data.records import Card, Colour, Record, ReidDataset, over_matte

PICTURES = "pictures"
"""The kind of a set of which nobody says who is on it: every image is `train`, pid 0, camera 0."""


def load_pictures(name: AnyPath, data_root: AnyPath, matte: Colour | None = None) -> ReidDataset:
    """A set as `load_dataset` reads it or, where a path leads to a folder of photographs that is no set, those as one.

    A folder is taken so if it has none of the layouts of sets and there are pictures somewhere below. Its card is of the
    kind `PICTURES`. Raises ReidError as `load_dataset`.
    """
    text = name if isinstance(name, str) else os.path.join(os.curdir, name)
    root = find_dataset(text, Path(data_root))
    records = [] if not is_path(text) or known_layout(text, root) else list_pictures(root)[0]
    return _as_set(root, matte) if records else load_dataset(name, data_root, matte)


def _as_set(root: Path, matte: Colour | None) -> ReidDataset:
    records, others = list_pictures(root)
    label = root.resolve().name
    ignored = {"not an image": others} if others else {}
    return over_matte(ReidDataset(Card(label, PICTURES, label), root, records, [], [], ignored), matte)


def require_pictures(records: list[Record], root: Path) -> None:
    """Raise InputError where there is no picture."""
    if not records:
        raise InputError(f"no pictures below '{printable(root)}': expected {READ} files.")


def how_to_import(dataset: ReidDataset) -> str:
    """The command that makes a set with people of a folder of photographs."""
    return import_line(dataset.root, [record.name for record in dataset.records])
