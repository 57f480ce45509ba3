"""SAM with a two-block random network: batching against the package's own predictor, choice of masks, checked weights."""

import hashlib
import os
from functools import partial
from http.client import BadStatusLine
from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch

from reid_data import download
from reid_data.errors import EnvironmentFault, UsageError
from reid_data.files import sha256_file
from reid_data.masks import iou
from reid_data.records import Record
from reid_data.segment import sam as sam_module
from reid_data.segment import sam_weights

segment_anything = pytest.importorskip("segment_anything")
SIDE = 128


def tiny_sam(seed: int = 0) -> torch.nn.Module:
    """A `Sam` with two encoder blocks and random weights, pictures of side SIDE."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=32,
        img_size=SIDE,
        mlp_ratio=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=2,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[1],
        window_size=4,
        out_chans=32,
    )
    prompts = PromptEncoder(
        embed_dim=32, image_embedding_size=(SIDE // 16,) * 2, input_image_size=(SIDE, SIDE), mask_in_chans=16
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4),
        transformer_dim=32,
        iou_head_depth=3,
        iou_head_hidden_dim=32,
    )
    sam = Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return sam.eval().requires_grad_(False)


@pytest.fixture
def crops() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    sizes = [(128, 64), (96, 48), (128, 64), (60, 60), (200, 64)]
    return [cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 3) for size in sizes]


def test_batched_decoder_equals_the_packages_own_one_at_a_time(crops: list[np.ndarray]) -> None:
    sam = tiny_sam()
    pixels, sizes = sam_module.enlarge_all(crops, SIDE)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    embeddings = sam.image_encoder(sam_module.normalise(sam, x, sizes))
    points, boxes = sam_module.make_prompts(sizes, torch.device("cpu"))
    masks, ious = sam_module.decode(sam, embeddings, points, boxes)
    assert masks.shape == (5, 3, SIDE // 4, SIDE // 4)
    for row in range(len(crops)):
        labels = torch.ones((1, points.shape[1]), dtype=torch.int64)
        sparse, dense = sam.prompt_encoder(
            points=(points[row : row + 1], labels), boxes=boxes[row : row + 1], masks=None
        )
        expected, expected_ious = sam.mask_decoder(
            image_embeddings=embeddings[row : row + 1],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        torch.testing.assert_close(masks[row : row + 1], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ious[row : row + 1], expected_ious, atol=1e-4, rtol=1e-4)


def test_normalise_equals_the_packages_preprocess(crops: list[np.ndarray]) -> None:
    sam = tiny_sam()
    pixels, sizes = sam_module.enlarge_all(crops[1:2], SIDE)
    height, width = sizes[0]
    bare = torch.from_numpy(pixels[0, :height, :width]).permute(2, 0, 1).float()
    mine = sam_module.normalise(sam, torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), sizes)
    torch.testing.assert_close(mine[0], sam.preprocess(bare))


def test_candidates_do_not_depend_on_the_batch(crops: list[np.ndarray]) -> None:
    sam = tiny_sam()
    together = sam_module.find_candidates(sam, crops, batch=4)
    alone = [sam_module.find_candidates(sam, [crop], batch=1)[0] for crop in crops]
    for one, other, crop in zip(together, alone, crops, strict=True):
        assert one.chances.shape == (3, *crop.shape[:2])
        np.testing.assert_allclose(one.chances, other.chances, atol=1e-4)
        np.testing.assert_allclose(one.ious, other.ious, atol=1e-4)


def test_a_bright_half_of_the_logits_lands_on_that_half_of_the_crop() -> None:
    """Padding is cut off before enlarging: a plane that is positive left of the crop's middle gives a left half."""
    sam = tiny_sam()

    def decode(_sam: object, embeddings: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        plane = torch.full((1, 3, 32, 32), -8.0)
        plane[..., :8] = 8  # the crop is 128 x 64 = 32 x 16 cells
        return plane, torch.zeros(1, 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sam_module, "decode", decode)
        chance = sam_module.find_candidates(sam, [np.zeros((256, 128, 3), np.uint8)])[0].chances[0]
    assert chance.shape == (256, 128)
    assert chance[:, :56].min() > 0.9
    assert chance[:, 72:].max() < 0.1


def planes(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    found = np.zeros((3, 128, 64), np.float32)
    for row, (top, bottom, left, right) in enumerate(boxes):
        found[row, top:bottom, left:right] = 1
    return found


def test_choice_prefers_a_person_over_a_shirt_and_over_everything() -> None:
    candidates = sam_module.Candidates(
        planes((30, 60, 22, 42), (5, 123, 16, 48), (0, 128, 0, 64)), np.array([0.95, 0.85, 0.97], np.float32)
    )
    assert sam_module.choose(candidates, None) == 1


def test_choice_follows_the_small_network_between_equals() -> None:
    candidates = sam_module.Candidates(
        planes((5, 123, 16, 48), (5, 123, 10, 30), (0, 5, 0, 5)), np.array([0.9, 0.9, 0.9], np.float32)
    )
    assert sam_module.choose(candidates, None) == 0
    assert sam_module.choose(candidates, candidates.chances[1]) == 1


def test_choice_ignores_a_small_network_that_found_nobody() -> None:
    candidates = sam_module.Candidates(planes((5, 123, 16, 48), (30, 60, 22, 42), (0, 5, 0, 5)), np.ones(3, np.float32))
    assert sam_module.choose(candidates, np.zeros((128, 64), np.float32)) == 0


def test_missing_weights_name_command_and_alternative(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"fetch-weights vit_b.*--segmenter small") as caught:
        sam_weights.checked_weights("vit_b", "")
    assert caught.value.exit_code == 4
    with pytest.raises(UsageError, match="vit_b, vit_h, vit_l"):
        sam_weights.checked_weights("vit_x", "")


def test_foreign_weights_are_refused_before_they_are_read(tmp_path: object) -> None:
    path = f"{tmp_path}/evil.pth"
    with open(path, "wb") as file:
        file.write(b"not weights")
    with pytest.raises(EnvironmentFault, match="is not the published file"):
        sam_module.load_sam("vit_b", path, "cpu")


def test_segment_end_to_end_with_checked_tiny_weights(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/tiny.pth"
    torch.save(tiny_sam().state_dict(), path)
    monkeypatch.setitem(sam_weights.MODELS, "vit_b", ("tiny.pth", sha256_file(path)))
    monkeypatch.setattr(sam_module, "sam_registry", lambda: {"vit_b": partial(tiny_sam, 1)})
    segmenter = sam_module.SamSegmenter("vit_b", path, "cpu", judge_with_small=False)
    records = [Record("r", f"{index}.jpg", 1, 1, "train") for index in range(3)]
    images = [np.random.default_rng(index).integers(0, 256, (96, 40, 3), np.uint8) for index in range(3)]
    alphas, qualities = segmenter.segment(records, images)
    assert [alpha.shape for alpha in alphas] == [(96, 40)] * 3
    assert all(alpha.dtype == np.float32 and 0 <= alpha.min() <= alpha.max() <= 1 for alpha in alphas)
    assert all(0 <= quality <= 1 for quality in qualities)
    assert segmenter.segment([], []) == ([], [])


class Answer:
    """What `urlopen` gives."""

    def __init__(self, data: bytes) -> None:
        self.data, self.headers = data, {"Content-Length": str(len(data))}

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, size: int) -> bytes:
        piece, self.data = self.data[:size], self.data[size:]
        return piece


def test_fetch_keeps_nothing_of_a_wrong_file_and_all_of_the_right_one(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REID_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "require_space", lambda *_: None)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda url, timeout: Answer(b"right"))
    with pytest.raises(EnvironmentFault, match="discarded"):
        sam_weights.fetch_weights("vit_b")
    assert list(sam_weights.cache_folder("weights").iterdir()) == []
    monkeypatch.setitem(sam_weights.MODELS, "vit_b", ("b.pth", hashlib.sha256(b"right").hexdigest()))
    path = sam_weights.fetch_weights("vit_b")
    assert path.read_bytes() == b"right"
    monkeypatch.setattr(download.urllib.request, "urlopen", None)
    assert sam_weights.fetch_weights("vit_b") == path


@pytest.mark.parametrize(
    "fault",
    [URLError("Name or service not known"), TimeoutError("slow"), ConnectionResetError("reset"), BadStatusLine("x")],
)
def test_fetch_without_a_network_says_what_to_do(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(url: str, timeout: float) -> None:
        raise fault

    monkeypatch.setenv("REID_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "require_space", lambda *_: None)
    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(EnvironmentFault, match=r"cannot fetch https:.*Copy the file to '.*b.*pth'"):
        sam_weights.fetch_weights("vit_b")
    assert list(sam_weights.cache_folder("weights").iterdir()) == []


@pytest.mark.skipif("REID_SAM_WEIGHTS" not in os.environ, reason="set REID_SAM_WEIGHTS to a published weights file")
def test_published_weights_find_drawn_people() -> None:
    from reid_data.synth.generate import sample

    path = os.environ["REID_SAM_WEIGHTS"]
    model = sam_weights.model_of(Path(path))
    assert model is not None, f"{path} has none of the published names"
    drawn = [sample(77, index, "market") for index in range(6)]
    segmenter = sam_module.SamSegmenter(model, path)
    alphas, _ = segmenter.segment([Record("r", "x.jpg", 1, 1, "train")] * 6, [image for image, _, _ in drawn])
    found = [iou(alpha > 0.5, truth > 0.5) for alpha, (_, truth, _) in zip(alphas, drawn, strict=True)]
    assert np.median(found) > 0.75
