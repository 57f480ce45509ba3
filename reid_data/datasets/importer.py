"""`import`: a folder of crops with a naming pattern, or a CSV table, becomes a set in Market layout."""

import csv
import errno
import io
import os
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from reid_data.datasets import load_dataset
from reid_data.datasets.card import write_card
from reid_data.datasets.folder import number_names, number_people, read_csv
from reid_data.datasets.named_files import image_names
from reid_data.datasets.naming import split_name
from reid_data.datasets.spec import DatasetSpec
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.files import TEMPORARY_PREFIX, make_folder, only_writer, printable, write_atomic
from reid_data.records import DISTRACTOR_PID, JUNK_PID, SPLIT_FOLDERS, SPLITS, Card, ReidDataset

SPLIT_MODES = ("auto", *SPLITS)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


@dataclass(frozen=True)
class Crop:
    """One source image: its path, and pid, camid and split as they stand in the name or table (split may be empty)."""

    path: str
    pid: str
    camid: str
    split: str


@dataclass(frozen=True)
class ImportSettings:
    """How to read the source. `pattern` (a regular expression with groups pid, camid and perhaps split) is searched for in
    each path below the folder (a split by any of `naming.SPLIT_NAMES`);
    `split` is where crops without a split go; `copy` copies instead of hard-linking;
    `ids_from_zero`: id 0 is a person, not a distractor (see `folder.number_people`).
    """

    pattern: str = ""
    split: str = "auto"
    copy: bool = False
    ids_from_zero: bool = False
    terms: str = "unknown: ask the owner of the images"


def import_set(source: Path, out: Path, settings: ImportSettings) -> ReidDataset:
    """Write the crops of `source` as a Market-layout set at `out`, which must not exist yet, whole or not at all.

    `import.csv` in the set maps each new name to the source. With `split = auto` the sorted ids are halved into train
    and test, and each person's first image from each camera is the query, the others the gallery; junk (-1) and distractors (0) go
    to the gallery. Raises UsageError for
    a bad pattern, InputError if nothing matches, EnvironmentFault if `out` exists or cannot be linked to.
    """
    if out.exists():
        raise EnvironmentFault(f"'{printable(out)}' exists already. Choose another --out, or remove it.")
    crops, ignored = (_csv_crops(source), 0) if source.is_file() else _folder_crops(source, settings.pattern)
    pids = number_people({crop.pid for crop in crops}, from_zero=settings.ids_from_zero)
    camids = number_names({crop.camid for crop in crops})
    splits = _splits(crops, pids, settings.split)
    with only_writer(out):
        building = out.parent / f"{TEMPORARY_PREFIX}import-{out.name}"
        shutil.rmtree(building, ignore_errors=True)
        make_folder(building)
        names = _place(crops, splits, (pids, camids), building, copy=settings.copy)
        _write_table(building, names)
        card = Card(out.name, "import", out.name, settings.terms)
        dataset = load_dataset(f"{building}{os.sep}", out.parent)
        record = {
            "pattern": settings.pattern,
            "split": settings.split,
            "ids_from_zero": settings.ids_from_zero,
            "files_ignored": ignored,
        }
        write_card(building, card, dataset, record)
        os.replace(building, out)
    return load_dataset(f"{out}{os.sep}", out.parent)


def _csv_crops(table: Path) -> list[Crop]:
    splits, _ = read_csv(table, DatasetSpec(table.stem, (), read_csv))
    return [
        Crop(record.path, str(record.pid), str(record.camid), split) for split in SPLITS for record in splits[split]
    ]


def _folder_crops(source: Path, pattern: str) -> tuple[list[Crop], int]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--pattern '{pattern}' is no regular expression: {error}.") from error
    if not {"pid", "camid"} <= set(compiled.groupindex):
        raise UsageError(
            rf"--pattern '{pattern}' must name the groups pid and camid, as in '(?P<pid>\d+)_cam(?P<camid>\d+)'."
        )
    crops, ignored, example = [], 0, ""
    for parent, folders, _ in os.walk(source):
        folders.sort(key=os.fsencode)
        for name, is_image in image_names(Path(parent)):
            path = os.path.join(parent, name)
            if name in folders:
                continue
            match = compiled.search(os.path.relpath(path, source).replace(os.sep, "/")) if is_image else None
            if match is None:
                ignored += 1
                example = path if is_image else example
                continue
            groups = match.groupdict()
            crops.append(Crop(path, groups["pid"], groups["camid"], split_name(groups.get("split") or "")))
    if not crops:
        shown = f" One that does not match: '{printable(os.path.relpath(example, source))}'." if example else ""
        raise InputError(f"no image below '{printable(source)}' matches --pattern '{pattern}'.{shown}")
    return crops, ignored


def _splits(crops: list[Crop], pids: dict[str, int], mode: str) -> list[str]:
    people = sorted(set(pids.values()) - {JUNK_PID, DISTRACTOR_PID})
    training = set(people[: (len(people) + 1) // 2])
    queried: set[tuple[str, str]] = set()
    splits = []
    for crop in crops:
        split = crop.split or mode
        if split == "auto":
            nobody = pids[crop.pid] in (JUNK_PID, DISTRACTOR_PID)
            split = "train" if pids[crop.pid] in training else "query"
            if nobody or (split == "query" and (crop.pid, crop.camid) in queried):
                split = "gallery"
            queried.add((crop.pid, crop.camid))
        if split not in SPLITS:
            raise UsageError(
                f"'{printable(crop.path)}': the pattern's split is '{split}'; expected one of {', '.join(SPLITS)}."
            )
        splits.append(split)
    return splits


def _place(
    crops: list[Crop], splits: list[str], numbers: tuple[dict[str, int], dict[str, int]], root: Path, *, copy: bool
) -> list[tuple[str, str]]:
    counts: Counter[tuple[int, int]] = Counter()
    names: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for split in SPLIT_FOLDERS:
        make_folder(root / SPLIT_FOLDERS[split])
    for crop, split in zip(crops, splits):
        pid, camid = numbers[0][crop.pid], numbers[1][crop.camid]
        counts[pid, camid] += 1
        suffix = os.path.splitext(crop.path)[1].lower()
        person = "-1" if pid == JUNK_PID else f"{pid:04d}"
        name = f"{SPLIT_FOLDERS[split]}/{person}_c{camid}s1_{counts[pid, camid]:06d}_00{suffix}"
        try:
            (shutil.copyfile if copy else os.link)(os.path.realpath(crop.path), root / name)
        except OSError as error:
            hint = " Hard links stay on one disk; use --copy." if error.errno in _NO_LINK and not copy else ""
            raise EnvironmentFault(f"cannot bring '{printable(crop.path)}' over: {error.strerror}.{hint}") from error
        names[split].append((name, crop.path))
    return [pair for split in SPLITS for pair in names[split]]


def _write_table(root: Path, names: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "source"))
    rows.writerows(names)
    write_atomic(root / "import.csv", text.getvalue().encode("utf-8", "surrogateescape"))
