"""Plain layouts: one folder per identity, and a CSV table (path, pid, camid, split)."""

import csv
import os
from collections import Counter
from pathlib import Path, PurePosixPath

from reid_data.datasets.named_files import image_names
from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import SPLITS, Record

CSV_COLUMNS = ("path", "pid", "camid", "split")


def read_identity_folders(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """One folder per identity below `root`, or below `root/train`, `root/query` and `root/gallery`.

    Everything is `train` unless those three names exist. Every camid is 0. Folder names that are all whole numbers
    above 0 are the pids; otherwise the sorted names are numbered 1, 2, ...
    """
    parts = {split: root / split for split in SPLITS if (root / split).is_dir()} or {"train": root}
    people = {split: _folders(place) for split, place in parts.items()}
    pids = number_names({name for names in people.values() for name in names})
    splits, ignored = empty_splits(), Counter[str]()
    for split, place in parts.items():
        ignored["not an image"] += sum(1 for name, _ in image_names(place) if name not in people[split])
        for person in people[split]:
            for name, is_image in image_names(place / person):
                if not is_image:
                    ignored["not an image"] += 1
                    continue
                relative = PurePosixPath(os.path.relpath(place, root), person, name)
                splits[split].append(Record(str(root), str(relative), pids[person], 0, split))
    if not any(splits.values()):
        raise InputError(
            f"no images below '{printable(root)}': expected Market names in bounding_box_train/, query/ and bounding_box_test/, "
            "or one folder of images per identity, or a CSV file."
        )
    return splits, {reason: count for reason, count in ignored.items() if count}


def _folders(place: Path) -> list[str]:
    return [name for name, _ in image_names(place) if not name.startswith(".") and (place / name).is_dir()]


def number_names(names: set[str]) -> dict[str, int]:
    """A pid per name: the number itself if all names are distinct whole numbers above 0, else 1, 2, ... in sorted order."""
    if all(name.isascii() and name.isdigit() and int(name) > 0 for name in names) and len(
        {int(name) for name in names}
    ) == len(names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(sorted(names, key=os.fsencode), start=1)}


def read_csv(table: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """Records of a CSV file with the columns path, pid, camid, split (= train, query or gallery).

    Paths are relative to the file. Raises InputError with the line number for a missing column or a wrong value.
    """
    splits = empty_splits()
    root = table.parent
    try:
        with open(table, newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            missing = [column for column in CSV_COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise InputError(
                    f"'{printable(table)}' lacks the columns {', '.join(missing)}: "
                    f"expected {','.join(CSV_COLUMNS)}; got {rows.fieldnames}."
                )
            for row in rows:
                record = _row_record(row, str(root), f"'{printable(table)}' line {rows.line_num}")
                splits[record.split].append(record)
    except (OSError, csv.Error) as error:
        raise InputError(f"'{printable(table)}' cannot be read as CSV: {error}.") from error
    if not any(splits.values()):
        raise InputError(
            f"'{printable(table)}' has no rows: expected one line per image under {','.join(CSV_COLUMNS)}."
        )
    return {
        split: sorted(records, key=lambda record: os.fsencode(record.name)) for split, records in splits.items()
    }, {}


def _row_record(row: dict[str, str], root: str, where: str) -> Record:
    if row["split"] not in SPLITS:
        raise InputError(f"{where}: split is '{row['split']}'; expected one of {', '.join(SPLITS)}.")
    try:
        pid, camid = int(row["pid"]), int(row["camid"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: pid '{row['pid']}' and camid '{row['camid']}' must be whole numbers.") from error
    if not row["path"]:
        raise InputError(f"{where}: the path is empty.")
    return Record(root, row["path"], pid, camid, row["split"])
