"""The pictures of docs/synthetic.md: 24 synthetic crops of each network, and some crops with mask and plate.

python benchmarks/synthetic_sheet.py [--out docs/images] [--seed 0]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from reid_data.images import decode_image, encode_jpeg, write_image
from reid_data.sheets import Strip, draw_sheet
from reid_data.synth.crop import Picture
from reid_data.synth.generate import render
from reid_data.synth.layout import plan_set
from reid_data.synth.place.scene import NETWORKS, draw_scene

COLUMNS, ROWS = 12, 2


def pictures(network: str, seed: int) -> list[Picture]:
    """Random training pictures of a default set, a few per camera."""
    jobs = [job for job in plan_set(network, 700, 70, seed) if job.split == "train" and job.scene < 2]
    chosen = [jobs[number] for number in np.random.default_rng(seed).permutation(len(jobs))[: COLUMNS * ROWS]]
    scenes = {(job.camid, job.scene): draw_scene(seed, network, job.camid, job.scene) for job in chosen}
    return [render(job, scenes[job.camid, job.scene], network, seed) for job in chosen]


def enlarge(image: np.ndarray, factor: float) -> np.ndarray:
    """`image` (H, W, 3) larger by `factor`."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def main() -> None:
    """Draw and write both pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows, truth = [], []
    for network in NETWORKS:
        drawn = pictures(network, options.seed)
        shown = [enlarge(decode_image(encode_jpeg(one.image, one.quality)), 2) for one in drawn]
        rows += [Strip(tuple(shown[start : start + COLUMNS])) for start in range(0, len(shown), COLUMNS)]
        for one in drawn[:3]:
            mask = np.repeat((one.alpha[..., None] * 255).astype(np.uint8), 3, axis=2)
            truth += [enlarge(layer, 1.4) for layer in (one.image, mask, one.plate)]
    write_image(options.out / "synthetic.jpg", draw_sheet(rows, rows[0].pictures[0].shape[:2], gap=0), 85)
    write_image(options.out / "synthetic-truth.jpg", draw_sheet([Strip(tuple(truth))], truth[0].shape[:2], gap=0), 88)


if __name__ == "__main__":
    main()
