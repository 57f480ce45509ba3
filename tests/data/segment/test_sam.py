"""SAM with small random networks: batching against the package's own predictor, prompts, fusion, checked weights."""

import hashlib
import os
from collections.abc import Callable
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
from reid_data.segment import sam_weights, tiny_vit
from reid_data.segment.prompts import BACKGROUND, NOTHING, PERSON, Prompts
from reid_data.segment.tiny_vit import TinyViT
from tests.data.people import ellipse_mask, person_picture

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


def tiny_mobile_sam() -> torch.nn.Module:
    """MobileSAM's shapes with random weights."""
    torch.manual_seed(0)
    return sam_module.mobile_sam().eval().requires_grad_(False)


def tiny_file(sha256: str) -> sam_weights.Published:
    """What a published file would be called."""
    return sam_weights.Published("tiny.pth", sam_weights.META, sha256, 1_000_000)


@pytest.fixture
def crops() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    sizes = [(128, 64), (96, 48), (128, 64), (60, 60), (200, 64)]
    return [cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 3) for size in sizes]


@pytest.fixture
def prompts(crops: list[np.ndarray]) -> Prompts:
    """One for each crop, of people who stand elsewhere in each."""
    people = [np.roll(ellipse_mask((128, 64)), 3 * number, 1).astype(np.float32) for number in range(len(crops))]
    return Prompts.of(people)


