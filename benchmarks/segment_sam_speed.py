"""SAM's batched path against the naive loop with the package's `SamPredictor`, at any size; random weights.

  python benchmarks/segment_sam_speed.py                                  toy network, processor
  python benchmarks/segment_sam_speed.py --model vit_h --device cuda --images 512 --batch 32

Speed does not depend on the weights. The naive loop sets one picture at a time and asks once, as most scripts do.
"""

import argparse
import time
from functools import partial
from statistics import median

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from reid_data.segment.prompts import Prompts
from reid_data.segment.sam import ask, sam_registry
from reid_data.segment.silhouette import mean_silhouette


def toy(side: int = 256) -> Sam:
    """Two encoder blocks, 64 channels, pictures of side `side`."""
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=64,
        img_size=side,
        mlp_ratio=4,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=4,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[1],
        window_size=7,
        out_chans=64,
    )
    prompts = PromptEncoder(
        embed_dim=64, image_embedding_size=(side // 16,) * 2, input_image_size=(side, side), mask_in_chans=16
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=128, num_heads=8)
    decoder = MaskDecoder(num_multimask_outputs=3, transformer=transformer, transformer_dim=64)
    return Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])


def naive(sam: Sam, images: list[np.ndarray], prompts: Prompts) -> None:
    """One picture at a time, with the same points and boxes (the mask as a prompt costs next to nothing)."""
    predictor = SamPredictor(sam)
    for row, image in enumerate(images):
        height, width = image.shape[:2]
        predictor.set_image(image)
        predictor.predict(
            point_coords=prompts.points[row] * [width, height],
            point_labels=prompts.labels[row],
            box=prompts.boxes[row] * [width, height, width, height],
            multimask_output=False,
        )


def timed(work: partial[object], device: str) -> float:
    """Seconds of wall clock, the device's queue emptied."""
    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Print images per second of both ways, timed in turn, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="toy", help="toy, vit_t, vit_b, vit_l or vit_h")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    sam = (toy() if arguments.model == "toy" else sam_registry()[arguments.model]()).eval().requires_grad_(False)
    sam.to(arguments.device)
    images = list(np.random.default_rng(0).integers(0, 256, (arguments.images, 128, 64, 3), np.uint8))
    prompts = Prompts.of([mean_silhouette()] * len(images))
    ways = {
        "naive": partial(naive, sam, images, prompts),
        "batched": partial(ask, sam, images, prompts, arguments.batch),
    }
    for way in ways.values():
        timed(way, arguments.device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way, arguments.device))
    for name, taken in seconds.items():
        fast, slow = arguments.images / min(taken), arguments.images / max(taken)
        print(f"{name:8s} {arguments.images / median(taken):8.1f} images/s ({slow:.1f} to {fast:.1f})")
    ratios = [one / other for one, other in zip(seconds["naive"], seconds["batched"])]
    print(
        f"batched is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}; "
        f"{arguments.model}, {arguments.device}, {arguments.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
