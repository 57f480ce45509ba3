"""`import`: a folder of crops, by a naming pattern or its layout, a zip of one, or a CSV table becomes a set in Market layout."""

import csv
import errno
import io
import os
import re
import shutil
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from reid_data.claims import only_writer
from reid_data.datasets import load_dataset
from reid_data.datasets.card import write_card
from reid_data.datasets.folder import number_names, number_people, read_csv
from reid_data.datasets.named_files import image_names
from reid_data.datasets.naming import split_name
from reid_data.datasets.spec import DatasetSpec
from reid_data.datasets.unpack import MAX_FILE_BYTES, is_archive, unpack
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.files import TEMPORARY_PREFIX, make_folder, printable, remove_tree, write_atomic
from reid_data.records import DISTRACTOR_PID, JUNK_PID, SPLIT_FOLDERS, SPLITS, Card, ReidDataset

SPLIT_MODES = ("auto", "cameras", *SPLITS)
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
    each path below the folder (a split by any of `naming.SPLIT_NAMES`); without one the folder is read by its layout.
    `split` is where crops without a split go; `copy` copies instead of hard-linking; `follow_links` takes in what links out
    of the source point to; `ids_from_zero`: id 0 is a person, not a distractor (see `folder.number_people`).
    """

    pattern: str = ""
    split: str = "auto"
    copy: bool = False
    follow_links: bool = False
    ids_from_zero: bool = False
    terms: str = "unknown: ask the owner of the images"


def import_set(source: Path, out: Path, settings: ImportSettings) -> ReidDataset:
    """Write the crops of `source` (a folder, a CSV table or a zip archive of a folder) as a Market-layout set at `out`, which must
    not exist yet, whole or not at all.

    `import.csv` in the set maps each new name to the source. With `split = auto` the sorted ids are halved into train
    and test, and each person's first image from each camera is the query, the others the gallery; with `cameras` only the
    lowest camera of each tested person asks. Junk (-1) and distractors (0) go to the gallery. Raises UsageError for a bad
    pattern, InputError if nothing matches or the archive is refused, EnvironmentFault if `out` exists or cannot be linked to.
    The set's `layout` says how the source was read.
    """
    if out.exists():
        raise EnvironmentFault(f"'{printable(out)}' exists already. Choose another --out, or remove it.")
    with only_writer(out):
        building = out.parent / f"{TEMPORARY_PREFIX}import-{out.name}"
        unpacked = out.parent / f"{TEMPORARY_PREFIX}unpacked-{out.name}"
        try:
            for left in (building, unpacked):
                remove_tree(left)
            if is_archive(source):
                layout = _write_archive(source, unpacked / source.stem, building, out.name, settings)
            else:
                layout = _write_set(source, building, out.name, settings)
            os.replace(building, out)
        finally:
            for left in (building, unpacked):
                remove_tree(left)
    return replace(load_dataset(f"{out}{os.sep}", out.parent), layout=layout)


def _write_archive(archive: Path, folder: Path, building: Path, name: str, settings: ImportSettings) -> str:
    make_folder(folder.parent)
    unpack(archive, folder)
    try:
        return _write_set(folder, building, name, settings, said=(str(folder), str(archive)))
    except InputError as error:  # in the words of the file that is there, not of the folder that goes
        raise InputError(str(error).replace(str(folder), str(archive))) from error


def _write_set(
    source: Path, building: Path, name: str, settings: ImportSettings, said: tuple[str, str] = ("", "")
) -> str:
    """Write the set `name` into the folder `building`; `said`: what to put in `import.csv` for the start of a source's path.
    Returns how an unknown folder was read."""
    layout = ""
    if source.is_file():
        crops, ignored = _csv_crops(source), 0
    elif settings.pattern:
        crops, ignored = _folder_crops(source, settings.pattern)
    else:
        crops, ignored, layout = _layout_crops(source)
    _require_plain(crops, source, follow_links=settings.follow_links)
    pids = number_people({crop.pid for crop in crops}, from_zero=settings.ids_from_zero)
    camids = number_names({crop.camid for crop in crops})
    splits = _splits(crops, pids, camids, settings.split)
    make_folder(building)
    names = _place(crops, splits, (pids, camids), building, copy=settings.copy)
    _write_table(building, [(new, said[1] + old.removeprefix(said[0])) for new, old in names])
    record = {
        "pattern": settings.pattern,
        "split": settings.split,
        "ids_from_zero": settings.ids_from_zero,
        "files_ignored": ignored,
    }
    card = Card(name, "import", name, settings.terms)
    write_card(building, card, load_dataset(f"{building}{os.sep}", building.parent), record)
    return layout


def _require_plain(crops: list[Crop], source: Path, *, follow_links: bool) -> None:
    """Raise InputError for a crop that is no regular file, is too large for a picture, or that a link leads out of the source to.

    A table may name files anywhere; there only a link out of the picture's own folder and the table's is one.
    """
    home = os.path.realpath(source.parent if source.is_file() else source)
    for crop in crops:
        target, homes = os.path.realpath(crop.path), [home]
        if source.is_file():
            homes += [os.path.realpath(os.path.dirname(crop.path))]
        if not any(os.path.commonpath([target, one]) == one for one in homes) and not follow_links:
            raise InputError(
                f"'{printable(crop.path)}' is behind a link that leads out of '{printable(source)}'. Give --follow-links to take in "
                "what such links point to."
            )
        try:
            status = os.stat(target)
        except OSError as error:
            raise EnvironmentFault(f"cannot bring '{printable(crop.path)}' over: {error.strerror}.") from error
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise InputError(
                f"'{printable(crop.path)}' is no regular file of at most {MAX_FILE_BYTES:,} bytes. Take it out of the source."
            )


def _csv_crops(table: Path) -> list[Crop]:
    splits, _ = read_csv(table, DatasetSpec(table.stem, (), read_csv))
    return [
        Crop(record.path, str(record.pid), str(record.camid), split) for split in SPLITS for record in splits[split]
    ]


def _layout_crops(source: Path) -> tuple[list[Crop], int, str]:
    """The crops of a folder by its layout; those of one without splits have none."""
    dataset = load_dataset(f"{source}{os.sep}", source.parent)
    split = bool(dataset.query or dataset.gallery)
    crops = [Crop(one.path, str(one.pid), str(one.camid), one.split if split else "") for one in dataset.records]
    return crops, sum(dataset.ignored.values()), dataset.layout


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


def _splits(crops: list[Crop], pids: dict[str, int], camids: dict[str, int], mode: str) -> list[str]:
    people = sorted(set(pids.values()) - {JUNK_PID, DISTRACTOR_PID})
    training = set(people[: (len(people) + 1) // 2])
    lowest: dict[str, int] = {}
    for crop in crops:
        lowest[crop.pid] = min(camids[crop.camid], lowest.get(crop.pid, camids[crop.camid]))
    queried: set[tuple[str, str]] = set()
    splits = []
    for crop in crops:
        split = crop.split or mode
        if split in ("auto", "cameras"):
            answers = mode == "cameras" and camids[crop.camid] != lowest[crop.pid]
            if pids[crop.pid] in (JUNK_PID, DISTRACTOR_PID):
                split = "gallery"
            elif pids[crop.pid] in training:
                split = "train"
            else:
                split = "gallery" if answers or (crop.pid, crop.camid) in queried else "query"
            queried.add((crop.pid, crop.camid))
        if split not in SPLITS:
            raise UsageError(
                f"'{printable(crop.path)}': the pattern's split is '{split}'; expected one of {', '.join(SPLITS)}."
            )
        splits.append(split)
    return splits


def no_test(dataset: ReidDataset) -> str:
    """Why an imported set cannot be tested on, and the split that mends it, where one does; empty if it can."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in dataset.gallery:
        cameras[record.pid].add(record.camid)
    if any(cameras[record.pid] - {record.camid} for record in dataset.query):
        return ""
    what = "no gallery" if not dataset.gallery else "no query" if not dataset.query else "no query with a match"
    for record in dataset.query:
        cameras[record.pid].add(record.camid)
    paired = sum(len(seen) > 1 for pid, seen in cameras.items() if pid not in (JUNK_PID, DISTRACTOR_PID))
    mended = (
        f" {paired:,} of its test people are on pictures of several cameras: import again with --split cameras, and one camera "
        "of each asks, the others answer."
        if paired
        else " Nobody in its test splits is on pictures of two cameras; it can be trained on, or tested with --protocol no-camera."
    )
    return f"The set has {what} from another camera, so nothing can be tested on it.{mended}"


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
