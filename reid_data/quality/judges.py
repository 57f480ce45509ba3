"""The judges of a composite that cost something: they segment again, compose again, train a classifier, or know the truth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from reid_data.compose.blend import BLENDS
from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import PlanSettings, Task, make_plan
from reid_data.errors import ImageError, InputError
from reid_data.images import decode_image, encode_jpeg, read_image, read_mask
from reid_data.manifest import MASK_TABLE, Row
from reid_data.masks import iou
from reid_data.plates.crops import PlateBank, PlateSettings, gather_plates
from reid_data.plates.files import fit_plate, read_plate
from reid_data.plates.load import is_plate_set
from reid_data.plates.sides import background_sides
from reid_data.quality.texture import composite_auc
from reid_data.records import Record, ReidDataset
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.precomputed import MASK_FOLDER
from reid_data.segment.survey import MaskInfo, survey

BATCH = 16

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judged:
    """(N,) values of a judge, one per image that it could judge, and in a few words what they are."""

    values: np.ndarray
    meaning: str


@dataclass(frozen=True)
class Composites:
    """Some finished composites to judge: rows of the manifest, where the set is, its people by name, and its steps."""

    root: Path
    rows: Sequence[Row]
    people: dict[str, Record]
    steps: Steps


def steps_of(settings: Row) -> Steps:
    """The steps that a manifest's settings name."""
    return Steps(**{name: settings[name] for name in Steps.__dataclass_fields__ if name in settings})


def choose_rows(rows: Sequence[Row], num: int) -> list[Row]:
    """`num` images that show somebody, spread evenly over the set. Raises InputError if there are none."""
    shown = [row for row in rows if row.get("sha256") and row.get("person")]
    if not shown:
        raise InputError("the set holds no finished image with a person.")
    return [shown[index] for index in sorted({round(i) for i in np.linspace(0, len(shown) - 1, min(num, len(shown)))})]


def judge_by_masks(these: Composites, segmenter: Segmenter, progress: Progress) -> dict[str, Judged]:
    """Mirror agreement and re-segmentation IoU by `segmenter`, which is no judge of its own outlines' truth."""
    mirror, again = [], []
    for batch in _batches(these, segmenter):
        sources = [masked.image for masked, _ in batch]
        records = [masked.record for masked, _ in batch]
        flipped = segmenter.segment(records, [np.ascontiguousarray(image[:, ::-1]) for image in sources])[0]
        found = segmenter.segment(records, [composite for _, composite in batch])[0]
        for (masked, _), other, second in zip(batch, flipped, found, strict=True):
            mask = masked.alpha > 0.5
            mirror.append(iou(mask, other[:, ::-1] > 0.5))
            again.append(iou(mask, second > 0.5))
        progress("masks again", len(again), len(these.rows))
    return {
        "mirror_agreement": Judged(np.array(mirror), "IoU of the source's mask and that of its mirror image"),
        "resegmentation_iou": Judged(np.array(again), "IoU of the source's mask and the composite's; a floor, .7"),
    }


def _batches(these: Composites, segmenter: Segmenter) -> Iterator[list[tuple[Masked, np.ndarray]]]:
    """Sources with their masks, and the composites, sixteen at a time; what cannot be read is passed over."""
    cache = MaskCache(segmenter)
    for start in range(0, len(these.rows), BATCH):
        rows = [row for row in these.rows[start : start + BATCH] if row["source"] in these.people]
        pairs = []
        for row, masked in zip(rows, cache.masked([these.people[row["source"]] for row in rows]), strict=True):
            try:
                composite = read_image(str(these.root / row["name"]))
            except ImageError:
                continue
            if isinstance(masked, Masked):
                pairs.append((masked, composite))
        yield pairs


