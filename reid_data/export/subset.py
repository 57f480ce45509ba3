"""Some cameras, people and splits of a set as a set of their own, in Market layout; the pictures are hard links."""

import errno
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from reid_data.datasets.digest import dataset_digest
from reid_data.datasets.spec import DatasetSpec
from reid_data.errors import ImageError, InputError, UsageError
from reid_data.files import AnyPath, make_folder, printable, replacing, sha256_bytes
from reid_data.formats import suffix_of
from reid_data.images import read_bytes
from reid_data.manifest import Form, Manifest, Row, raised, read_manifest
from reid_data.records import DISTRACTOR_PID, JUNK_PID, PLATE_SET, SPLIT_FOLDERS, SPLITS, SUBSET, Record, ReidDataset
from reid_data.seeds import image_seed
from reid_data.text_files import read_text
from reid_data.written.output import Output
from reid_data.written.readme import subset_card

VERSIONS = {"subset": 1}  # choose_records, market_names

NOBODY = (JUNK_PID, DISTRACTOR_PID)
ROW_BYTES = 500
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SubsetSettings:
    """What is taken of a set. `cameras`: these, none: all. `ids`: `all`, the `even` or the `odd` pids, a share such as `0.5`
    of the sorted pids, drawn by `seed` (smaller shares lie in larger ones), or `listed`: those in `pids`. `splits`: these. Ids
    are chosen once, over all splits; junk and distractors of the cameras stay."""

    cameras: tuple[int, ...] = ()
    ids: str = "all"
    pids: tuple[int, ...] = ()
    splits: tuple[str, ...] = SPLITS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ids not in ("all", "even", "odd", "listed") and _share(self.ids) is None:
            raise UsageError(f"--ids '{self.ids}': expected all, even, odd, a share such as 0.5, or a file of pids.")
        unknown = [split for split in self.splits if split not in SPLITS]
        if unknown or not self.splits:
            raise UsageError(f"--splits '{','.join(self.splits)}': expected some of {', '.join(SPLITS)}.")


@dataclass(frozen=True)
class BuiltSubset:
    """A finished subset: where it is, images that could not be read, with the first one's reason, whether it was there."""

    root: Path
    failed: int
    first: str
    was_finished: bool = False


def flat(settings: SubsetSettings) -> Row:
    """The settings by name, as JSON keeps them; the seed only where something is drawn."""
    return {
        "cameras": sorted(set(settings.cameras)),
        "ids": settings.ids if (share := _share(settings.ids)) is None else share,
        "pids": sorted(set(settings.pids)),
        "splits": [split for split in SPLITS if split in settings.splits],
        "seed": 0 if _share(settings.ids) is None else settings.seed,
    }


def _share(ids: str) -> float | None:
    try:
        share = float(ids)
    except ValueError:
        return None
    return share if 0 < share <= 1 else None


FORM = Form(SUBSET, 1, flat(SubsetSettings()))


