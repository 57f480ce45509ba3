"""A look at a composite before it is made: a few samples, and what the whole would take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_data.compose.build import chosen_plate, compose_task, gather_sides
from reid_data.compose.recipe import Task, make_plan
from reid_data.compose.settings import CompositeSettings, limit_records, num_plates, resolve_settings
from reid_data.images import decode_image
from reid_data.plates.crops import Plate
from reid_data.plates.files import fit_plate, read_plate
from reid_data.plates.load import is_plate_set
from reid_data.plates.sides import SIDES
from reid_data.quality.score import reasons
from reid_data.records import Record, ReidDataset
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.survey import survey
from reid_data.sheets import Strip

ROW_BYTES = 700
MASK_BYTES = 3000


@dataclass(frozen=True)
class Outlook:
    """What a whole run would take, judged by the samples: images, of these about how many dropped and unreadable, plates, seconds
    with so many workers, bytes of the set, bytes in the cache."""

    images: int
    dropped: int
    failed: int
    plates: int
    seconds: float
    set_bytes: int
    cache_bytes: int


def preview_composite(
    fg: ReidDataset,
    bg: ReidDataset,
    segmenter: Segmenter,
    settings: CompositeSettings,
    *,
    num: int,
    workers: int,
) -> tuple[list[Strip], Outlook]:
    """`num` composites spread evenly over what a run would make, as strips of source, mask, plate and composite.

    Writes nothing but masks and plates into the cache, where the run will find them. They are no part of that run: its
    plan deals out more plates. Times are taken in this process and divided by `workers`; what is kept of the samples
    stands for what is kept of the whole.
    """
    settings = resolve_settings(settings, bg)
    everything = limit_records(fg, settings.limit)
    chosen = sorted({round(index) for index in np.linspace(0, len(everything) - 1, min(num, len(everything)))})
    records = [everything[index] for index in chosen]
    list(survey(records[:1], segmenter, 1))  # loads the network, so that it is not timed
    before = time.perf_counter()
    infos = list(survey(records, segmenter, 1))
    masks = time.perf_counter()
    banks = gather_sides(infos, bg, segmenter, settings, people=fg, workers=1, progress=lambda *_: None)
    plates = time.perf_counter()
    sides = {side: bank.plates for side, bank in banks.items()}
    tasks = make_plan(infos, sides, settings.plan)
    strips, sizes = _compose_all(tasks, sides, MaskCache(segmenter), settings)
    end = time.perf_counter()

    made = sum(len(bank.plates) for bank in banks.values())
    per_side = [sum(SIDES[record.split] == side for record in everything) for side in sorted(set(SIDES.values()))]
    wanted = (
        made if is_plate_set(bg) else sum(num_plates(count, settings.plan.max_reuse) for count in per_side if count)
    )
    share = len(everything) / len(records)
    plate_seconds = 0.0 if is_plate_set(bg) else (plates - masks) * wanted / max(1, made)
    seconds = ((masks - before + end - plates) * share + plate_seconds) / max(1, workers)
    size = float(np.mean(sizes)) if sizes else 0.0
    written = round(sum(task.status in ("ok", "flagged") for task in tasks) * share)
    kept = [Path(one.path).stat().st_size for side in sides.values() for one in side]
    return strips, Outlook(
        images=len(everything),
        dropped=round(sum(task.status == "dropped" for task in tasks) * share),
        failed=round(sum(task.status == "failed" for task in tasks) * share),
        plates=wanted,
        seconds=round(seconds, 3),
        set_bytes=round(written * size + len(everything) * ROW_BYTES),
        cache_bytes=round(len(everything) * MASK_BYTES + (0 if is_plate_set(bg) else wanted * float(np.mean(kept)))),
    )


def _compose_all(
    tasks: Sequence[Task], sides: Mapping[str, Sequence[Plate]], cache: MaskCache, settings: CompositeSettings
) -> tuple[list[Strip], list[int]]:
    """The strips of the tasks that write an image, and the sizes of these in bytes."""
    strips, sizes = [], []
    for task in tasks:
        chosen = chosen_plate(task, sides)
        if chosen is None:
            strips.append(Strip((None,) * 4, f"{Path(task.name).stem[:22]} {task.status}: {task.reason}"))
            continue
        data, judged = compose_task(task, chosen, cache, settings.steps)
        sizes.append(len(data))
        row = {"mask_quality": task.quality, "mask_area": task.area, "uncovered": task.uncovered, **judged}
        caption = f"{Path(task.name).stem[:22]} {reasons(row)}"
        strips.append(Strip((*_stages(task.record, chosen, cache), decode_image(data)), caption))
    return strips, sizes


def _stages(record: Record, chosen: Plate, cache: MaskCache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    masked = cache.masked([record])[0]
    assert isinstance(masked, Masked), "it was composed a moment ago"
    size = (masked.image.shape[0], masked.image.shape[1])
    mask = np.repeat(np.rint(masked.alpha * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return masked.image, mask, fit_plate(read_plate(chosen.path)[0], size)
