"""Speed of the composite pipeline, stage by stage in processor time of one core and as a whole on two, and its memory.

    python benchmarks/composite_speed.py FG BG [--data-root data] [--segmenter small] [--limit 200]

FG and BG are sets by name or path. Prints images per processor second of each stage, first with nothing in the cache,
then with masks and plates built, and the share of each stage. Then the whole `build_composite` with masks and plates built: its
processor time in one process (which a busy machine disturbs less), its wall time with two, and the largest resident memory
of the parent and of each process (Linux). What it writes goes to a temporary folder.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import cv2

from reid_data.compose.build import build_composite, chosen_plate, gather_sides
from reid_data.compose.picture import compose
from reid_data.compose.recipe import make_plan
from reid_data.compose.rim import old_background, seam_ratio
from reid_data.compose.settings import CompositeSettings, limit_records, resolve_settings
from reid_data.datasets import load_dataset
from reid_data.files import write_atomic
from reid_data.images import encode_jpeg
from reid_data.plates.files import fit_plate, read_plate
from reid_data.records import ReidDataset
from reid_data.segment import build_segmenter
from reid_data.segment.base import Segmenter
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
    parser.add_argument("--segmenter", default="small")
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
            sides = {side: bank.plates for side, bank in banks.items()}
            tasks = [task for task in make_plan(infos, sides, settings.plan) if task.plate is not None and task.person]
            clock("plan")
            cache = MaskCache(segmenter)
            for task in tasks:
                masked, chosen = cache.masked([task.record])[0], chosen_plate(task, sides)
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
        whole(fg, bg, Path(folder, "set"), segmenter, settings)


def whole(fg: ReidDataset, bg: ReidDataset, out: Path, segmenter: Segmenter, settings: CompositeSettings) -> None:
    """The command itself, everything in the cache: processor time in one process, wall time and memory in two."""
    before = time.process_time()
    build_composite(fg, bg, out, segmenter, settings)
    spent = time.process_time() - before
    peaks: dict[int, int] = {}
    began: list[float] = []

    def watch(stage: str, done: int, total: int) -> None:
        if stage == "composites":
            began.append(time.perf_counter())
            for child in multiprocessing.active_children():
                peaks[child.pid or 0] = peak_memory(child.pid)

    start = time.perf_counter()
    built = build_composite(fg, bg, out, segmenter, settings, workers=2, overwrite=True, progress=watch)
    images = sum(sum(part.values()) for part in built.counts.values())
    print(f"build_composite, masks and plates built: {images} images")
    print(f"  processor {spent:.1f} s: {images / spent:.0f} images/s on one free core, {2 * images / spent:.0f} on two")
    print(
        f"  with 2 processes: wall {time.perf_counter() - start:.1f} s, the composites {images / (began[-1] - began[0]):.0f} images/s"
    )
    children = ", ".join(f"{peak / 1e6:.0f}" for peak in sorted(peaks.values()))
    print(f"  largest resident memory: parent {peak_memory(None) / 1e6:.0f} MB, processes {children} MB")


def peak_memory(pid: int | None) -> int:
    """The largest resident memory so far of a process (None: this one), in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def report(state: str, spent: dict[str, float], images: int) -> None:
    """Print one run."""
    total = sum(spent.values())
    print(f"{state}: {images / total:.0f} images per processor second ({images} images)")
    for stage, seconds in spent.items():
        print(f"  {stage:20s} {1000 * seconds / images:7.2f} ms per image  {seconds / total:6.1%}")


if __name__ == "__main__":
    main()
