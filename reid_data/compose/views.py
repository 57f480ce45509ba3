"""Diagnostic test sets: a set's query and gallery with the people or the backgrounds taken away, made on the fly.

`NAME@foreground` shows people before one flat colour, `NAME@background` the places without them, `NAME@swap:OTHER` people
before plates of another set, pixel for pixel what `reid-data composite` would write. Nothing is written but caches.
Imports no torch, so that the processes that make the pictures start at once.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.compose.build import chosen_plate, compose_task, gather_sides
from reid_data.compose.picture import PICTURE_VERSIONS, Steps, compose
from reid_data.compose.recipe import Task, make_plan
from reid_data.compose.settings import FORM, CompositeSettings, describe_settings, resolve_settings
from reid_data.datasets import is_path, load_dataset
from reid_data.datasets.channel_stats import kept_stats
from reid_data.datasets.digest import dataset_digest
from reid_data.decode import Images, Progress, decoded
from reid_data.errors import ImageError, unknown_name
from reid_data.files import settings_digest
from reid_data.images import decode_image, resize
from reid_data.manifest import raised
from reid_data.parallel import ordered_map
from reid_data.plates.crops import PLATE_VERSIONS, Plate, PlateSettings, make_plate
from reid_data.records import DISTRACTOR_PID, Colour, Record, ReidDataset, over_matte
from reid_data.segment import DEFAULT_SEGMENTER, build_segmenter
from reid_data.segment.base import KeptMasks, Segmenter
from reid_data.segment.cache import MaskCache, Masked, Unusable
from reid_data.segment.survey import MaskInfo, survey
from reid_data.written.readme import composite_card

VERSIONS = {"views": 1}  # foreground, background

VIEWS = ("foreground", "background", "swap:OTHER")
PLATES = PlateSettings()
CUT_OUT = Steps(match_luminance=False, match_sharpness=False, contact_shadow=False)
NO_PERSON = 0.02
NO_SCENERY = 0.98
_NAME = re.compile(r"(?P<base>.+)@(?P<view>foreground|background|swap:(?P<other>.+))", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Diagnostic(ReidDataset):
    """Query and gallery of `base`, to be shown as `view`; `other` is the set that a swap takes its plates from."""

    base: ReidDataset
    view: str
    other: ReidDataset | None = None


@dataclass(frozen=True)
class View:
    """How the pictures of a test set come about, what is kept of that in the result, and the images it fails for.

    `images`: see `decode.Images`. `facts`: settings and counts of masks by split and verdict. `masks`: a row {name,
    split, status, quality, reason} for each mask that is below the quality gate (`flagged`) or empty (`no person`).
    """

    images: Images = decoded
    facts: dict[str, Any] | None = None
    masks: tuple[dict[str, Any], ...] = ()


def load_test_set(name: str, data_root: Path, matte: Colour | None = None) -> ReidDataset:
    """A set by name or path, or a diagnostic of one (`NAME@VIEW`). Raises ReidError as `load_dataset` does."""
    found = _NAME.fullmatch(name)
    if found is None:
        if "@" in name and not is_path(name):
            raise unknown_name("diagnostic", name.rpartition("@")[2], VIEWS)
        return load_dataset(name, data_root, matte)
    base = load_dataset(found["base"], data_root, matte)
    other = load_dataset(found["other"], data_root, matte) if found["other"] else None
    view = found["view"] if other is None else f"swap:{other.name}"
    card = composite_card(f"{base.name}@{view}", base, other or base)
    return Diagnostic(
        card=replace(card, kind="diagnostic"), root=base.root, train=(), query=base.query, gallery=base.gallery,
        base=base, view=view, other=other,
    )  # fmt: skip


def read_over(dataset: ReidDataset, colour: Colour | None) -> ReidDataset:
    """`records.over_matte`, of a diagnostic with the sets behind it."""
    found = over_matte(dataset, colour)
    if not isinstance(found, Diagnostic):
        return found
    other = None if found.other is None else over_matte(found.other, colour)
    return replace(found, base=over_matte(found.base, colour), other=other)


def content_digest(dataset: ReidDataset) -> str:
    """Of a test set: its digest; of a diagnostic: that of its sets, segmenter and settings."""
    if not isinstance(dataset, Diagnostic):
        return dataset_digest(dataset)
    return settings_digest(FORM.key(fingerprint(dataset)))


def fingerprint(dataset: Diagnostic) -> dict[str, Any]:
    """All that decides the pictures of a diagnostic, flat and printable."""
    segmenter = build_segmenter(DEFAULT_SEGMENTER)
    common = {"view": dataset.view.partition(":")[0]}
    if dataset.other is not None:
        settings = resolve_settings(CompositeSettings(), dataset.other)
        records = _test_records(dataset)
        return {**common, **describe_settings(dataset.base, dataset.other, records, segmenter, settings)}
    return {
        **common,
        "base": dataset.base.name,
        "base_digest": dataset_digest(dataset.base),
        "segmenter": segmenter.name,
        "segmenter_digest": segmenter.digest(_test_records(dataset)),
        **{f"plate_{key}": value for key, value in asdict(PLATES).items()},
        **asdict(CUT_OUT),
        **raised({**PLATE_VERSIONS, **PICTURE_VERSIONS, **VERSIONS}),
    }


def prepare_view(dataset: ReidDataset, *, workers: int = 1, progress: Progress | None = None) -> View:
    """The pictures of a test set. Of a diagnostic: masks (and plates) that are not kept yet are made and kept.

    Raises InputError where a swap's other set gives no plate.
    """
    if not isinstance(dataset, Diagnostic):
        return View()
    segmenter = build_segmenter(DEFAULT_SEGMENTER)
    infos = list(survey(_test_records(dataset), segmenter, workers, progress))
    masks = str(MaskCache(segmenter).folder)
    if dataset.other is None:
        colour = kept_stats(dataset.base, "gallery", None, workers).mean
        flat = np.rint(255 * np.array(colour)).astype(np.uint8)
        images = partial(_shown, make=partial(_VIEWS[dataset.view], flat=flat), masks=masks)
    else:
        images = partial(_swapped, plan=_swap_plan(dataset, infos, segmenter, workers), masks=masks)
    rows = [_verdict(info) for info in infos if isinstance(info, MaskInfo)]
    counts = {split: Counter(row["status"] for row in rows if row["split"] == split) for split in ("query", "gallery")}
    facts = {**fingerprint(dataset), "masks": {split: dict(sorted(count.items())) for split, count in counts.items()}}
    return View(images, facts, tuple(row for row in rows if row["status"] != "ok"))


def _test_records(dataset: ReidDataset) -> list[Record]:
    return [*dataset.query, *dataset.gallery]


def _verdict(info: MaskInfo) -> dict[str, Any]:
    good = info.quality >= PLATES.min_quality
    nobody = info.area < NO_PERSON and info.record.pid > DISTRACTOR_PID
    return {
        "name": info.record.name,
        "split": info.record.split,
        "status": "no person" if nobody else "ok" if good else "flagged",
        "quality": round(info.quality, 4),
        "reason": "; ".join(info.reasons),
    }


def _swap_plan(
    dataset: Diagnostic, infos: Sequence[MaskInfo | Unusable], segmenter: Segmenter, workers: int
) -> "dict[str, tuple[Task, Plate | None, Steps]]":
    """What `reid-data composite` would do with each test image, by the image's name.

    The plan of the test side depends on nothing of the train side, so this is the same plan.
    """
    assert dataset.other is not None
    settings = resolve_settings(CompositeSettings(), dataset.other)
    banks = gather_sides(
        infos, dataset.other, segmenter, settings, workers=workers, progress=lambda stage, done, total: None
    )
    sides = {side: bank.plates for side, bank in banks.items()}
    tasks = make_plan(infos, sides, settings.plan)
    return {task.record.name: (task, chosen_plate(task, sides), settings.steps) for task in tasks}


Job = Callable[[MaskCache], np.ndarray]


def _shown(
    records: Sequence[Record], size: tuple[int, int], workers: int, *, make: Callable[[Masked], np.ndarray], masks: str
) -> Iterator[np.ndarray | str]:
    return _made((partial(_from_mask, record, make) for record in records), size, workers, masks)


def _swapped(
    records: Sequence[Record],
    size: tuple[int, int],
    workers: int,
    *,
    plan: "dict[str, tuple[Task, Plate | None, Steps]]",
    masks: str,
) -> Iterator[np.ndarray | str]:
    return _made((partial(_from_plan, *plan[record.name]) for record in records), size, workers, masks)


def _made(jobs: Iterator[Job], size: tuple[int, int], workers: int, masks: str) -> Iterator[np.ndarray | str]:
    return ordered_map(_Maker(size, masks), jobs, workers, chunk=64)


def _from_mask(record: Record, make: Callable[[Masked], np.ndarray], cache: MaskCache) -> np.ndarray:
    masked = cache.masked([record])[0]
    if isinstance(masked, Unusable):
        raise ImageError(masked.reason)
    return make(masked)


def _from_plan(task: Task, plate: Plate | None, steps: Steps, cache: MaskCache) -> np.ndarray:
    if plate is None:
        raise ImageError(task.reason)
    return decode_image(compose_task(task, plate, cache, steps)[0])


def foreground(masked: Masked, *, flat: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the person, the rim cleaned of the old background, before the colour `flat` (3,) uint8."""
    return compose(masked.image, masked.alpha, np.broadcast_to(flat, masked.image.shape), CUT_OUT)


def background(masked: Masked, *, flat: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the picture with the person's place filled from its surroundings.

    Where no person was found, or the person leaves no background, all of it is the colour `flat`: nobody may show. In a
    distractor, which often shows nobody, an empty mask is believed.
    """
    nobody = masked.verdict.area < NO_PERSON
    if nobody and masked.record.pid <= DISTRACTOR_PID:
        return masked.image
    plate, hole = make_plate(masked, PLATES)
    if nobody or hole.mean() > NO_SCENERY:
        return np.broadcast_to(flat, masked.image.shape).copy()
    return plate


_VIEWS: dict[str, Callable[..., np.ndarray]] = {"foreground": foreground, "background": background}


@dataclass(frozen=True)
class _Maker:
    """Pictures at `size` with masks from the folder `masks`, or why there is none."""

    size: tuple[int, int]
    masks: str

    @cached_property
    def cache(self) -> MaskCache:
        """The masks; none is made."""
        cache = MaskCache(KeptMasks(cached=False))
        cache.folder = Path(self.masks)
        return cache

    def __call__(self, job: Job) -> np.ndarray | str:
        try:
            return resize(job(self.cache), self.size)
        except ImageError as error:
            return str(error)