def test_batched_decoder_equals_the_packages_own_one_at_a_time(crops: list[np.ndarray], prompts: Prompts) -> None:
    sam = tiny_sam()
    pixels, sizes = sam_module.enlarge_all(sam, crops)
    assert pixels.shape == (5, SIDE, SIDE, 3)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    embeddings = sam.image_encoder(sam_module.normalise(sam, x, sizes))
    found = sam_module.decode(sam, embeddings, sizes, prompts)
    assert found.shape == (5, SIDE // 4, SIDE // 4)
    for row, (height, width) in enumerate(sizes):
        frame = torch.tensor([width, height])
        points = torch.from_numpy(prompts.points[row]) * frame
        sparse, dense = sam.prompt_encoder(
            points=(points[None], torch.from_numpy(prompts.labels[row])[None]),
            boxes=(torch.from_numpy(prompts.boxes[row]) * frame.repeat(2))[None],
            masks=torch.from_numpy(prompts[[row]].mask([(height // 4, width // 4)], SIDE // 4, SIDE // 4)),
        )
        expected, _ = sam.mask_decoder(
            image_embeddings=embeddings[row : row + 1],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        torch.testing.assert_close(found[row], expected[0, 0], atol=1e-4, rtol=1e-4)


def test_normalise_equals_the_packages_preprocess(crops: list[np.ndarray]) -> None:
    sam = tiny_sam()
    pixels, sizes = sam_module.enlarge_all(sam, crops[1:2])
    height, width = sizes[0]
    bare = torch.from_numpy(pixels[0, :height, :width]).permute(2, 0, 1).float()
    mine = sam_module.normalise(sam, torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), sizes)
    torch.testing.assert_close(mine[0], sam.preprocess(bare))


@pytest.mark.parametrize("make", [tiny_sam, tiny_mobile_sam])
def test_an_answer_does_not_depend_on_the_batch(
    make: Callable[[], torch.nn.Module], crops: list[np.ndarray], prompts: Prompts
) -> None:
    sam = make()
    alone = [sam_module.ask(sam, [crop], prompts[[row]])[0] for row, crop in enumerate(crops)]
    for one, other in zip(alone, sam_module.ask(sam, crops, prompts), strict=True):
        np.testing.assert_array_equal(one, other, "on the processor to the last bit")
    for one, other, crop in zip(alone, sam_module.ask(sam, crops, prompts, batch=4), crops, strict=True):
        assert one.shape == crop.shape[:2]
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_bright_half_of_the_logits_lands_on_that_half_of_the_crop(prompts: Prompts) -> None:
    """Padding is cut off before enlarging: a plane that is positive left of the crop's middle gives a left half."""
    plane = torch.full((1, 32, 32), -8.0)
    plane[..., :8] = 8  # the crop is 128 x 64 = 32 x 16 cells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sam_module, "decode", lambda *_: plane)
        logits = sam_module.ask(tiny_sam(), [np.zeros((256, 128, 3), np.uint8)], prompts[[0]])[0]
    assert logits.shape == (256, 128)
    assert logits[:, :56].min() > 4
    assert logits[:, 72:].max() < -4


def test_the_mean_of_both_networks_decides() -> None:
    sure, torn = np.float32(6), np.float32(0)
    logits, chance = np.array([[sure, -sure, torn, sure]]), np.array([[0.5, 0.5, 0.9, 0.01]], np.float32)
    fused = sam_module.fuse(logits, chance)
    assert fused.dtype == np.float32
    expected = [(6 / 1.5 + 0) / 2, -(6 / 1.5 + 0) / 2, np.log(0.9 / 0.1) / 2, (6 / 1.5 + np.log(0.01 / 0.99)) / 2]
    np.testing.assert_allclose(np.log(fused / (1 - fused))[0], expected, rtol=1e-5)


def test_prompts_are_where_the_person_is() -> None:
    person = np.zeros((128, 64), np.float32)
    person[16:112, 24:40] = 0.9
    prompts = Prompts.of([person])
    left, top, right, bottom = prompts.boxes[0]
    assert (left, top, right, bottom) == pytest.approx(
        (24 / 64 - 0.02, 16 / 128 - 0.02, 40 / 64 + 0.02, 112 / 128 + 0.02)
    )
    points = prompts.points[0] * [64, 128]
    inside, outside = points[prompts.labels[0] == PERSON], points[prompts.labels[0] == BACKGROUND]
    assert len(inside) == 3
    assert len(outside) == 4
    for (x, y), (start, stop) in zip(inside, ((16, 48), (48, 80), (80, 112)), strict=True):
        assert 30 <= x <= 34, "the middle of the body"
        assert start <= y <= stop
    assert all(person[int(y), int(x)] == 0 for x, y in outside)
    gaps = np.linalg.norm(outside[:, None] - outside[None], axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 20


def test_points_that_do_not_exist_are_marked_as_none() -> None:
    """A crop that is all person has no point off him; legs behind a rail leave a band empty."""
    labels = Prompts.of([np.ones((128, 64), np.float32)]).labels[0]
    assert list(labels) == [PERSON] * 3 + [NOTHING] * 4
    cut = np.zeros((128, 64), np.float32)
    cut[0:30, 20:40] = cut[100:128, 20:40] = 1
    assert list(Prompts.of([cut]).labels[0][:3]) == [PERSON, NOTHING, PERSON]


def test_the_mask_as_a_prompt_is_padded_with_nobody() -> None:
    person = np.full((128, 64), 0.5, np.float32)
    plane = Prompts.of([np.maximum(person, 0.6)]).mask([(32, 16)], 32, 32)[0, 0]
    assert plane.shape == (32, 32)
    np.testing.assert_allclose(plane[:, :16], 4 * np.log(0.6 / 0.4), rtol=1e-4)
    np.testing.assert_allclose(plane[:, 16:], 4 * np.log(0.01 / 0.99), rtol=1e-5)


def test_where_the_small_network_sees_nobody_sam_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_module, "load_sam", lambda *_: pytest.fail("it was loaded"))
    grey = [np.full((96, 48, 3), 128, np.uint8)] * 2
    alphas, qualities = sam_module.SamSegmenter("vit_t", "none.pt", "cpu").segment([], grey)
    assert [alpha.shape for alpha in alphas] == [(96, 48)] * 2
    assert not np.stack(alphas).any()
    assert qualities == [0, 0]


def test_tiny_vit_takes_any_size_and_has_the_published_names() -> None:
    net = TinyViT().eval()
    names = net.state_dict()
    count = sum(tensor.numel() for tensor in net.parameters())
    assert count == 6_065_532, "as in MobileSAM's file, its unused classifier included"
    assert names["layers.2.blocks.5.attn.attention_biases"].shape == (5, 196)
    assert names["layers.0.downsample.conv3.c.weight"].shape == (128, 128, 1, 1)
    assert names["neck.3.bias"].shape == (256,)
    with torch.inference_mode():
        for height, width in ((128, 64), (48, 16), (512, 256)):
            assert net(torch.zeros(2, 3, height, width)).shape == (2, 256, height // 16, width // 16)


def test_a_window_sees_its_own_pixels_and_no_padding_outside_the_picture() -> None:
    """Attention inside 7 x 7 windows, window by window, with zeros beyond the edge as TinyViT was trained with."""
    torch.manual_seed(0)
    block = tiny_vit._Block(8, 2, 7).eval()
    with torch.no_grad():
        block.attn.attention_biases.normal_()
    x = torch.randn(1, 8, 10, 7)
    padded = torch.zeros(1, 8, 14, 7)
    padded[:, :, :10] = x
    rows = [block.attn(padded[:, :, top : top + 7].flatten(2).transpose(1, 2)) for top in (0, 7)]
    answer = torch.cat(rows, 1).transpose(1, 2).reshape(1, 8, 14, 7)[:, :, :10]
    mixed = block.local_conv(x + answer)
    expected = mixed + block.mlp(mixed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(block(x), expected)


def test_attention_adds_the_bias_of_the_distance() -> None:
    torch.manual_seed(0)
    attention = tiny_vit._Attention(8, 2, 2).eval()
    with torch.no_grad():
        attention.attention_biases.normal_()
    x = torch.randn(1, 4, 8)
    parts = attention.qkv(attention.norm(x)).reshape(4, 2, 3, 4)
    places, found = [(0, 0), (0, 1), (1, 0), (1, 1)], torch.zeros(4, 2, 4)
    for head in range(2):
        for one, (row, column) in enumerate(places):
            scores = [
                float(parts[one, head, 0] @ parts[other, head, 1]) / 2
                + float(attention.attention_biases[head, 2 * abs(row - y) + abs(column - x)])
                for other, (y, x) in enumerate(places)
            ]
            weights = torch.softmax(torch.tensor(scores), 0)
            found[one, head] = weights @ parts[:, head, 2]
    torch.testing.assert_close(attention(x), attention.proj(found.reshape(1, 4, 8)))


def test_missing_weights_name_command_and_alternative(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"fetch-weights vit_b.*--segmenter small") as caught:
        sam_weights.checked_weights("vit_b", "")
    assert caught.value.exit_code == 4
    with pytest.raises(UsageError, match="vit_b, vit_h, vit_l, vit_t"):
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
    monkeypatch.setitem(sam_weights.MODELS, "vit_b", tiny_file(sha256_file(path)))
    monkeypatch.setattr(sam_module, "sam_registry", lambda: {"vit_b": partial(tiny_sam, 1)})
    segmenter = sam_module.SamSegmenter("vit_b", path, "cpu")
    records = [Record("r", f"{index}.jpg", 1, 1, "train") for index in range(3)]
    images = [person_picture(index, (96, 40))[0] for index in range(3)]
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
    monkeypatch.setitem(sam_weights.MODELS, "vit_b", tiny_file(hashlib.sha256(b"right").hexdigest()))
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
