"""The preparation page: photographs -> masks -> plates -> plan -> composites -> a new data set.

Read `build_composite` from top to bottom; everything that it calls is one stage.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import Task, image_row, make_plan
from reid_data.compose.rim import old_background, seam_ratio
from reid_data.compose.settings import (
    FORM,
    CompositeSettings,
    describe_settings,
    describe_sources,
    estimate_bytes,
    limit_records,
    num_plates,
    resolve_settings,
)
from reid_data.errors import ImageError, InputError
from reid_data.files import AnyPath, make_folder, sha256_bytes, write_atomic
from reid_data.images import encode_jpeg
from reid_data.manifest import Manifest, Row
from reid_data.masks import looseness
from reid_data.parallel import ordered_map
from reid_data.plates.crops import Plate, PlateBank, gather_plates
from reid_data.plates.files import fit_plate, read_plate
from reid_data.plates.load import is_plate_set, load_banks
from reid_data.plates.sides import SIDES, background_sides
from reid_data.records import SPLIT_FOLDERS, SUBSET, ReidDataset
from reid_data.seeds import image_seed
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Unusable
from reid_data.segment.survey import MaskInfo, survey
from reid_data.written.output import Output
from reid_data.written.readme import Counts, composite_card, image_counts, tried_plates

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """A finished composite: where it is, images by split and status, plates and crops tried, crops that were unusable."""

    root: Path
    counts: Counts
    plates: int
    tried: int
    unusable: int
    was_finished: bool = False

    @property
    def failed(self) -> int:
        """Images that could not be read, of both sets."""
        return self.unusable + sum(part.get("failed", 0) for part in self.counts.values())


def build_composite(
    fg: ReidDataset,
    bg: ReidDataset,
    out: AnyPath,
    segmenter: Segmenter,
    settings: CompositeSettings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Built:
    """Put the people of `fg` before plates of `bg`, as a set in Market layout below `out`.

    The bytes written depend on the two sets, the segmenter and `settings` alone, not on `workers` or interruptions: the
    same call goes on where a killed one stopped. Raises ReidError (see `Output`).
    """
    out, settings = Path(out), resolve_settings(settings, bg)
    foregrounds = limit_records(fg, settings.limit)
    fingerprint, room = describe_settings(fg, bg, foregrounds, segmenter, settings), estimate_bytes(foregrounds)
    with Output(out, FORM, fingerprint, sources=[fg, bg], num_bytes=room, overwrite=overwrite) as output:
        if output.finished:
            return replace(summarise(out, output.manifest), was_finished=True)
        infos = list(survey(foregrounds, segmenter, workers, lambda *done: progress("masks", *done)))
        banks = gather_sides(infos, bg, segmenter, settings, people=fg, workers=workers, progress=progress)
        sides = {side: bank.plates for side, bank in banks.items()}
        tasks = make_plan(infos, sides, settings.plan)

        tried = [row for side, bank in banks.items() for row in bank.rows(side)]
        done = len(output.begin(tried, sources=describe_sources(out, fg, bg)))
        jobs = [(task, chosen_plate(task, sides)) for task in tasks[done:]]
        for folder in SPLIT_FOLDERS.values():
            make_folder(out / folder)
        for row in ordered_map(Composer(segmenter, settings.steps, out), jobs, workers, lost=_lost):
            output.append(row)
            done += 1
            progress("composites", done, len(tasks))
        return summarise(out, output.finish(composite_card(out.name, fg, bg)))


def gather_sides(
    infos: Sequence[MaskInfo | Unusable],
    bg: ReidDataset,
    segmenter: Segmenter,
    settings: CompositeSettings,
    *,
    people: ReidDataset | None = None,
    workers: int,
    progress: Progress,
) -> dict[str, PlateBank]:
    """Plates for the train side and for the test side, each from the same side of `bg`, as many as its images need; all there
    are if `bg` is a background set. `people`: the foreground set, so that nobody gets a plate of his own from such a set, or
    where one of the two is a part of the other.
    """
    wanted = Counter(
        SIDES[info.record.split]
        for info in infos
        if isinstance(info, MaskInfo) and (info.record.split != "train" or info.quality >= settings.plan.min_quality)
    )
    if is_plate_set(bg):
        kept = load_banks(bg, people)
        lacking = [side for side in wanted if not kept[side].plates]
        if lacking:
            raise InputError(
                f"'{bg.name}' holds no plates for the {lacking[0]} side. Make more with reid-data backgrounds."
            )
        return {side: kept[side] for side in sorted(wanted)}
    records = background_sides(bg)
    banks = {}
    for side, number in sorted(wanted.items()):
        banks[side] = gather_plates(
            records[side],
            num_plates(number, settings.plan.max_reuse),
            segmenter,
            settings.plates,
            image_seed(settings.plan.seed, f"plates {side}"),
            workers=workers,
            progress=lambda done, total, side=side: progress(f"plates ({side})", done, total),  # type: ignore[misc]
        )
        if not banks[side].plates:
            raise InputError(
                f"none of the {len(records[side]):,} crops of the {side} side of '{bg.name}' gave a usable plate (gate: mask quality "
                f"{settings.plates.min_quality:g}). Lower --min-quality, or choose another --bg or --segmenter."
            )
    if people is not None and _share_people(people, bg):
        return {side: _as_pictures_of(people, bank) for side, bank in banks.items()}
    return banks


def _share_people(fg: ReidDataset, bg: ReidDataset) -> bool:
    """Whether equal pids mean the same person in a set and a part of it, or in two parts."""
    spaces = {dataset.card.identity_space or dataset.name for dataset in (fg, bg)}
    return SUBSET in (fg.card.kind, bg.card.kind) and len(spaces) == 1


def _as_pictures_of(people: ReidDataset, bank: PlateBank) -> PlateBank:
    """The plates as if their crops lay in the set of `people`: by folder and pid the plan knows whose they are."""
    root = str(people.root)
    return replace(bank, plates=tuple(replace(one, record=replace(one.record, root=root)) for one in bank.plates))


def chosen_plate(task: Task, sides: Mapping[str, Sequence[Plate]]) -> Plate | None:
    """The plate that the plan gave to an image; None where no image is written."""
    return None if task.plate is None else sides[SIDES[task.record.split]][task.plate]


@dataclass(frozen=True)
class Composer:
    """Writes composites below `out`."""

    segmenter: Segmenter
    steps: Steps
    out: Path

    @cached_property
    def cache(self) -> MaskCache:
        """The masks."""
        return MaskCache(self.segmenter)

    def __call__(self, job: tuple[Task, Plate | None]) -> Row:
        """Write one composite and give its manifest row."""
        task, chosen = job
        if chosen is None:
            return image_row(task)
        try:
            data, judged = compose_task(task, chosen, self.cache, self.steps)
        except ImageError as error:
            return image_row(replace(task, status="failed", reason=str(error)))
        write_atomic(self.out / task.name, data)
        return image_row(task, chosen, sha256_bytes(data)) | judged


def _lost(job: tuple[Task, Plate | None], reason: str) -> Row:
    return image_row(replace(job[0], status="failed", reason=reason))


def compose_task(task: Task, chosen: Plate, cache: MaskCache, steps: Steps) -> tuple[bytes, Row]:
    """The JPEG of one composite, and what the judges that need no labels say of it (see `compose.rim`).

    Raises ImageError if the source can no longer be read.
    """
    masked = cache.masked([task.record])[0]
    if isinstance(masked, Unusable):
        raise ImageError(masked.reason)
    plate, _ = read_plate(chosen.path)
    plate = fit_plate(plate, (masked.image.shape[0], masked.image.shape[1]))
    if not task.person:
        return encode_jpeg(plate, steps.jpeg_quality), {}
    picture = compose(masked.image, masked.alpha, plate, steps)
    judged = {
        "looseness": looseness(masked.alpha),
        "seam_ratio": seam_ratio(picture, masked.image, masked.alpha),
        "old_background": old_background(picture, masked.image, plate, masked.alpha),
    }
    return encode_jpeg(picture, steps.jpeg_quality), {
        key: None if value is None else round(value, 4) for key, value in judged.items()
    }


def summarise(out: Path, manifest: Manifest) -> Built:
    """The counts of a set from its manifest."""
    tried = tried_plates(manifest)
    return Built(out, image_counts(manifest), tried["ok"], tried.total(), tried["failed"])
