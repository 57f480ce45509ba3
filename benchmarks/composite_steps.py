"""What each composition step buys: a table of judges, and a picture.

    python benchmarks/composite_steps.py FG BG [--data-root data] [--segmenter small] [--limit 100] [--picture FILE]

The steps are added one after the other to the plain cut-out. Columns: seam ratio and old background left in the rim (see
docs/composites.md), means over the images; the row `source` judges the source images themselves. The picture shows the
variants of eight images; make it of synthetic sets only if it is to be published.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from reid_data.compose.build import chosen_plate, gather_sides
from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import make_plan
from reid_data.compose.rim import old_background, seam_ratio
from reid_data.compose.settings import CompositeSettings, limit_records
from reid_data.datasets import load_dataset
from reid_data.images import write_image
from reid_data.plates.files import fit_plate, read_plate
from reid_data.quality.sheet import Strip, contact_sheet
from reid_data.segment import build_segmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.survey import survey

PLAIN = Steps("hard", False, False, False, False)
ADDED = ("blend", "decontaminate", "match_luminance", "match_sharpness", "contact_shadow")


def variants() -> dict[str, Steps]:
    """From the plain cut-out to the whole pipeline, one step more each time."""
    steps = {"hard paste": PLAIN}
    current = PLAIN
    for name in ADDED:
        current = replace(current, **{name: getattr(Steps(), name)})
        steps["+ feather" if name == "blend" else f"+ {name.replace('_', ' ')}"] = current
    return steps


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fg")
    parser.add_argument("bg")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--segmenter", default="small")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    fg, bg = load_dataset(options.fg, options.data_root), load_dataset(options.bg, options.data_root)
    settings, segmenter = CompositeSettings(limit=options.limit), build_segmenter(options.segmenter)
    infos = list(survey(limit_records(fg, options.limit), segmenter, 1))
    banks = gather_sides(infos, bg, segmenter, settings, workers=1, progress=lambda *_: None)
    sides = {side: bank.plates for side, bank in banks.items()}
    tasks = [task for task in make_plan(infos, sides, settings.plan) if task.status == "ok" and task.person]
    cache, steps = MaskCache(segmenter), variants()
    judged: dict[str, list[tuple[float | None, float | None]]] = {name: [] for name in ("source", *steps)}
    strips = []
    for number, task in enumerate(tasks):
        masked, chosen = cache.masked([task.record])[0], chosen_plate(task, sides)
        assert isinstance(masked, Masked)
        assert chosen is not None
        source = masked.image
        plate = fit_plate(read_plate(chosen.path)[0], (source.shape[0], source.shape[1]))
        pictures = {name: compose(source, masked.alpha, plate, one) for name, one in steps.items()}
        for name, picture in {"source": source, **pictures}.items():
            left = old_background(picture, source, plate, masked.alpha)
            judged[name].append((seam_ratio(picture, source, masked.alpha), left))
        if number % max(1, len(tasks) // 8) == 0:
            strips.append(Strip((source, *pictures.values()), ""))
    print(f"{'':18s} seam ratio  old background   ({len(tasks)} images, masks by {options.segmenter})")
    for name, values in judged.items():
        seam, left = (np.mean([value for value in column if value is not None]) for column in zip(*values))
        print(f"{name:18s} {seam:10.2f}  {left:14.2f}")
    if options.picture:
        write_image(options.picture, contact_sheet(strips[:8], ("source", *steps), columns=1))


if __name__ == "__main__":
    main()
