"""Segment Anything on pedestrian crops: batched encoder, one batched decoder pass, the best of three masks.

Kirillov et al., "Segment Anything", ICCV 2023; the package `segment-anything` and its weights come separately.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reid_data.devices import choose_device
from reid_data.errors import EnvironmentFault
from reid_data.files import settings_digest
from reid_data.manifest import Row, raised
from reid_data.masks import VERSIONS as MASK_VERSIONS
from reid_data.masks import judge
from reid_data.records import Record
from reid_data.segment.base import EXCLUSIVE, PlainSegmenter, refuse
from reid_data.segment.central import VERSIONS as PERSON_VERSIONS
from reid_data.segment.central import central_person
from reid_data.segment.sam_weights import checked_weights
from reid_data.segment.small_net import SmallSegmenter, other_arithmetic

VERSIONS = {"sam": 1}  # enlargement, prompts, decoding, choice

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

BOX = (0.03, 0.01, 0.97, 0.99)
"""The box prompt as shares of the crop: left, top, right, bottom."""

POINTS = ((0.5, 0.30), (0.5, 0.45))
"""Points on the person as shares of width and height: chest and hips, where legs apart do not matter."""

ENCODER_BATCH = 8
SOFTNESS = 1.5
"""Logits are divided by it before the sigmoid: a mask upsampled from a quarter of SAM's resolution is not surer than that."""


@dataclass(frozen=True)
class Candidates:
    """SAM's three masks of one crop: `chances` (3, H, W) float32, `ious` (3,) SAM's own estimate of each one's IoU."""

    chances: np.ndarray
    ious: np.ndarray


@dataclass(frozen=True)
class SamSegmenter(PlainSegmenter):
    """`model` is vit_b, vit_l or vit_h; `weights` a file ('' = the cache's); `device` auto, cpu or a CUDA device.

    On CUDA the encoder runs in bfloat16. `judge_with_small` lets the bundled network help to choose among the three masks.
    """

    model: str = "vit_h"
    weights: str = ""
    device: str = "auto"
    judge_with_small: bool = True
    name: str = field(default="sam", init=False)
    cached: bool = field(default=True, init=False)
    max_workers: int | None = field(default=1, init=False)

    @property
    def batch(self) -> int:
        """See `Segmenter`: on a GPU several passes of the encoder, of which all but the first find their pictures enlarged."""
        return 64 if choose_device(self.device) != "cpu" else 16

    def on(self, device: str) -> Self:
        """See `Segmenter`."""
        return replace(self, device=device)

    def configured(self, options: Mapping[str, Any]) -> Self:
        """See `Segmenter`. Raises EnvironmentFault where the package or the weights are missing."""
        refuse(self.name, options, EXCLUSIVE)
        sam_registry()
        checked_weights(options["sam_model"], options["sam_weights"])
        return replace(self.on(options["device"]), model=options["sam_model"], weights=options["sam_weights"])

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`. Reads the whole weights file to check it."""
        _, sha = checked_weights(self.model, self.weights)
        judge_digest = SmallSegmenter(device=self.device).digest() if self.judge_with_small else ""
        settings: Row = {"name": "sam", "model": self.model, "weights": sha, "judge": judge_digest}
        settings |= {"version": VERSIONS["sam"]} | other_arithmetic(self.device)
        return settings_digest(settings | raised(PERSON_VERSIONS | MASK_VERSIONS))

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`. Masks are soft and hold one person."""
        if not images:
            return [], []
        device = choose_device(self.device)
        sam = load_sam(self.model, self.weights, device)
        opinions = SmallSegmenter(device=self.device).chances(images) if self.judge_with_small else [None] * len(images)
        alphas = []
        for candidates, opinion in zip(find_candidates(sam, images), opinions):
            best = choose(candidates, opinion)
            alphas.append(central_person(candidates.chances[best]))
        return alphas, [judge(alpha).quality for alpha in alphas]


@cache
def load_sam(model: str, weights: str, device: str) -> "Sam":
    """The network, its weights checked against the known sha256, on `device`. Raises EnvironmentFault."""
    path, _ = checked_weights(model, weights)
    sam = sam_registry()[model]()
    sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return sam.eval().requires_grad_(False).to(device)


def sam_registry() -> dict[str, Any]:
    """The package's networks by name; raises EnvironmentFault where the package is missing."""
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise EnvironmentFault(
            "the segmenter 'sam' needs the package segment-anything. Install it with: pip install "
            "'person-reid-toolkit[sam]', or choose --segmenter small."
        ) from error
    return dict(sam_model_registry)


def find_candidates(sam: "Sam", images: Sequence[np.ndarray], batch: int = ENCODER_BATCH) -> list[Candidates]:
    """Candidates of each (H, W, 3) uint8 RGB crop, in order; crops may have different sizes.

    While the device works on one batch, a thread enlarges the pictures of the next.
    """
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    side = int(sam.image_encoder.img_size)
    found: list[Candidates] = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(enlarge_all, parts[0], side) if parts else None
        for number, part in enumerate(parts):
            assert waiting is not None
            pixels, sizes = waiting.result()
            if sam.device.type == "cuda":  # passes of one size round alike, whatever else is in the call
                pixels = np.concatenate([pixels, np.zeros((batch - len(part), *pixels.shape[1:]), np.uint8)])
                sizes += [(side, side)] * (batch - len(part))
            if number + 1 < len(parts):
                waiting = pool.submit(enlarge_all, parts[number + 1], side)
            found.extend(_one_batch(sam, pixels, sizes, part))
    return found


