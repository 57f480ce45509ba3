"""The reader for every set that writes identity and camera into the file name (Market-1501, DukeMTMC-reID, ours)."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import printable
from reid_data.formats import names_a_picture
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
    place = str(root)
    for split, folder in spec.split_folders.items():
        for name, is_image in image_names(root / folder):
            match = pattern.match(name) if is_image else None
            if match is None:
                ignored["no identity and camera in the name" if is_image else "not an image"] += 1
                continue
            splits[split].append(Record(place, f"{folder}/{name}", int(match["pid"]), int(match["camid"]), split))
    if not any(splits.values()):
        folders = ", ".join(f"{folder}/" for folder in spec.split_folders.values())
        raise InputError(
            f"no images of '{spec.name}' below '{printable(root)}': expected {folders} with names like 0002_c1s1_000451_03.jpg"
            f"{' (' + str(ignored.total()) + ' other files found)' if ignored else ''}. "
            "Unpack the set there, or give the folder's path instead of the name."
        )
    return splits, dict(ignored)