def judge_by_truth(these: Composites, segmenter: Segmenter) -> dict[str, Judged]:
    """Mask IoU, alpha error and colour change where the true masks lie beside the people's set; nothing otherwise.

    Alpha error: mean |pasted alpha - true alpha| over the pixels within the true or the pasted edge (either between .02
    and .98). Colour change: mean absolute difference per channel, in 0..255, of composite and source where the true
    alpha is above .98.
    """
    ious, errors, colours = [], [], []
    for batch in _batches(these, segmenter):
        for masked, composite in batch:
            truth = true_mask(masked.record)
            if truth is None or truth.shape != masked.alpha.shape:
                continue
            pasted = BLENDS[these.steps.blend](masked.alpha)
            edge = (
                ((truth > 0.02) & (truth < 0.98))
                | ((pasted > 0.02) & (pasted < 0.98))
                | ((pasted > 0.5) != (truth > 0.5))
            )
            ious.append(iou(masked.alpha > 0.5, truth > 0.5))
            errors.append(float(np.abs(pasted - truth)[edge].mean()) if edge.any() else 0.0)
            inside = truth > 0.98
            if inside.any():
                change = np.abs(composite.astype(np.float32) - masked.image.astype(np.float32))
                colours.append(float(change[inside].mean()))
    if not ious:
        return {}
    return {
        "true_mask_iou": Judged(np.array(ious), "IoU of the mask and the true one"),
        "alpha_error": Judged(np.array(errors), "mean error of the pasted alpha along the edge"),
        "colour_change": Judged(np.array(colours), "mean change of the person's pixels, of 255"),
    }


def true_mask(record: Record) -> np.ndarray | None:
    """The exact mask that a synthetic set keeps beside its pictures, (H, W) float32; None if there is none, or only a
    segmenter's."""
    path = Path(record.root, MASK_FOLDER, PurePosixPath(record.name).with_suffix(".png"))
    if Path(record.root, MASK_FOLDER, MASK_TABLE).exists():
        return None
    try:
        return read_mask(str(path))
    except ImageError:
        return None


def judge_by_classifier(
    target: ReidDataset,
    segmenter: Segmenter,
    steps: Steps,
    *,
    num: int,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> Judged | None:
    """The AUC of telling people of `target`, pasted on other plates of `target`, from their own photographs (see
    `texture.composite_auc`); up to `num` of them, from both sides. None for a background set, which has no people.
    """
    if is_plate_set(target):
        return None
    photographs, composites, pids = repasted(
        target, segmenter, steps, num=num, seed=seed, workers=workers, progress=progress
    )
    auc = composite_auc(photographs, composites, pids)
    return Judged(
        np.array([auc]),
        f"AUC, {len(pids)} people of '{target.name}' on its own plates against their photographs; aim .5",
    )


def repasted(
    target: ReidDataset,
    segmenter: Segmenter,
    steps: Steps,
    *,
    num: int,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Photographs of `target`, the same people on plates made from others of it, and their identities."""
    crops = background_sides(target)["train"]
    chosen = [
        crops[index] for index in sorted({round(i) for i in np.linspace(0, len(crops) - 1, min(num, len(crops)))})
    ]
    records = [replace(record, split="train") for record in chosen]
    bank = gather_plates(crops, max(16, len(records) // 3), segmenter, PlateSettings(), seed, workers=workers)
    infos = [info for info in survey(records, segmenter, workers) if isinstance(info, MaskInfo)]
    tasks = make_plan(infos, {"train": bank.plates}, PlanSettings(seed=seed))
    good = [task for task in tasks if task.status == "ok" and task.person]
    photographs, composites, pids = [], [], []
    cache = MaskCache(segmenter)
    for number, task in enumerate(good, 1):
        masked = cache.masked([task.record])[0]
        if isinstance(masked, Masked):
            photographs.append(masked.image)
            composites.append(_paste(task, masked, bank, steps))
            pids.append(task.record.pid)
        progress("people on their own plates", number, len(good))
    return photographs, composites, pids


def _paste(task: Task, masked: Masked, bank: PlateBank, steps: Steps) -> np.ndarray:
    assert task.plate is not None
    plate = fit_plate(read_plate(bank.plates[task.plate].path)[0], (masked.image.shape[0], masked.image.shape[1]))
    return decode_image(encode_jpeg(compose(masked.image, masked.alpha, plate, steps), steps.jpeg_quality or 95))
