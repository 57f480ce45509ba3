"""Speed of the composite pipeline, stage by stage, in processor time of one core, and its memory.

    python benchmarks/composite_speed.py FG BG [--data-root data] [--segmenter grabcut] [--limit 200]

FG and BG are sets by name or path. Prints images per processor second of each stage, first with nothing in the cache,
then with masks and plates built, and the share of each stage in the second case. What it writes goes to a temporary
folder. Processor time, so that a busy machine disturbs it little; N free cores give about N times as much.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import cv2

from reid_data.build import backdrop, chosen_backdrop, gather_sides
from reid_data.build_settings import CompositeSettings, limit_records, resolve_settings
from reid_data.compose.picture import compose
from reid_data.compose.recipe import make_plan
from reid_data.compose.rim import old_background, seam_ratio
from reid_data.datasets import load_dataset
from reid_data.files import write_atomic
from reid_data.images import encode_jpeg
from reid_data.plate_files import fit_plate, read_plate
from reid_data.segment import build_segmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.survey import survey


class Clock:
    """Processor seconds by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.last = time.process_time()

    def __call__(self, stage: str) -> None:
        """Book the time since the last call under `stage`."""
        now = time.process_time()
        self.spent[stage] = self.spent.get(stage, 0.0) + now - self.last
        self.last = now


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fg")
    parser.add_argument("bg")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--segmenter", default="grabcut")
    parser.add_argument("--limit", type=int, default=200)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    fg, bg = load_dataset(options.fg, options.data_root), load_dataset(options.bg, options.data_root)
    settings = resolve_settings(CompositeSettings(limit=options.limit), bg)
    segmenter = build_segmenter(options.segmenter)
    records = limit_records(fg, options.limit)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REID_CACHE"] = folder
        for state in ("nothing kept", "masks and plates built"):
            clock = Clock()
            infos = list(survey(records, segmenter, 1))
            clock("masks")
            banks = gather_sides(infos, bg, segmenter, settings, workers=1, progress=lambda *_: None)
            clock("plates")
            sides = {side: [backdrop(plate) for plate in bank.plates] for side, bank in banks.items()}
            tasks = [
                task for task in make_plan(infos, sides, settings.plan) if task.backdrop is not None and task.person
            ]
            clock("plan")
            cache = MaskCache(segmenter)
            for task in tasks:
                masked, chosen = cache.masked([task.record])[0], chosen_backdrop(task, sides)
                assert isinstance(masked, Masked)
                assert chosen is not None
                clock("read image and mask")
                plate = fit_plate(read_plate(chosen.path)[0], (masked.image.shape[0], masked.image.shape[1]))
                clock("read plate")
                picture = compose(masked.image, masked.alpha, plate, settings.steps)
                clock("compose")
                seam_ratio(picture, masked.image, masked.alpha)
                old_background(picture, masked.image, plate, masked.alpha)
                clock("judge")
                write_atomic(Path(folder, "out.jpg"), encode_jpeg(picture, settings.steps.jpeg_quality))
                clock("encode and write")
            report(state, clock.spent, len(records))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def report(state: str, spent: dict[str, float], images: int) -> None:
    """Print one run."""
    total = sum(spent.values())
    print(f"{state}: {images / total:.0f} images per processor second ({images} images)")
    for stage, seconds in spent.items():
        print(f"  {stage:20s} {1000 * seconds / images:7.2f} ms per image  {seconds / total:6.1%}")


if __name__ == "__main__":
    main()
