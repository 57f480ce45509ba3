"""What each part of Segment Anything's use here is worth: mean IoU on 40 fixed held-out Penn-Fudan crops, clean and degraded.

python benchmarks/segment_sam_parts.py --pennfudan DIR --sam-weights mobile_sam.pt
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from segment_heldout import heldout_crops, scores

from reid_data.segment import sam
from reid_data.segment.central import central_person
from reid_data.segment.prompts import NOTHING, Prompts
from reid_data.segment.sam_weights import model_of
from reid_data.segment.silhouette import mean_silhouette
from reid_data.segment.small_net import SmallSegmenter

COUNT = 40
WHOLE = np.array([0, 0, 1, 1], np.float32)


def ways(prompts: Prompts) -> dict[str, Prompts]:
    """The prompts as they are, and with each part taken away."""
    nowhere = np.full_like(prompts.labels, NOTHING)
    anybody = np.broadcast_to(mean_silhouette(), prompts.chances.shape)
    whole = np.broadcast_to(WHOLE, prompts.boxes.shape)
    return {
        "all prompts": prompts,
        "without points": replace(prompts, labels=nowhere),
        "box of the crop": replace(prompts, boxes=whole),
        "mask of anybody": replace(prompts, chances=anybody),
        "mask of anybody, no points": replace(prompts, chances=anybody, labels=nowhere),
    }


def main() -> None:
    """Print a line for each way: SAM alone, and fused with the small network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pennfudan", type=Path, required=True, help="folder with PNGImages and PedMasks")
    parser.add_argument("--sam-weights", required=True, help="a published SAM file")
    arguments = parser.parse_args()
    crops = heldout_crops(arguments.pennfudan)
    chosen = np.round(np.linspace(0, len(crops["truth"]) - 1, COUNT)).astype(int)
    truth = crops["truth"][chosen]
    net = sam.load_sam(model_of(Path(arguments.sam_weights)) or sam.TINY, arguments.sam_weights, "cpu")
    frames = (1024, 512, 384, 256) if sam.frame_of(net, crops["clean"][0])[0][0] == sam.TINY_FRAME else (1024,)
    small = SmallSegmenter(flip=True, device="cpu")
    print(f"{COUNT} crops{'':34s}clean: alone  fused   degraded: alone  fused")
    lines: dict[str, list[float]] = {}
    for kind in ("clean", "degraded"):
        images = list(crops[kind][chosen])
        chances = small.chances(images)
        people = [central_person(chance) for chance in chances]
        lines.setdefault("small, flip", []).extend([scores(np.stack(people), truth)["iou"]] * 2)
        for frame in frames:
            sam.TINY_FRAME = frame
            for name, prompts in ways(Prompts.of(people)).items():
                if frame not in (512, frames[0]) and name != "all prompts":
                    continue
                logits = np.stack(sam.ask(net, images, prompts))
                fused = np.stack([central_person(sam.fuse(one, chance)) for one, chance in zip(logits, chances)])
                found = [scores(1 / (1 + np.exp(-logits)), truth)["iou"], scores(fused, truth)["iou"]]
                lines.setdefault(f"long side {frame:4d}, {name}", []).extend(found)
    for name, values in lines.items():
        print(f"{name:42s}        {values[0]:.3f}  {values[1]:.3f}             {values[2]:.3f}  {values[3]:.3f}")


if __name__ == "__main__":
    main()
