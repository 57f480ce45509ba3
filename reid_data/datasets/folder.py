"""Plain layouts: one folder per identity, and a CSV table (path, pid, camid, split)."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from reid_data.datasets.named_files import image_names
from reid_data.datasets.naming import camera_label
from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import JUNK_PID, SPLITS, Record
from reid_data.text_files import read_table

_NUMBER = r"-?[0-9]{1,18}"
CSV_COLUMNS = ("path", "pid", "camid", "split")


def read_identity_folders(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """One folder per identity below `root`, or below the folder of each split in `spec.split_folders`, if there are any.

    Everything is `train` without such folders. Folder names that are all whole numbers above 0 are the pids;
    otherwise the sorted names are numbered 1, 2, ...; `-1` is junk and `0` or `0000` holds distractors in any case. The
    camera is that of the names if every one begins with its folder's number and a camera (`0002_c1`), else 0.
    """
    parts = {split: root / folder for split, folder in spec.split_folders.items()} or {"train": root}
    people = {split: _folders(place) for split, place in parts.items()}
    pids = number_people({name for names in people.values() for name in names})
    found, ignored = list[Record](), Counter[str]()
    for split, place in parts.items():
        ignored["not an image"] += sum(1 for name, _ in image_names(place) if name not in people[split])
        for person in people[split]:
            for name, is_image in image_names(place / person):
                if not is_image:
                    ignored["not an image"] += 1
                    continue
                relative = PurePosixPath(os.path.relpath(place, root), person, name)
                match = re.match(spec.pattern, name)
                camera = int(match["camid"]) if match and int(match["pid"]) == pids[person] else None
                found.append(Record(str(root), str(relative), pids[person], -1 if camera is None else camera, split))
    if not found:
        raise InputError(
            f"no images below '{printable(root)}': expected Market names in bounding_box_train/, query/ and bounding_box_test/, "
            "or one folder of images per identity, or a CSV file."
        )
    splits, named = empty_splits(), all(record.camid >= 0 for record in found)
    for record in found:
        splits[record.split].append(record if named else replace(record, camid=0))
    return splits, {reason: count for reason, count in ignored.items() if count}


def read_camera_folders(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """One folder per camera (see `naming.camera_label`) below `root`, or below the folder of each split in `spec.split_folders`.

    In it lie pictures, or a folder per person; the person is the first whole number in that folder's or the picture's name
    (`-1` at its start is junk, 0 a distractor), the camera the folder's number, else its place among the sorted names.
    """
    parts = {split: root / folder for split, folder in spec.split_folders.items()} or {"train": root}
    cameras = {(split, name) for split, place in parts.items() for name in _folders(place) if camera_label(name)}
    camids = number_names({camera_label(name) or "" for _, name in cameras})
    splits, ignored = empty_splits(), Counter[str]()
    for split, camera in sorted(cameras, key=lambda pair: (pair[0], os.fsencode(pair[1]))):
        place, camid = parts[split] / camera, camids[camera_label(camera) or ""]
        people = _folders(place)
        inside = [(PurePosixPath(person), person, name) for person in people for name in image_names(place / person)]
        loose = [(PurePosixPath(), name[0], name) for name in image_names(place) if name[0] not in people]
        for below, who, (name, is_image) in [*inside, *loose]:
            match = re.search(r"^-0*1(?![0-9])|[0-9]{1,18}", who)
            if not is_image or match is None:
                ignored["no person in the name" if is_image else "not an image"] += 1
                continue
            relative = PurePosixPath(os.path.relpath(place, root)) / below / name
            splits[split].append(Record(str(root), str(relative), int(match[0]), camid, split))
    if not any(splits.values()):
        raise InputError(
            f"no images below '{printable(root)}': expected folders of cameras (cam_a/, cam_b/) with pictures or folders of people."
        )
    return {
        split: sorted(records, key=lambda record: os.fsencode(record.name)) for split, records in splits.items()
    }, dict(ignored)


def _folders(place: Path) -> list[str]:
    return [name for name, _ in image_names(place) if not name.startswith(".") and (place / name).is_dir()]


def number_names(names: set[str]) -> dict[str, int]:
    """A number per name: the number itself if all names are distinct whole numbers above 0, else 1, 2, ... in sorted order."""
    if all(name.isascii() and name.isdigit() and int(name) > 0 for name in names) and len(
        {int(name) for name in names}
    ) == len(names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(sorted(names, key=os.fsencode), start=1)}


def number_people(names: set[str], *, from_zero: bool = False) -> dict[str, int]:
    """A pid per name: `-1` is junk and `0` (`0000`) a distractor whatever the others are; people as in `number_names`.

    `from_zero`: 0 is a person, as where somebody counted from there; then whole numbers are raised by 1.
    """
    special = {name: int(name) for name in names if re.fullmatch(r"-0*1|0+", name)}
    if from_zero:
        special = {name: pid for name, pid in special.items() if pid == JUNK_PID}
        if all(name.isascii() and name.isdigit() for name in names - special.keys()):
            return special | {name: int(name) + 1 for name in names - special.keys()}
    return special | number_names(names - special.keys())


def read_csv(table: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """Records of a table with the columns path, pid, camid, split (= train, query or gallery); see `text_files.read_table`.

    Paths are relative to the file, with slashes or backslashes. Text ids, of people or cameras, are numbered 1, 2, ... in
    sorted order; -1 and 0 keep their meaning. Raises InputError with line and column for a wrong value.
    """
    rows = read_table(table, CSV_COLUMNS)
    if not rows:
        raise InputError(
            f"'{printable(table)}' has no rows: expected one line per image under {','.join(CSV_COLUMNS)}."
        )
    for line, row in rows:
        _check_row(row, f"'{printable(table)}' line {line}")
    _one_kind(table, rows)
    pids, camids = (
        _numbers([row["pid"] for _, row in rows], number_people),
        _numbers([row["camid"] for _, row in rows], number_names),
    )
    splits = empty_splits()
    for _, row in rows:
        path = row["path"] if "/" in row["path"] else row["path"].replace("\\", "/")
        record = Record(str(table.parent), path, pids[row["pid"]], camids[row["camid"]], row["split"].lower())
        splits[record.split].append(record)
    return {
        split: sorted(records, key=lambda record: os.fsencode(record.name)) for split, records in splits.items()
    }, {}


def _numbers(values: list[str], numbered: Callable[[set[str]], dict[str, int]]) -> dict[str, int]:
    """Whole numbers as they are, if all are; else numbered as names."""
    names = set(values)
    if all(re.fullmatch(_NUMBER, name) for name in names):
        return {name: int(name) for name in names}
    return numbered(names)


def _one_kind(table: Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    """Raise InputError where ids are whole numbers in most rows and text in one: more likely a slip than a name."""
    for column in ("pid", "camid"):
        texts = [(line, row[column]) for line, row in rows if not re.fullmatch(_NUMBER, row[column])]
        numbers = [row[column] for _, row in rows if re.fullmatch(_NUMBER, row[column]) and int(row[column]) > 0]
        if texts and numbers:
            line, value = texts[0]
            raise InputError(
                f"'{printable(table)}' line {line}, column {column}: '{printable(value)}' is no whole number, while others are, "
                f"such as {numbers[0]}. Write all as numbers, or all as text."
            )


def _check_row(row: dict[str, str], where: str) -> None:
    if row["split"].lower() not in SPLITS:
        raise InputError(f"{where}, column split: '{printable(row['split'])}'; expected one of {', '.join(SPLITS)}.")
    for column in ("path", "pid", "camid"):
        if not row[column]:
            raise InputError(f"{where}, column {column}: the value is empty.")
