"""Person-free plates out of pedestrian crops: the person's place is invented from what surrounds it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from reid_data.errors import unknown_name
from reid_data.files import cache_folder, make_folder, settings_digest
from reid_data.images import encode_png
from reid_data.manifest import Form, Row, raised
from reid_data.masks import VERSIONS as MASK_VERSIONS
from reid_data.masks import grow, thumbnail
from reid_data.plates.fill import FILLS
from reid_data.plates.fill import VERSIONS as FILL_VERSIONS
from reid_data.records import Record
from reid_data.seals import keep, kept
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import Masked, Unusable
from reid_data.segment.survey import Progress, map_masked, survey

VERSIONS = {"plates-crops": 1}  # candidate_order, person_hole, make_plate
PLATE_VERSIONS = {**MASK_VERSIONS, **FILL_VERSIONS, **VERSIONS}
SCHEMA = 2
"""Of plates that are kept; raised whenever a default of `PlateSettings` or its meaning changes."""


@dataclass(frozen=True)
class PlateSettings:
    """How plates are made.

    `fill`: a name in `FILLS`. `dilation`: by how much the mask is grown before filling, in 128ths of the image's height: 6
    is for soft masks that follow the outline, looser ones want 9 (too little leaves the old person's rim, too much leaves
    nothing to see). `min_quality`: the gate on the mask. It comes before any choice among plates, since the plates with the
    smallest holes are those whose mask missed part of the person. `max_person`: the share of a plate in which a network may
    still see a person (see `Segmenter.tells_empties`).
    """

    fill: str = "rows"
    dilation: float = 6.0
    min_quality: float = 0.7
    max_person: float = 0.02

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise unknown_name("fill", self.fill, FILLS)


@dataclass(frozen=True)
class Plate:
    """A person-free picture kept in the cache.

    `path`: an RGBA PNG whose alpha is 0 where the picture is invented. `sha256`: of the crop's file. `size`: (height,
    width). `hole`: the invented part as a (32, 16) uint8 thumbnail. `quality`: of the mask that was cut out. `person`: the
    share of the plate in which the segmenter sees a person; None if it cannot tell.
    """

    record: Record
    path: str
    sha256: str
    size: tuple[int, int]
    quality: float
    hole: np.ndarray
    person: float | None = None


@dataclass(frozen=True)
class Rejected:
    """A crop that gave no plate because its mask is below the gate, or the plate not empty; why, and the hash of its file."""

    record: Record
    sha256: str
    quality: float
    reason: str


def person_hole(alpha: np.ndarray, dilation: float) -> np.ndarray:
    """(H, W) bool: what must be invented, the mask with all it may have missed at its rim."""
    return grow(alpha > 0.3, dilation * alpha.shape[0] / 128)


def make_plate(masked: Masked, settings: PlateSettings) -> tuple[np.ndarray, np.ndarray]:
    """A person-free (H, W, 3) uint8 RGB picture out of a crop with its mask, and its invented part (H, W) bool."""
    hole = person_hole(masked.alpha, settings.dilation)
    return FILLS[settings.fill](masked.image, hole, int(masked.sha256[:8], 16)), hole


def plates(
    records: Sequence[Record],
    segmenter: Segmenter,
    settings: PlateSettings,
    workers: int,
    progress: Progress | None = None,
) -> Iterator[Plate | Rejected | Unusable]:
    """Yield a plate (or why there is none) for each record in order; plates not yet kept are made."""
    form = Form("plates", SCHEMA, asdict(PlateSettings()))
    made_of = {"masks": segmenter.digest(records), "opencv": cv2.__version__, **raised(PLATE_VERSIONS)}
    folder = str(cache_folder("plates", settings_digest(form.key(asdict(settings) | made_of))[:24]))
    yield from map_masked(partial(_plate, folder=folder, settings=settings), records, segmenter, workers, progress)


def _plate(masked: Masked, folder: str, settings: PlateSettings) -> Plate | Rejected:
    record, sha = masked.record, masked.sha256
    if masked.quality < settings.min_quality:
        reason = "; ".join(masked.verdict.reasons) or "the segmenter is unsure"
        return Rejected(record, sha, masked.quality, f"mask quality {masked.quality:.2f}: {reason}")
    path = Path(folder + record.matte_mark, sha[:2], f"{sha}.png")
    size = (masked.image.shape[0], masked.image.shape[1])
    hole = person_hole(masked.alpha, settings.dilation)
    if kept(path, "plate") is None:
        picture, hole = make_plate(masked, settings)
        make_folder(path.parent)
        keep(path, encode_png(np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])))
    return Plate(record, str(path), sha, size, masked.quality, thumbnail(hole))


@dataclass(frozen=True)
class PlateBank:
    """The plates that were made for one side of a set, and the crops that gave none; all in the order they were tried."""

    plates: tuple[Plate, ...]
    rejected: tuple[Rejected, ...]
    unusable: tuple[Unusable, ...]

    def rows(self, side: str) -> list[Row]:
        """Manifest rows: what became of each crop that was tried."""
        return [
            *(
                _row(side, one.record, "ok", sha256=one.sha256, quality=one.quality) | {"person_share": one.person}
                for one in self.plates
            ),
            *(_row(side, one.record, "rejected", one.reason, one.sha256, one.quality) for one in self.rejected),
            *(_row(side, one.record, "failed", one.reason) for one in self.unusable),
        ]


def _row(
    side: str, record: Record, status: str, reason: str = "", sha256: str | None = None, quality: float | None = None
) -> Row:
    return {
        "row": "plate",
        "side": side,
        "source": record.name,
        "pid": record.pid,
        "camid": record.camid,
        "status": status,
        "reason": reason,
        "source_sha256": sha256,
        "mask_quality": quality,
    }


def gather_plates(
    records: Sequence[Record],
    wanted: int,
    segmenter: Segmenter,
    settings: PlateSettings,
    seed: int,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PlateBank:
    """Make plates until there are `wanted` of them or `records` are used up.

    Crops are tried in a random order by `seed`, the cameras in turn, in blocks: only as many are segmented as the gate
    makes necessary. The result depends on neither `workers` nor what is kept.
    """
    order = candidate_order(records, seed)
    made: list[Plate] = []
    rejected: list[Rejected] = []
    unusable: list[Unusable] = []
    start = 0
    while len(made) < wanted and start < len(order):
        block = order[start : start + max(16, round(1.2 * (wanted - len(made))))]
        start += len(block)
        for one in verify_empty(list(plates(block, segmenter, settings, workers)), segmenter, settings, workers):
            if isinstance(one, Plate):
                made.append(one)
                if progress is not None and len(made) <= wanted:
                    progress(len(made), wanted)
            elif isinstance(one, Rejected):
                rejected.append(one)
            else:
                unusable.append(one)
    return PlateBank(tuple(made[:wanted]), tuple(rejected), tuple(unusable))


def verify_empty(
    made: Sequence[Plate | Rejected | Unusable], segmenter: Segmenter, settings: PlateSettings, workers: int
) -> Iterator[Plate | Rejected | Unusable]:
    """The same in the same order, each plate with the share in which `segmenter` sees a person; rejected where it is too much.

    What the segmenter says of a plate is kept in the mask cache. All pass under one that cannot tell (see `Segmenter.tells_empties`).
    """
    if not segmenter.tells_empties:
        yield from made
        return
    pictures = [
        Record(os.path.dirname(one.path), os.path.basename(one.path), 0, one.record.camid, one.record.split, "ignored")
        for one in made
        if isinstance(one, Plate)
    ]
    seen = survey(pictures, segmenter, workers)
    for one in made:
        if not isinstance(one, Plate):
            yield one
            continue
        info = next(seen)
        share = 1.0 if isinstance(info, Unusable) else round(info.area, 4)
        if share < settings.max_person:
            yield replace(one, person=share)
        else:
            yield Rejected(one.record, one.sha256, one.quality, f"somebody is still seen in {share:.0%} of the plate")


def candidate_order(records: Sequence[Record], seed: int) -> list[Record]:
    """Crops in a random order, camera after camera in turn, so that any beginning of it holds all cameras alike."""
    rng = np.random.default_rng(seed)
    by_camera: dict[int, list[Record]] = {}
    for index in rng.permutation(len(records)):
        by_camera.setdefault(records[index].camid, []).append(records[index])
    turns = [(turn, camera) for camera, part in by_camera.items() for turn in range(len(part))]
    return [by_camera[camera][turn] for turn, camera in sorted(turns)]
