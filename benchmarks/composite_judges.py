"""The table of judges: hard paste, feathered, the full pipeline.

    python benchmarks/composite_judges.py FG BG [--data-root data] [--limit 60] [--people 240]

FG and BG are sets by name or path. For each way of pasting: seam ratio, old background in the rim, re-segmentation IoU over
the first `--limit` images of each split, and the AUC of the classifier that tells `--people` people of BG on their own plates
from their photographs (`reid_data.texture`); for sets that keep true masks also alpha error and colour change. The last two
rows tell what part of the AUC comes from encoding photographs a second time.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from reid_data.compose.blend import BLENDS
from reid_data.compose.build import chosen_plate, gather_sides
from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import make_plan
from reid_data.compose.rim import old_background, seam_ratio
from reid_data.compose.settings import CompositeSettings, limit_records, resolve_settings
from reid_data.datasets import load_dataset
from reid_data.images import decode_image, encode_jpeg
from reid_data.masks import iou
from reid_data.plates.files import fit_plate, read_plate
from reid_data.quality.judges import repasted, true_mask
from reid_data.quality.texture import composite_auc
from reid_data.records import ReidDataset
from reid_data.segment import build_segmenter
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.survey import survey

WAYS = {
    "hard paste": Steps("hard", False, False, False, False),
    "feathered": Steps("feather", False, False, False, False),
    "full pipeline": Steps(),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fg")
    parser.add_argument("bg")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--people", type=int, default=240)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    fg, bg = load_dataset(options.fg, options.data_root), load_dataset(options.bg, options.data_root)
    settings = resolve_settings(CompositeSettings(limit=options.limit), bg)
    segmenter = build_segmenter("small")
    pairs = sources(fg, bg, segmenter, settings)
    quality = settings.steps.jpeg_quality
    ways = {name: replace(steps, jpeg_quality=quality) for name, steps in WAYS.items()}
    columns = ("seam ratio", "old background", "re-segm. IoU", "alpha error", "colour change", "classifier AUC")
    print(f"{'':22s}" + "".join(f"{column:>16s}" for column in columns) + f"   ({len(pairs)} images)")
    for name, steps in ways.items():
        values = [*judge(pairs, segmenter, steps), auc(bg, segmenter, steps, options.people)]
        print(
            f"{name:22s}" + "".join(f"{'-' if value is None else f'{value:.3f}':>16s}" for value in values), flush=True
        )
    photographs, pasted, pids = repasted(bg, segmenter, ways["full pipeline"], num=options.people)
    again = [decode_image(encode_jpeg(image, quality)) for image in photographs]
    print(
        f"{'photographs, encoded again':32s} AUC {composite_auc(photographs, again, pids):.3f}   ({len(pids)} people)"
    )
    print(f"{'composites against these':32s} AUC {composite_auc(again, pasted, pids):.3f}")


def sources(
    fg: ReidDataset, bg: ReidDataset, segmenter: Segmenter, settings: CompositeSettings
) -> list[tuple[Masked, np.ndarray]]:
    """Photographs with their masks, and the plates that the plan deals to them."""
    infos = list(survey(limit_records(fg, settings.limit), segmenter, 1))
    banks = gather_sides(infos, bg, segmenter, settings, workers=1, progress=lambda *_: None)
    sides = {side: bank.plates for side, bank in banks.items()}
    cache, pairs = MaskCache(segmenter), []
    for task in make_plan(infos, sides, settings.plan):
        chosen = chosen_plate(task, sides)
        if task.status != "ok" or not task.person or chosen is None:
            continue
        masked = cache.masked([task.record])[0]
        assert isinstance(masked, Masked)
        size = (masked.image.shape[0], masked.image.shape[1])
        pairs.append((masked, fit_plate(read_plate(chosen.path)[0], size)))
    return pairs


def judge(pairs: list[tuple[Masked, np.ndarray]], segmenter: Segmenter, steps: Steps) -> list[float | None]:
    """Means of the judges over one way of pasting."""
    rows: list[list[float | None]] = []
    for masked, plate in pairs:
        picture = compose(masked.image, masked.alpha, plate, steps)
        coded = decode_image(encode_jpeg(picture, steps.jpeg_quality))
        found = segmenter.segment([masked.record], [coded])[0][0]
        seam = seam_ratio(picture, masked.image, masked.alpha)
        left = old_background(picture, masked.image, plate, masked.alpha)
        rows.append([seam, left, iou(masked.alpha > 0.5, found > 0.5), *truth(masked, coded, BLENDS[steps.blend])])
    columns = [[value for value in column if value is not None] for column in zip(*rows)]
    return [float(np.mean(column)) if column else None for column in columns]


def truth(
    masked: Masked, picture: np.ndarray, blend: Callable[[np.ndarray], np.ndarray]
) -> tuple[float | None, float | None]:
    """Alpha error along the edge and colour change inside; None for photographs."""
    exact = true_mask(masked.record)
    if exact is None:
        return None, None
    pasted = blend(masked.alpha)
    edge = ((exact > 0.02) & (exact < 0.98)) | ((pasted > 0.02) & (pasted < 0.98)) | ((pasted > 0.5) != (exact > 0.5))
    change = np.abs(picture.astype(np.float32) - masked.image.astype(np.float32))[exact > 0.98]
    return float(np.abs(pasted - exact)[edge].mean()), float(change.mean())


def auc(bg: ReidDataset, segmenter: Segmenter, steps: Steps, people: int) -> float:
    """How well the classifier tells the way of pasting from photographs."""
    return composite_auc(*repasted(bg, segmenter, steps, num=people))


if __name__ == "__main__":
    main()
