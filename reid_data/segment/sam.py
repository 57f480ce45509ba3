"""Segment Anything on pedestrian crops: asked where the small network sees the person, and fused with what that saw.

Kirillov et al., "Segment Anything", ICCV 2023; the package `segment-anything` and the weights come separately.
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
from reid_data.segment.prompts import Prompts, logit
from reid_data.segment.sam_weights import checked_weights
from reid_data.segment.small_net import SmallSegmenter, enlarge, other_arithmetic
from reid_data.segment.tiny_vit import TinyViT

VERSIONS = {"sam": 2}  # enlargement, prompts, decoding, fusion

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

TINY = "vit_t"
TINY_FRAME = 512
"""Long side in pixels of a crop for TinyViT, which has no position embedding and takes any size. The others need their own square:
four times as many pixels, half of them padding."""

ENCODER_BATCH = 8
"""Pictures per pass on a GPU. On the processor one: a pass of several is no faster, and rounds differently."""

SOFTNESS = 1.5
"""Logits are divided by it before the sigmoid: a mask upsampled from a quarter of SAM's resolution is not surer than that."""

SHARE = 0.5
"""SAM's part in the mean of its logits and the small network's."""


@dataclass(frozen=True)
class SamSegmenter(PlainSegmenter):
    """`model` is vit_t (MobileSAM), vit_b, vit_l or vit_h; `weights` a file ('' = the cache's); `device` auto, cpu or a CUDA device.

    On CUDA the encoder runs in bfloat16. The bundled network says where the person is; where it sees nobody, nobody is.
    """

    model: str = "vit_h"
    weights: str = ""
    device: str = "auto"
    name: str = field(default="sam", init=False)
    cached: bool = field(default=True, init=False)
    tells_empties: bool = field(default=True, init=False)
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
        settings: Row = {"name": "sam", "model": self.model, "weights": sha, "small": self._small.digest()}
        settings |= {"version": VERSIONS["sam"]} | other_arithmetic(self.device)
        return settings_digest(settings | raised(PERSON_VERSIONS | MASK_VERSIONS))

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`. Masks are soft and hold one person."""
        if not images:
            return [], []
        chances = self._small.chances(images)
        people = [central_person(chance) for chance in chances]
        seen = [number for number, person in enumerate(people) if person.any()]
        alphas = [np.zeros(image.shape[:2], np.float32) for image in images]
        if seen:
            sam = load_sam(self.model, self.weights, choose_device(self.device))
            answers = ask(sam, [images[number] for number in seen], Prompts.of([people[number] for number in seen]))
            for number, answer in zip(seen, answers):
                alphas[number] = central_person(fuse(answer, enlarge(chances[number], images[number])))
        return alphas, [judge(alpha).quality for alpha in alphas]

    @property
    def _small(self) -> SmallSegmenter:
        return SmallSegmenter(flip=True, device=self.device)


@cache
def load_sam(model: str, weights: str, device: str) -> "Sam":
    """The network, its weights checked against the known sha256, on `device`. Raises EnvironmentFault."""
    path, _ = checked_weights(model, weights)
    sam = sam_registry()[model]()
    sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return sam.eval().requires_grad_(False).to(device)


def sam_registry() -> dict[str, Any]:
    """What makes each network, by name; raises EnvironmentFault where the package is missing."""
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise EnvironmentFault(
            "the segmenter 'sam' needs the package segment-anything. Install it with: pip install "
            "'person-reid-toolkit[sam]', or choose --segmenter small."
        ) from error
    return {TINY: mobile_sam, **sam_model_registry}


def mobile_sam() -> "Sam":
    """MobileSAM: Segment Anything's prompt encoder and decoder behind TinyViT, with random weights."""
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    encoder, width = TinyViT(), 256
    side = encoder.img_size
    prompts = PromptEncoder(
        embed_dim=width, image_embedding_size=(side // 16,) * 2, input_image_size=(side,) * 2, mask_in_chans=16
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=width, mlp_dim=2048, num_heads=8),
        transformer_dim=width,
    )
    return Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])


def fuse(logits: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """A (H, W) float32 mask out of SAM's logits and the small network's chance: the sigmoid of the mean of both as logits."""
    mixed = SHARE * logits / SOFTNESS + (1 - SHARE) * logit(chance)
    return (1 / (1 + np.exp(-mixed))).astype(np.float32)


def frame_of(sam: "Sam", image: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """((height, width) to which a picture is resized, (height, width) of the canvas in whose corner it lies)."""
    encoder = sam.image_encoder
    free = isinstance(encoder, TinyViT)
    side = TINY_FRAME if free else int(encoder.img_size)
    scale = side / max(image.shape[:2])
    height, width = (max(1, int(length * scale + 0.5)) for length in image.shape[:2])
    return (height, width), (_to_cells(height), _to_cells(width)) if free else (side, side)


def _to_cells(length: int) -> int:
    """The next multiple of an embedding's cell of 16 pixels, and enough for TinyViT's strides."""
    return -(-length // 16) * 16


def ask(sam: "Sam", images: Sequence[np.ndarray], prompts: Prompts, batch: int | None = None) -> list[np.ndarray]:
    """SAM's (H, W) float32 logits of the person in each (H, W, 3) uint8 RGB crop, in order.

    Crops may have different sizes; those of one canvas share a pass. While the device works on one, a thread enlarges the next.
    """
    size = batch or (ENCODER_BATCH if sam.device.type == "cuda" else 1)
    groups: dict[tuple[int, int], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(frame_of(sam, image)[1], []).append(number)
    passes = [part[start : start + size] for part in groups.values() for start in range(0, len(part), size)]
    found: dict[int, np.ndarray] = {}
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(enlarge_all, sam, [images[number] for number in part]) for part in passes[:1]]
        for place, part in enumerate(passes):
            pixels, sizes = waiting.pop().result()
            waiting += [pool.submit(enlarge_all, sam, [images[n] for n in other]) for other in passes[place + 1 :][:1]]
            logits = _one_pass(sam, pixels, sizes, prompts[part], size)
            found |= {
                number: _at_size(logits[row], sizes[row], images[number].shape[:2]) for row, number in enumerate(part)
            }
    return [found[number] for number in range(len(images))]


def enlarge_all(sam: "Sam", images: Sequence[np.ndarray]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Pictures of one canvas, resized into its upper left corner: (N, height, width, 3) uint8, and their sizes there."""
    frames = [frame_of(sam, image) for image in images]
    canvas = np.zeros((len(images), *frames[0][1], 3), np.uint8)
    for row, (image, ((height, width), _)) in enumerate(zip(images, frames)):
        smaller = height < image.shape[0]
        canvas[row, :height, :width] = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        )
    return canvas, [size for size, _ in frames]


@torch.inference_mode()
def _one_pass(sam: "Sam", pixels: np.ndarray, sizes: Sequence[tuple[int, int]], prompts: Prompts, size: int) -> Tensor:
    """(N, h, w) logits at a quarter of the canvas. A GPU's pass is filled up, so that one size of pass rounds alike."""
    device, count = sam.device, len(pixels)
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
    x = normalise(sam, x, sizes)
    if device.type == "cuda":
        x = functional.pad(x, (0, 0, 0, 0, 0, 0, 0, size - count))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        embeddings = sam.image_encoder(x)[:count].float()
    return decode(sam, embeddings, sizes, prompts)


def _at_size(logits: Tensor, size: tuple[int, int], wanted: tuple[int, int]) -> np.ndarray:
    """The part of a picture's logits that is not padding, at the picture's own size."""
    inner = logits[None, None, : max(1, round(size[0] / 4)), : max(1, round(size[1] / 4))]
    found = functional.interpolate(inner, wanted, mode="bilinear", align_corners=False, antialias=True)
    return found[0, 0].float().cpu().numpy()


def normalise(sam: "Sam", x: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """SAM's colour normalisation of (N, 3, S, S) 0..255; the padding stays 0, as SAM was trained."""
    x = (x - sam.pixel_mean) / sam.pixel_std
    for row, (height, width) in enumerate(sizes):
        x[row, :, height:] = 0
        x[row, :, :, width:] = 0
    return x


def decode(sam: "Sam", embeddings: Tensor, sizes: Sequence[tuple[int, int]], prompts: Prompts) -> Tensor:
    """Masks as logits (N, 4 h, 4 w) from embeddings (N, C, h, w) of N pictures, one set of prompts each, in one pass.

    The package's own decoder repeats every picture for every prompt; here prompt i belongs to picture i. Of its four masks this
    is the one meant for a prompt that leaves no doubt. A canvas smaller than SAM's square is that corner of it.
    """
    device, (tall, wide) = embeddings.device, embeddings.shape[-2:]
    frame = torch.tensor([[width, height] for height, width in sizes], dtype=torch.float32, device=device)
    points = torch.from_numpy(prompts.points).to(device) * frame[:, None]
    boxes = torch.from_numpy(prompts.boxes).to(device) * frame.repeat(1, 2)
    corners = [(max(1, round(height / 4)), max(1, round(width / 4))) for height, width in sizes]
    masks = torch.from_numpy(prompts.mask(corners, 4 * tall, 4 * wide)).to(device)
    labels = torch.from_numpy(prompts.labels).to(device)
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=boxes, masks=masks)
    decoder = sam.mask_decoder
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output.expand(len(embeddings), -1, -1), sparse], dim=1)
    place = sam.prompt_encoder.get_dense_pe()[:, :, :tall, :wide].expand(len(embeddings), -1, -1, -1)
    answers, source = decoder.transformer(embeddings + dense, place, tokens)
    planes = decoder.output_upscaling(source.transpose(1, 2).reshape(embeddings.shape))
    kernel = decoder.output_hypernetworks_mlps[0](answers[:, 1])
    found: Tensor = torch.einsum("nc,nchw->nhw", kernel, planes)
    return found
