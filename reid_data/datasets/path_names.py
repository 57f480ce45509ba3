"""The reader for sets that write person and camera into the whole path: folders, names, or both."""

import os
import re
from collections import defaultdict
from pathlib import Path

from reid_data.datasets.folder import number_names
from reid_data.datasets.named_files import list_pictures
from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import DISTRACTOR_PID, Record

_Found = list[tuple[str, int, int]]


def read_paths(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """Records of the pictures below `root` whose whole relative path `spec.paths` describes, sorted by path.

    Its keys are `train`, `query`, `gallery`, or what is split here: `test` (each person's first picture from each camera asks,
    the others answer) and `halved` (see `_halve`). The groups are `pid` (ending in -1: junk; raised by 1 where
    `spec.ids_from_zero`) and `camid` (numbers, or labels numbered in sorted order; without the group it is 0). Raises InputError
    if no path fits.
    """
    patterns = {split: re.compile(pattern) for split, pattern in spec.paths.items()}
    records, others = list_pictures(root)
    matches = [
        (split, record.name, match)
        for record in records
        for split, pattern in patterns.items()
        if (match := pattern.fullmatch(record.name))
    ]
    if not matches:
        first = f"; the first of {len(records):,} pictures is '{printable(records[0].name)}'" if records else ""
        raise InputError(
            f"no images of '{spec.name}' below '{printable(root)}': expected paths like {' or '.join(spec.paths.values())}{first}. "
            "Unpack the set there, or give the folder's path instead of the name."
        )
    camids = number_names({match.groupdict().get("camid") or "0" for _, _, match in matches} - {"0"}) | {"0": 0}
    found: dict[str, _Found] = defaultdict(list)
    for split, name, match in matches:
        pid = -1 if match["pid"].endswith("-1") else int(match["pid"]) + spec.ids_from_zero
        found[split].append((name, pid, camids[match.groupdict().get("camid") or "0"]))
    splits = empty_splits()
    for split, part in found.items():
        for name, pid, camid, side in _with_split(split, part):
            splits[side].append(Record(str(root), name, pid, camid, side))
    used = sum(map(len, splits.values()))
    ignored = {"not an image": others, "not a picture of the set": len(records) - used}
    ordered = {split: sorted(records, key=lambda record: os.fsencode(record.name)) for split, records in splits.items()}
    return ordered, {reason: count for reason, count in ignored.items() if count}


def _with_split(split: str, found: _Found) -> list[tuple[str, int, int, str]]:
    if split == "halved":
        return _halve(found)
    asked: set[tuple[int, int]] = set()
    placed = []
    for name, pid, camid in found:
        side = split
        if split == "test":
            side = "gallery" if pid <= DISTRACTOR_PID or (pid, camid) in asked else "query"
            asked.add((pid, camid))
        placed.append((name, pid, camid, side))
    return placed


def _halve(found: _Found) -> list[tuple[str, int, int, str]]:
    """For sets without a split: of the sorted people whom two cameras saw the first half trains; of the others the lowest camera
    asks, and the rest answers. Whoever only one camera saw is a wrong match in the gallery; not read if it is the first camera."""
    seen: dict[int, set[int]] = defaultdict(set)
    for _, pid, camid in found:
        seen[pid].add(camid)
    paired = sorted(pid for pid, cameras in seen.items() if len(cameras) > 1)
    training, first = set(paired[: len(paired) // 2]), min(camid for _, _, camid in found)
    placed = []
    for name, pid, camid in found:
        if pid in training:
            placed.append((name, pid, camid, "train"))
        elif len(seen[pid]) > 1:
            placed.append((name, pid, camid, "query" if camid == min(seen[pid]) else "gallery"))
        elif camid != first:
            placed.append((name, pid, camid, "gallery"))
    return placed