def read_cameras(text: str) -> tuple[int, ...]:
    """`1-3,6` -> (1, 2, 3, 6). Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise UsageError(f"--cameras '{text}': expected numbers and ranges, such as 1-3,6.")
        found += range(first, last + 1)
    return tuple(found)


def read_pids(path: Path) -> tuple[int, ...]:
    """The pids of a text file: whole numbers with blanks, commas or line ends between; what follows a # is a remark.

    Raises InputError with the line of what is no number.
    """
    found: list[int] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        for word in line.partition("#")[0].replace(",", " ").split():
            if not re.fullmatch(r"\d{1,18}", word):
                raise InputError(
                    f"'{printable(path)}' line {number}: '{printable(word)}' is no pid: expected a number."
                )
            found.append(int(word))
    if not found:
        raise InputError(f"'{printable(path)}' names no pid: expected whole numbers.")
    return tuple(found)


def choose_records(dataset: ReidDataset, settings: SubsetSettings) -> list[Record]:
    """The records that the settings name, in the set's order. Raises InputError where a camera or pid is not in the set, or
    nobody is left."""
    people = sorted({record.pid for record in dataset.records} - set(NOBODY))
    cameras = {record.camid for record in dataset.records}
    _require("camera", settings.cameras, cameras, dataset.name)
    _require("pid", settings.pids, set(people), dataset.name)
    kept = {*_chosen_people(people, settings), *NOBODY}
    cameras = set(settings.cameras) or cameras
    found = [
        record
        for record in dataset.records
        if record.split in settings.splits and record.camid in cameras and record.pid in kept
    ]
    if not any(record.pid not in NOBODY for record in found):
        raise InputError(f"nobody of '{dataset.name}' is in these cameras, ids and splits: the subset would be empty.")
    return found


def _require(what: str, wanted: Sequence[int], there: set[int], name: str) -> None:
    missing = sorted(set(wanted) - there)
    if missing:
        raise InputError(f"'{name}' has no {what} {_some(missing, 5)}. It has {_some(sorted(there), 12)}.")


def _some(numbers: Sequence[int], most: int) -> str:
    more = len(numbers) - most
    return ", ".join(map(str, numbers[:most])) + (f" and {more:,} more" if more > 0 else "")


def _chosen_people(people: Sequence[int], settings: SubsetSettings) -> Sequence[int]:
    if settings.ids == "listed":
        return settings.pids
    if settings.ids in ("even", "odd"):
        return [pid for pid in people if pid % 2 == (settings.ids == "odd")]
    share = _share(settings.ids)
    if share is None:
        return people
    drawn = sorted(people, key=lambda pid: (image_seed(settings.seed, f"subset {pid}"), pid))
    return drawn[: max(1, round(share * len(people)))]


def market_names(records: Sequence[Record]) -> list[str]:
    """A name in Market layout for each record: its own, if all say identity and camera as the records do and none is there
    twice, else numbered ones."""
    own = [f"{SPLIT_FOLDERS[record.split]}/{PurePosixPath(record.name).name}" for record in records]
    if len(set(own)) == len(own) and all(map(_says_itself, records)):
        return own
    counts = Counter[tuple[int, int]]()
    names = []
    for record in records:
        counts[record.pid, record.camid] += 1
        person = "-1" if record.pid == JUNK_PID else f"{record.pid:04d}"
        number = f"{counts[record.pid, record.camid]:06d}"
        suffix = suffix_of(record.path)
        names.append(f"{SPLIT_FOLDERS[record.split]}/{person}_c{record.camid}s1_{number}_00{suffix}")
    return names


def _says_itself(record: Record) -> bool:
    match = re.match(DatasetSpec.pattern, PurePosixPath(record.name).name)
    return match is not None and (int(match["pid"]), int(match["camid"])) == (record.pid, record.camid)


def build_subset(
    source: ReidDataset,
    out: AnyPath,
    settings: SubsetSettings,
    *,
    copy: bool = False,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> BuiltSubset:
    """Write what `settings` takes of `source` as a set below `out`: hard links, or copies where the disk has none or with `copy`.

    An image that cannot be read is a failed row of the manifest. The same call goes on where a killed one stopped. Raises
    ReidError (see `choose_records` and `Output`).
    """
    if source.card.kind == PLATE_SET:
        raise UsageError(f"'{source.name}' is a background set: make a smaller one with reid-data backgrounds --num.")
    out, records = Path(out), choose_records(source, settings)
    names, parent = market_names(records), read_manifest(source.root)
    known = {row["name"]: row for row in parent.of_kind("image")} if parent else {}
    fingerprint = {"source": source.name, "source_digest": dataset_digest(source), **flat(settings), **raised(VERSIONS)}
    room = len(records) * ROW_BYTES
    with Output(out, FORM, fingerprint, sources=[source], num_bytes=room, overwrite=overwrite) as output:
        if output.finished:
            return replace(_summary(out, output.manifest), was_finished=True)
        place = {"name": source.name, "path": os.path.relpath(source.root, out)}
        done = len(output.begin(parent.of_kind("plate") if parent else (), source=place))
        for folder in SPLIT_FOLDERS.values():
            make_folder(out / folder)
        for number in range(done, len(records)):
            record = records[number]
            output.append(_take(record, out, names[number], known.get(record.name, {}), copy=copy))
            progress(number + 1, len(records))
        return _summary(out, output.finish(subset_card(out.name, source)))


def _take(record: Record, out: Path, name: str, known: Row, *, copy: bool) -> Row:
    """Bring one image over; its manifest row. Of a composite's, `known`, the plate behind the person is kept."""
    row: dict[str, Any] = {
        "row": "image",
        "name": name,
        "split": record.split,
        "pid": record.pid,
        "camid": record.camid,
        "source": record.name,
        **{key: known[key] for key in ("background", "background_sha256") if key in known},
    }
    try:
        data = read_bytes(record.path, record.root)
    except ImageError as error:
        return row | {"status": "failed", "reason": str(error), "source_sha256": None, "sha256": None}
    with replacing(out / name) as temporary:
        _link(record.path, temporary, data, copy=copy)
    sha = sha256_bytes(data)
    return row | {"status": "ok", "reason": "", "source_sha256": sha, "sha256": sha}


def _link(path: str, target: Path, data: bytes, *, copy: bool) -> None:
    try:
        if not copy:
            os.link(os.path.realpath(path), target)
            return
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    target.write_bytes(data)


def _summary(out: Path, manifest: Manifest) -> BuiltSubset:
    failed = [row for row in manifest.of_kind("image") if row["status"] == "failed"]
    first = f"{printable(failed[0]['source'])} {failed[0]['reason']}" if failed else ""
    return BuiltSubset(out, len(failed), first)
