"""What holds for every segmenter, and for what stands in for one: the members of the protocol mean what they say."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid_data.errors import EnvironmentFault, ImageError, UsageError
from reid_data.images import encode_mask, encode_png
from reid_data.records import Record
from reid_data.segment import SEGMENTERS, build_segmenter, sam
from reid_data.segment.base import KeptMasks, Segmenter
from tests.data.people import ellipse_mask, person_picture

SIZES = ((128, 64), (100, 41), (64, 64), (300, 20), (7, 5))
FLAGS = {"device": "auto", "flip": False, "weights": "", "sam_model": "vit_h", "sam_weights": ""}


class TinySam(torch.nn.Module):
    """Stands in for Segment Anything's network where only what surrounds it is tested."""


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[Record], list[np.ndarray]]:
    """Records with masks beside them, and their pictures, each of another size."""
    records, images = [], []
    for number, size in enumerate(SIZES):
        image = person_picture(number, size)[0]
        name = f"bounding_box_train/{number:04d}_c1s1_000001_00.png"
        for folder, data in (("", encode_png(image)), ("masks", encode_mask(ellipse_mask(size).astype(np.float32)))):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        records.append(Record(str(tmp_path), name, number + 1, 1, "train"))
        images.append(image)
    return records, images


@pytest.fixture(params=[*SEGMENTERS, "kept"])
def segmenter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """Each of them; Segment Anything with answers from nowhere, for its weights are not here."""
    if request.param == "kept":
        return KeptMasks()
    if request.param == "sam":
        monkeypatch.setattr(sam, "checked_weights", lambda model, weights: (Path("none"), "0" * 64))
        monkeypatch.setattr(sam, "load_sam", lambda *_: TinySam())
        monkeypatch.setattr(sam, "ask", ask)
    return build_segmenter(request.param)


def ask(_: object, images: Sequence[np.ndarray], __: object) -> list[np.ndarray]:
    """An ellipse for each picture, as logits."""
    return [8 * ellipse_mask(image.shape[:2]).astype(np.float32) - 4 for image in images]


def test_masks_are_those_of_their_pictures(
    segmenter: Segmenter, pictures: tuple[list[Record], list[np.ndarray]]
) -> None:
    records, images = pictures
    if segmenter.name == "kept":
        with pytest.raises(ImageError, match="lost its mask"):
            segmenter.segment(records, images)
        return
    before = [image.copy() for image in images]
    alphas, qualities = segmenter.segment(records, images)
    assert [alpha.shape for alpha in alphas] == [image.shape[:2] for image in images]
    assert all(alpha.dtype == np.float32 and alpha.min() >= 0 and alpha.max() <= 1 for alpha in alphas)
    assert all(isinstance(float(quality), float) and 0 <= quality <= 1 for quality in qualities)
    assert all((one == other).all() for one, other in zip(images, before, strict=True)), "pictures are left alone"
    for number in (0, len(images) - 1):
        alone, quality = segmenter.segment(records[number : number + 1], images[number : number + 1])
        assert np.abs(alone[0] - alphas[number]).max() < 1e-6, "what else is in the call changes nothing"
        assert abs(quality[0] - qualities[number]) < 1e-6


def test_nothing_asked_is_nothing_made(segmenter: Segmenter) -> None:
    assert segmenter.segment([], []) == ([], [])


def test_it_travels_and_its_digest_stays(segmenter: Segmenter, pictures: tuple[list[Record], list[np.ndarray]]) -> None:
    records, _ = pictures
    other = pickle.loads(pickle.dumps(segmenter))
    assert other == segmenter
    assert other.digest(records) == segmenter.digest(records)
    if segmenter.cached and segmenter.name != "kept":
        assert segmenter.digest() == segmenter.digest(records), "what is kept depends on no record"


def test_every_member_is_there(segmenter: Segmenter, pictures: tuple[list[Record], list[np.ndarray]]) -> None:
    records, _ = pictures
    assert isinstance(segmenter.name, str)
    assert isinstance(segmenter.cached, bool)
    assert isinstance(segmenter.tells_empties, bool)
    assert segmenter.batch >= 1
    assert segmenter.max_workers is None or segmenter.max_workers >= 1
    assert type(segmenter.on("cpu")) is type(segmenter)
    fitted = segmenter.adapted_to(records)
    assert type(fitted) is type(segmenter)
    assert segmenter.adapted_to([]) == segmenter
    assert fitted == segmenter or segmenter.name == "grabcut"


def test_those_that_tell_empties_find_nobody_in_flat_grey(segmenter: Segmenter) -> None:
    if segmenter.tells_empties:
        grey = [np.full((128, 64, 3), value, np.uint8) for value in (40, 120, 200)]
        assert max(float(alpha.mean()) for alpha in segmenter.segment([], grey)[0]) < 0.02


@pytest.mark.parametrize("option", [{"flip": True}, {"weights": "mine.safetensors"}])
def test_options_belong_to_those_that_take_them(segmenter: Segmenter, option: dict[str, Any]) -> None:
    if segmenter.name.startswith("small"):
        changed = segmenter.configured(FLAGS | option)
        assert changed != segmenter
        assert segmenter.configured(FLAGS) == segmenter
        return
    flag = next(iter(option))
    with pytest.raises(
        UsageError, match=rf"--{flag} belongs to --segmenter small, not to {segmenter.name}\. Leave it out"
    ):
        segmenter.configured(FLAGS | option)


def test_two_options_that_do_not_belong_are_both_named() -> None:
    with pytest.raises(UsageError, match=r"--flip and --weights belong to .* small, not to grabcut\. Leave them out"):
        build_segmenter("grabcut").configured(FLAGS | {"flip": True, "weights": "x"})


def test_a_device_that_is_not_there_is_said_before_any_picture() -> None:
    with pytest.raises(EnvironmentFault, match="--device cuda:99"):
        build_segmenter("small").configured(FLAGS | {"device": "cuda:99"})
