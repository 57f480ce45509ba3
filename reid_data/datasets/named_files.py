"""The reader for every set that writes identity and camera into the file name (Market-1501, DukeMTMC-reID, ours)."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from reid_data.datasets.naming import import_line
from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import printable
from reid_data.formats import names_a_picture
from reid_data.manifest import MASK_TABLE
from reid_data.records import Record


def image_names(folder: Path) -> Iterator[tuple[str, bool]]:
    """Sorted entries of a folder as (name, whether it is a picture, see `names_a_picture`); hidden entries are no images."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise InputError(f"'{printable(folder)}' is a file; expected a folder of images.") from error
    except OSError as error:
        raise EnvironmentFault(f"the folder '{printable(folder)}' cannot be read: {error.strerror}.") from error
    for name in names:
        yield name, names_a_picture(folder / name)


def read_named_files(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """Records of every split folder of `spec` below `root`, sorted by name.

    A name that is no image's, or that does not begin as `spec.pattern` says, is counted as ignored. A missing split
    folder gives an empty split; raises InputError if no split has an image.
    """
    pattern = re.compile(spec.pattern)
    splits, ignored = empty_splits(), Counter[str]()
    place, unnamed = str(root), list[str]()
    for split, folder in spec.split_folders.items():
        for name, is_image in image_names(root / folder):
            match = pattern.match(name) if is_image else None
            if match is None:
                ignored["no identity and camera in the name" if is_image else "not an image"] += 1
                unnamed += [f"{folder}/{name}"] if is_image else []
                continue
            splits[split].append(Record(place, f"{folder}/{name}", int(match["pid"]), int(match["camid"]), split))
    if not any(splits.values()):
        if unnamed:
            raise InputError(
                f"{len(unnamed):,} pictures lie below '{printable(root)}', but none has a name like 0002_c1s1_000451_03.jpg, with "
                f"person and camera; the first: '{printable(unnamed[0])}'. Say where they stand: {import_line(root, unnamed)}"
            )
        folders = ", ".join(f"{folder}/" for folder in spec.split_folders.values())
        raise InputError(
            f"no images of '{spec.name}' below '{printable(root)}': expected {folders} with names like 0002_c1s1_000451_03.jpg"
            f"{' (' + str(ignored.total()) + ' other files found)' if ignored else ''}. "
            "Unpack the set there, or give the folder's path instead of the name."
        )
    return splits, dict(ignored)


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
