"""IoU, empty scenes, speed and size of the segmenters on Penn-Fudan's held-out photographs.

python benchmarks/segment_quality.py --pennfudan DIR [--only small,small-synth,grabcut,mean] [--weights FILE] [--sam-weights FILE]
"""

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np
from segment_heldout import empty_crops, heldout_crops, scores

from reid_data.records import Record
from reid_data.segment.base import Segmenter
from reid_data.segment.grabcut import SAMPLE, GrabCutSegmenter, fitted
from reid_data.segment.sam import SamSegmenter
from reid_data.segment.sam_weights import model_of
from reid_data.segment.silhouette import mean_silhouette
from reid_data.segment.small_net import BUNDLED, SmallSegmenter, bundled_weights

SILENT = 0.02


class MeanMask:
    """The mean silhouette whatever the picture."""

    def segment(self, records: list[Record], images: list[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """One and the same mask."""
        return [mean_silhouette() + 0.1] * len(images), [1.0] * len(images)


def rows(weights: str, sam_weights: str, crops: np.ndarray) -> dict[str, Segmenter | MeanMask]:
    """Name of each table row -> segmenter. GrabCut is fitted to some of the `crops`, without their masks, as to any set."""
    plain = GrabCutSegmenter()
    some = [crops[round(place)] for place in np.linspace(0, len(crops) - 1, SAMPLE)]
    named: dict[str, Segmenter | MeanMask] = {
        "mean": MeanMask(),
        "grabcut": fitted(plain, some),
        "grabcut plain": plain,
    }
    for name in BUNDLED:
        if bundled_weights(name).is_file():
            named[name] = SmallSegmenter(name, device="cpu")
            named[f"{name} flip"] = SmallSegmenter(name, flip=True, device="cpu")
    if weights:
        named["weights"] = SmallSegmenter("weights", weights, device="cpu")
        named["weights flip"] = SmallSegmenter("weights", weights, flip=True, device="cpu")
    if sam_weights:
        model = model_of(Path(sam_weights))
        assert model, f"{sam_weights} has none of the published names"
        named["sam"] = SamSegmenter(model, sam_weights)
    return named


def masks_of(segmenter: Segmenter | MeanMask, images: np.ndarray) -> np.ndarray:
    """(N, 128, 64) masks as the command `segment` would write them."""
    records = [Record("", str(number), 1, 1, "train") for number in range(len(images))]
    found = [segmenter.segment(records[i : i + 64], list(images[i : i + 64]))[0] for i in range(0, len(images), 64)]
    return np.stack([alpha for part in found for alpha in part])


def speed_of(segmenter: Segmenter | MeanMask, images: np.ndarray) -> float:
    """Images per second of processor time, clean-up and verdict included."""
    began = time.process_time()
    masks_of(segmenter, images)
    return len(images) / max(time.process_time() - began, 1e-9)


def main() -> None:
    """Print one line per segmenter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pennfudan", type=Path, required=True, help="folder with PNGImages and PedMasks")
    parser.add_argument("--only", default="", help="comma-separated rows")
    parser.add_argument("--rounds", type=int, default=5, help="of the speed; median (least to most)")
    parser.add_argument("--weights", default="", help="a further weights file to judge")
    parser.add_argument(
        "--sam-weights", default="", help="a published SAM file: adds a row (for all but vit_t a GPU is wanted)"
    )
    arguments = parser.parse_args()
    crops, empty = heldout_crops(arguments.pennfudan), empty_crops(arguments.pennfudan)
    wanted = [name for name in arguments.only.split(",") if name]
    print(f"{len(crops['clean'])} crops, {len(empty)} empty scenes")
    print("segmenter          clean  worst  >=.8   out2 | degr.  worst  >=.8   out2 | silent  pixels | img/CPU-s")
    for name, segmenter in rows(arguments.weights, arguments.sam_weights, crops["clean"]).items():
        if wanted and name.removesuffix(" flip") not in wanted:
            continue
        masks_of(segmenter, crops["clean"][:16])
        clean, degraded = masks_of(segmenter, crops["clean"]), masks_of(segmenter, crops["degraded"])
        speeds = [speed_of(segmenter, crops["clean"]) for _ in range(arguments.rounds)]
        called = (masks_of(segmenter, empty) > 0.5).mean((1, 2))
        cells = [
            " ".join(f"{value:6.3f}" for value in scores(found, crops["truth"]).values()) for found in (clean, degraded)
        ]
        print(
            f"{name:16s} {cells[0]} | {cells[1]} | {(called < SILENT).mean():6.3f} {called.mean():6.3f} | "
            f"{median(speeds):6.0f} ({min(speeds):.0f} to {max(speeds):.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