def enlarge_all(images: Sequence[np.ndarray], side: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Pictures with their long side at `side`, padded below and to the right: (N, side, side, 3) uint8, and their sizes."""
    canvas = np.zeros((len(images), side, side, 3), np.uint8)
    sizes = []
    for row, image in enumerate(images):
        scale = side / max(image.shape[:2])
        height, width = (max(1, int(length * scale + 0.5)) for length in image.shape[:2])
        smaller = scale < 1
        canvas[row, :height, :width] = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
        sizes.append((height, width))
    return canvas, sizes


@torch.inference_mode()
def _one_batch(
    sam: "Sam", pixels: np.ndarray, sizes: list[tuple[int, int]], images: Sequence[np.ndarray]
) -> list[Candidates]:
    device = sam.device
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
    x = normalise(sam, x, sizes)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        embeddings = sam.image_encoder(x)
    logits, ious = decode(sam, embeddings.float(), *make_prompts(sizes, device))
    side = sam.image_encoder.img_size
    found = []
    for row, ((height, width), image) in enumerate(zip(sizes, images)):
        share = logits.shape[-1] / side
        inner = logits[row, None, :, : max(1, round(height * share)), : max(1, round(width * share))]
        mask = functional.interpolate(inner, image.shape[:2], mode="bilinear", align_corners=False, antialias=True)[0]
        chance = torch.sigmoid(mask / SOFTNESS).float().cpu().numpy()
        found.append(Candidates(chance, ious[row].float().cpu().numpy()))
    return found


def normalise(sam: "Sam", x: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """SAM's colour normalisation of (N, 3, S, S) 0..255; the padding stays 0, as SAM was trained."""
    x = (x - sam.pixel_mean) / sam.pixel_std
    for row, (height, width) in enumerate(sizes):
        x[row, :, height:] = 0
        x[row, :, :, width:] = 0
    return x


def make_prompts(sizes: list[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Points (N, P, 2) and boxes (N, 4) in (x, y) pixels of the enlarged pictures, from the crop's geometry alone."""
    frame = torch.tensor([[width, height] for height, width in sizes], dtype=torch.float32, device=device)
    points = torch.tensor(POINTS, dtype=torch.float32, device=device) * frame[:, None]
    boxes = torch.tensor(BOX, dtype=torch.float32, device=device) * frame.repeat(1, 2)
    return points, boxes


def decode(sam: "Sam", embeddings: Tensor, points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (N, 3, S/4, S/4) as logits and estimated IoUs (N, 3) of N pictures, one prompt each, in one pass.

    The package's own decoder repeats every picture for every prompt; here prompt i belongs to picture i.
    """
    labels = torch.ones(points.shape[:2], dtype=torch.int64, device=points.device)
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=boxes, masks=None)
    decoder = sam.mask_decoder
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output.expand(len(embeddings), -1, -1), sparse], dim=1)
    place = sam.prompt_encoder.get_dense_pe().expand(len(embeddings), -1, -1, -1)
    answers, source = decoder.transformer(embeddings + dense, place, tokens)
    grid = source.transpose(1, 2).reshape(embeddings.shape)
    planes = decoder.output_upscaling(grid)
    count = decoder.num_mask_tokens
    kernels = torch.stack(
        [head(answers[:, 1 + number]) for number, head in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = torch.einsum("nkc,nchw->nkhw", kernels, planes)
    ious = decoder.iou_prediction_head(answers[:, 0])
    return masks[:, 1:count], ious[:, 1:count]


def choose(candidates: Candidates, opinion: np.ndarray | None) -> int:
    """Which of the three masks: SAM's own estimate, times how likely size and place are for a pedestrian in a crop, times
    agreement with `opinion`, the small network's (128, 64) chance, if it found anybody."""
    scores = [float(max(iou, 0.05)) for iou in candidates.ious]
    for number, chance in enumerate(candidates.chances):
        scores[number] *= likely_shape(chance > 0.5)
        if opinion is not None and (opinion > 0.5).mean() >= 0.05:
            scores[number] *= 0.1 + soft_iou(chance, opinion)
    return int(np.argmax(scores))


def likely_shape(mask: np.ndarray) -> float:
    """0.05 .. 1: whether a (H, W) bool mask could be the one standing person of a crop, by area, middle and height."""
    area = float(mask.mean())
    if area < 0.01:
        return 0.05
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.nonzero(mask)[1]
    centre = abs((columns.mean() + 0.5) / mask.shape[1] - 0.5)
    tall = (rows[-1] - rows[0] + 1) / mask.shape[0]
    size = min(1.0, area / 0.12) * float(np.clip((0.92 - area) / 0.25, 0, 1))
    return max(0.05, size * float(np.clip(1.4 - 3 * centre, 0, 1)) * min(1.0, tall / 0.6))


def soft_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two soft masks: sums of the smaller over sums of the larger values; `second` is brought to the first's size."""
    second = cv2.resize(second, (first.shape[1], first.shape[0]), interpolation=cv2.INTER_LINEAR)
    larger = float(np.maximum(first, second).sum())
    return float(np.minimum(first, second).sum()) / larger if larger else 1.0
