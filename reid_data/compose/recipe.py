"""The plan: what becomes of each foreground image and which plate it gets. Pure; no pixels beyond thumbnails."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reid_data.errors import unknown_name
from reid_data.manifest import Row
from reid_data.plates.crops import Plate
from reid_data.plates.sides import SIDES
from reid_data.records import DISTRACTOR_PID, SPLIT_FOLDERS, Record
from reid_data.seeds import image_seed
from reid_data.segment.cache import Unusable
from reid_data.segment.survey import MaskInfo

VERSIONS = {"plan": 1}  # image_seed, market_names, make_plan

PAIRINGS = ("random", "camera", "identity")
NUM_TRIED = 8
_MARKET_NAME = re.compile(r"(-1|\d{4,})_c\d+.*\.jpe?g$", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """What becomes of one foreground image.

    `name`: path of the output below the set. `status`: `ok`, `flagged` (pasted below the quality gate, or shown without a
    person), `dropped` or `failed` (the last two write no image). `person`: whether somebody is pasted. `uncovered`: the
    share of the picture that is invented and that the person does not hide.
    """

    record: Record
    name: str
    status: str
    reason: str
    sha256: str | None = None
    quality: float | None = None
    area: float | None = None
    seed: int = 0
    person: bool = True
    plate: int | None = None
    uncovered: float | None = None


@dataclass(frozen=True)
class PlanSettings:
    """`min_quality`: the gate on foreground masks. `pairing`: one of `PAIRINGS`. `max_reuse`: images per plate."""

    min_quality: float = 0.7
    pairing: str = "random"
    max_reuse: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairing not in PAIRINGS:
            raise unknown_name("pairing", self.pairing, PAIRINGS)


def market_names(records: Sequence[Record]) -> list[str]:
    """Output names below the set, in Market naming: kept where the source has it, else made from pid, camera and position."""
    taken: set[str] = set()
    names = []
    for index, record in enumerate(records):
        folder, stem = SPLIT_FOLDERS[record.split], os.path.basename(record.name)
        name = f"{folder}/{stem}"
        if not _MARKET_NAME.match(stem) or name in taken:
            pid = f"{record.pid:04d}" if record.pid >= 0 else "-1"
            name = f"{folder}/{pid}_c{record.camid}s1_{index + 1:06d}_00.jpg"
        taken.add(name)
        names.append(name)
    return names


def make_plan(
    infos: Sequence[MaskInfo | Unusable], plates: Mapping[str, Sequence[Plate]], settings: PlanSettings
) -> list[Task]:
    """One `Task` per foreground image, in the order given. `plates`: the plates of side `train` and side `test`.

    Each plate is used by at most `max_reuse` images; where that is not enough, by as few as the number of plates allows.
    """
    names = market_names([info.record for info in infos])
    tasks = [_decide(info, name, settings) for info, name in zip(infos, names, strict=True)]
    for side in sorted(set(SIDES.values())):
        mine = [index for index, task in enumerate(tasks) if task.seed and SIDES[task.record.split] == side]
        chooser = _Chooser(plates.get(side, ()), len(mine), settings)
        for index in mine:
            info = infos[index]
            assert isinstance(info, MaskInfo)
            tasks[index] = chooser.give(tasks[index], info)
    return tasks


def _decide(info: MaskInfo | Unusable, name: str, settings: PlanSettings) -> Task:
    """What the quality gate says; a task that needs a plate has a seed."""
    record = info.record
    if isinstance(info, Unusable):
        return Task(record, name, "failed", info.reason)
    good = info.quality >= settings.min_quality
    reason = "" if good else "; ".join(info.reasons) or "the segmenter is unsure"
    known = Task(record, name, "ok", "", info.sha256, info.quality, round(info.area, 4))
    if not good and record.split == "train":
        return replace(known, status="dropped", reason=f"mask quality {info.quality:.2f}: {reason}")
    empty = info.area < 0.02
    if empty and record.pid <= DISTRACTOR_PID:
        status, reason = "ok", "nobody in it: the bare plate"
    elif empty:
        status, reason = "flagged", "no person found: the bare plate"
    else:
        status, reason = ("ok", "") if good else ("flagged", f"mask quality {info.quality:.2f}: {reason}")
    seed = image_seed(settings.seed, record.name) or 1
    return replace(known, status=status, reason=reason, seed=seed, person=not empty)


class _Chooser:
    """Deals out plates evenly: a few of the least used are drawn by each image's own seed, and the one is taken of whose
    invented part the person hides most.

    The share hidden decides, not the area left open: that would favour small holes, and the smallest are those whose
    mask missed a part of the person.
    """

    def __init__(self, plates: Sequence[Plate], wanted: int, settings: PlanSettings) -> None:
        assert plates or not wanted, "no plates to choose from"
        self.plates = plates
        self.settings = settings
        self.cap = max(settings.max_reuse, -(-wanted // max(1, len(plates))))
        self.uses = np.zeros(len(plates), int)
        self.cameras = sorted({plate.record.camid for plate in plates})
        of_camera = np.array([plate.record.camid for plate in plates])
        self.members = {camera: np.flatnonzero(of_camera == camera) for camera in self.cameras}
        self.everything = np.arange(len(plates))

    def give(self, task: Task, info: MaskInfo) -> Task:
        """The task with its plate."""
        tried = self._draw(task.record, np.random.default_rng(task.seed))
        holes = [self.plates[index].hole for index in tried]
        uncovered = [uncovered_share(hole, info.thumb if task.person else None) for hole in holes]
        share = [open_ / max(hole.mean() / 255, 1e-6) for open_, hole in zip(uncovered, holes, strict=True)]
        best = int(np.argmin(share))
        self.uses[tried[best]] += 1
        return replace(task, plate=int(tried[best]), uncovered=round(uncovered[best], 4))

    def _draw(self, record: Record, rng: np.random.Generator) -> np.ndarray:
        """Up to NUM_TRIED plates, at most half of all, so that chance keeps its part: of the wanted camera, else of any;
        the less used first; none of the same person."""
        for pool in (self._pool(record), self.everything):
            free = rng.permutation(pool[self.uses[pool] < self.cap])
            free = free[np.argsort(self.uses[free], kind="stable")]
            other = [index for index in free[: 4 * NUM_TRIED] if not self._same_person(index, record)]
            if other or len(free):
                return np.array(other or free)[: min(NUM_TRIED, max(2, len(pool) // 2))]
        raise AssertionError("every plate is used up")

    def _same_person(self, index: int, record: Record) -> bool:
        other = self.plates[index].record
        return other.root == record.root and other.pid == record.pid

    def _pool(self, record: Record) -> np.ndarray:
        if self.settings.pairing == "random" or (record.pid <= DISTRACTOR_PID and self.settings.pairing == "identity"):
            return self.everything
        if self.settings.pairing == "camera":
            return self.members[self.cameras[record.camid % len(self.cameras)]]
        number = image_seed(self.settings.seed, f"identity {record.pid}")
        return self.members[self.cameras[number % len(self.cameras)]]


def uncovered_share(hole: np.ndarray, person: np.ndarray | None) -> float:
    """The share of the picture that is invented and not hidden by the person, from two uint8 thumbnails."""
    visible = 1.0 if person is None else 1 - person.astype(np.float32) / 255
    return float((hole.astype(np.float32) / 255 * visible).mean())


def image_row(task: Task, plate: Plate | None = None, sha256: str | None = None) -> Row:
    """The manifest row of one image; `sha256` of the file written, None if none was."""
    row: Row = {
        "row": "image",
        "name": task.name,
        "split": task.record.split,
        "pid": task.record.pid,
        "camid": task.record.camid,
        "status": task.status,
        "reason": task.reason,
        "source": task.record.name,
        "source_sha256": task.sha256,
        "mask_quality": task.quality,
        "mask_area": task.area,
        "sha256": sha256,
    }
    if plate is not None:
        row |= {
            "background": plate.record.name,
            "background_camid": plate.record.camid,
            "background_sha256": plate.sha256,
            "uncovered": task.uncovered,
            "person": task.person,
            "seed": task.seed,
        }
    return row
