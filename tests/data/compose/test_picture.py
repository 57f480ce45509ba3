"""Composition steps and the plan."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_data.compose.blend import feather, hard, paste
from reid_data.compose.harmonise import GAIN_RANGE, brighten, contact_shadow, luminance_gain, match_sharpness, sharpness
from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import PlanSettings, make_plan, market_names, uncovered_share
from reid_data.compose.rim import decontaminate, old_background, seam_ratio
from reid_data.errors import UsageError
from reid_data.images import encode_jpeg, encode_png
from reid_data.jpeg import usual_quality, written_quality
from reid_data.plates.crops import Plate
from reid_data.records import Record
from reid_data.seeds import image_seed
from reid_data.segment.cache import Unusable
from reid_data.segment.survey import MaskInfo
from tests.data.people import ellipse_mask, person_picture

PLAIN = Steps("hard", False, False, False, False)


def noise(seed: int, size: tuple[int, int] = (64, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_the_plain_paste_is_a_choice_between_pixels() -> None:
    image, mask = person_picture(0, (64, 32))
    plate = noise(1)
    expected = np.where(mask[:, :, None], image, plate)
    assert np.array_equal(compose(image, mask.astype(np.float32), plate, PLAIN), expected)


@pytest.mark.parametrize("blend", ["hard", "feather"])
def test_nobody_is_the_plate_and_everybody_the_image(blend: str) -> None:
    image, plate, steps = noise(0), noise(1), replace(PLAIN, blend=blend)
    assert np.array_equal(compose(image, np.zeros((64, 32), np.float32), plate, steps), plate)
    assert np.array_equal(compose(image, np.ones((64, 32), np.float32), plate, steps), image)


def test_hard_cuts_at_a_half() -> None:
    assert hard(np.array([0.2, 0.5, 0.51, 1.0], np.float32)).tolist() == [0, 0, 1, 1]


def test_feather_pulls_an_edge_in_by_half_a_pixel() -> None:
    half = np.zeros((40, 40), np.float32)
    half[:, :20] = 1
    soft = feather(half)
    assert soft[20].sum() == pytest.approx(19.5, abs=0.01)
    assert np.all(np.diff(soft[20]) <= 1e-6)
    assert 1 <= np.count_nonzero((soft[20] > 0.1) & (soft[20] < 0.9)) <= 3
    assert np.allclose(soft[0], soft[20])  # the border of the picture is no edge of the person


def test_feather_does_not_soften_what_is_soft() -> None:
    ramp = np.clip((20 - np.arange(40, dtype=np.float32)) / 6 + 0.5, 0, 1)
    soft = feather(np.tile(ramp, (40, 1)))
    assert soft[20].sum() == pytest.approx(ramp.sum() - 0.5, abs=0.01)
    assert (
        np.count_nonzero((soft[20] > 0.01) & (soft[20] < 0.99)) <= np.count_nonzero((ramp > 0.01) & (ramp < 0.99)) + 1
    )


def test_paste_mixes_by_alpha() -> None:
    black, white = np.zeros((1, 3, 3), np.uint8), np.full((1, 3, 3), 200, np.uint8)
    mixed = paste(white, black, np.array([[0, 0.25, 1]], np.float32))
    assert mixed[0, :, 0].tolist() == [0, 50, 200]


def test_gain_follows_the_surroundings_and_never_the_clothes() -> None:
    mask = ellipse_mask((64, 32)).astype(np.float32)
    grey = np.full((64, 32, 3), 100, np.uint8)
    dressed = grey.copy()
    dressed[mask > 0] = 255
    brighter = np.full((64, 32, 3), 120, np.uint8)
    assert luminance_gain(grey, mask, grey) == pytest.approx(1)
    assert luminance_gain(dressed, mask, brighter) == luminance_gain(grey, mask, brighter)
    assert luminance_gain(grey, mask, brighter) == pytest.approx(np.sqrt(128 / 108), abs=1e-3)
    assert luminance_gain(grey, mask, np.full_like(grey, 255)) == GAIN_RANGE[1]
    assert luminance_gain(grey, mask, np.zeros_like(grey)) == GAIN_RANGE[0]
    assert luminance_gain(grey, np.ones_like(mask), brighter) == 1


@pytest.mark.parametrize("gain", [0.85, 1.0, 1.18])
def test_brighten_keeps_every_hue(gain: float) -> None:
    image = noise(2)
    bright = brighten(image, gain)
    assert bright.max() <= 255 + 1e-3
    scale = bright.sum(2) / np.maximum(image.sum(2), 1)
    assert np.allclose(bright, image * scale[:, :, None], atol=0.02)
    assert scale[image.sum(2) > 0].max() <= gain + 1e-3
    dark = image.max(2) < 200
    assert np.allclose(scale[dark & (image.sum(2) > 0)], gain, atol=1e-3)


def test_sharpness_falls_with_blur_whatever_the_contrast() -> None:
    image, everywhere = noise(3), np.ones((64, 32), np.float32)
    values = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma), everywhere) for sigma in (0.5, 0.8, 1.2)]
    assert sharpness(image, everywhere) > values[0] > values[1] > values[2] > 0
    faint = 100 + 0.2 * image.astype(np.float32)
    assert sharpness(faint, everywhere) == pytest.approx(sharpness(image, everywhere), rel=1e-3)
    assert sharpness(np.full_like(image, 9), everywhere) == 0


def test_the_plate_is_blurred_to_the_persons_sharpness_and_no_further() -> None:
    mask, everywhere = ellipse_mask((64, 32)).astype(np.float32), np.ones((64, 32), np.float32)
    soft, crisp = cv2.GaussianBlur(noise(4), (0, 0), 0.9), noise(5)
    matched = match_sharpness(crisp, soft, mask)
    assert sharpness(crisp, everywhere) > sharpness(matched, everywhere)
    assert sharpness(matched, everywhere) == pytest.approx(sharpness(soft, mask), rel=0.3)
    assert match_sharpness(soft, crisp, mask) is soft
    assert match_sharpness(crisp, soft, np.zeros_like(mask)) is crisp


def test_the_shadow_lies_under_the_feet_only() -> None:
    plate = np.full((128, 64, 3), 150, np.uint8)
    mask = np.zeros((128, 64), np.float32)
    mask[10:110, 20:44] = 1
    shaded = contact_shadow(plate, mask).astype(int)
    assert shaded.max() == 150
    assert 80 <= shaded[109, 32, 0] <= 100
    assert np.all(shaded[:100] == 150)
    assert np.all(shaded[118:] == 150)
    assert np.all(shaded[109, :3] > 145)


def test_no_shadow_for_feet_outside_the_picture() -> None:
    plate, mask = noise(6), ellipse_mask((64, 32)).astype(np.float32)
    mask[30:, 10:20] = 1
    assert np.array_equal(contact_shadow(plate, mask), plate)
    assert np.array_equal(contact_shadow(plate, np.zeros_like(mask)), plate)


@pytest.mark.parametrize("wrong", [{"blend": "feathered"}, {"jpeg_quality": 101}])
def test_wrong_steps(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Steps(**wrong)  # type: ignore[arg-type]


def mixed_rim(share: float) -> tuple[np.ndarray, np.ndarray]:
    """A blue person on red; its two outermost pixels hold `share` of the red. The picture and the mask."""
    mask = ellipse_mask((128, 64))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    image = np.zeros((128, 64, 3), np.float32)
    image[:] = (200, 20, 20)
    image[mask] = share * np.array([200, 20, 20]) + (1 - share) * np.array([20, 20, 200])
    image[inner] = (20, 20, 200)
    return np.rint(image).astype(np.uint8), mask.astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_old_background_is_the_share_that_was_mixed_in(share: float) -> None:
    image, alpha = mixed_rim(share)
    green = np.full_like(image, (20, 180, 20))
    pasted = compose(image, alpha, green, PLAIN)
    assert old_background(pasted, image, green, alpha) == pytest.approx(share, abs=0.06)
    new_mixed_in = paste(image, green, 0.5 * alpha)
    assert old_background(new_mixed_in, image, green, alpha) == pytest.approx(share / 2, abs=0.06)
    assert old_background(pasted, image, green, np.zeros_like(alpha)) is None


def test_decontamination_cleans_the_rim_and_nothing_else() -> None:
    image, alpha = mixed_rim(0.5)
    green = np.full_like(image, (20, 180, 20))
    clean = decontaminate(image, alpha)
    pasted = compose(image, alpha, green, replace(PLAIN, decontaminate=True))
    left = old_background(pasted[40:], image[40:], green[40:], alpha[40:])
    assert left is not None
    assert left < 0.05
    assert np.array_equal(clean[:20], image[:20])  # the head keeps its own colours
    core = cv2.erode((alpha > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.array_equal(clean[core], image[core])


def test_thin_limbs_and_dark_rims_are_left_alone() -> None:
    thin = np.zeros((64, 32), np.float32)
    thin[:, 14:17] = 1
    image = noise(7)
    assert np.allclose(decontaminate(image, thin), image, atol=1e-3)
    dark, alpha = mixed_rim(0.5)
    dark = dark // 5
    assert np.allclose(decontaminate(dark, alpha), dark, atol=1e-3)


def test_seam_ratio_is_one_for_the_source_itself_and_grows_with_contrast() -> None:
    image, mask = person_picture(3, (64, 32))
    alpha = mask.astype(np.float32)
    assert seam_ratio(image, image, alpha) == 1
    stark = np.where(mask[:, :, None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    assert seam_ratio(stark, image, alpha) > 1.5  # type: ignore[operator]
    assert seam_ratio(np.full_like(image, 90), image, alpha) == 0
    assert seam_ratio(image, image, np.ones_like(alpha)) is None


@pytest.mark.parametrize("quality", [30, 50, 75, 88, 95, 100])
def test_the_quality_of_a_jpeg_is_recovered(quality: int) -> None:
    assert written_quality(encode_jpeg(noise(0), quality)) == pytest.approx(quality, abs=1)


def test_the_usual_quality_of_a_set(tmp_path: Path) -> None:
    records = [Record(str(tmp_path), f"{n}.jpg", 1, 1, "train") for n in range(5)]
    for record, data in zip(records[:3], (encode_jpeg(noise(0), 80), encode_jpeg(noise(0), 84), encode_png(noise(0)))):
        Path(record.path).write_bytes(data)
    assert usual_quality(records) == 82
    assert usual_quality(records[2:]) == 95
    Path(records[3].path).write_bytes(encode_jpeg(noise(0), 20))
    assert usual_quality(records[3:]) == 70


def info(pid: int, cam: int = 1, split: str = "train", quality: float = 1.0, **other: object) -> MaskInfo:
    name = other.pop("name", f"{split}/{pid:04d}_c{cam}s1_{other.pop('number', 1):06d}_00.jpg")
    thumb = other.pop("thumb", np.zeros((32, 16), np.uint8))
    record = Record("fg", str(name), pid, cam, split)
    return MaskInfo(record, f"{pid:064d}", (128, 64), quality, float(other.pop("area", 0.4)), ("loose",), thumb)  # type: ignore[arg-type]


def plates(num: int, cameras: int = 2, hole: int = 128) -> list[Plate]:
    thumb = np.full((32, 16), hole, np.uint8)
    return [
        Plate(Record("bg", f"{n}.jpg", n + 1, n % cameras, "train"), f"/{n}.png", "0" * 64, (128, 64), 1.0, thumb)
        for n in range(num)
    ]


def test_the_plan_deals_with_the_gate_by_split() -> None:
    infos = [
        info(1),
        info(2, quality=0.3),
        Unusable(Record("fg", "train/0003_c1s1_000001_00.jpg", 3, 1, "train"), "is empty (0 bytes)"),
        info(4, split="query", quality=0.3),
        info(5, split="gallery", quality=0.0, area=0.0),
        info(0, split="gallery", quality=0.0, area=0.0),
        info(-1, split="gallery", quality=0.3),
    ]
    plan = make_plan(infos, {"train": plates(3), "test": plates(3)}, PlanSettings())
    assert [task.status for task in plan] == ["ok", "dropped", "failed", "flagged", "flagged", "ok", "flagged"]
    assert [task.person for task in plan if task.plate is not None] == [True, True, False, False, True]
    assert [task.plate is None for task in plan] == [False, True, True, False, False, False, False]
    assert "0.30" in plan[1].reason
    assert plan[2].reason == "is empty (0 bytes)"
    assert "no person" in plan[4].reason
    assert "bare plate" in plan[5].reason


def test_no_plate_is_used_more_often_than_allowed() -> None:
    infos = [info(n + 1) for n in range(60)]
    uses = Counter(task.plate for task in make_plan(infos, {"train": plates(12)}, PlanSettings(max_reuse=5)))
    assert max(uses.values()) == 5
    assert min(uses.values()) >= 3  # and none is forgotten
    scarce = Counter(task.plate for task in make_plan(infos, {"train": plates(7)}, PlanSettings(max_reuse=5)))
    assert max(scarce.values()) == 9  # 60 images on 7 plates


def test_the_plan_depends_on_the_seed() -> None:
    infos, banks = [info(n + 1) for n in range(40)], {"train": plates(40)}
    first = make_plan(infos, banks, PlanSettings(seed=1))
    assert first == make_plan(infos, banks, PlanSettings(seed=1))
    assert [task.plate for task in first] != [task.plate for task in make_plan(infos, banks, PlanSettings(seed=2))]


def test_sides_are_kept_apart() -> None:
    infos = [info(1), info(2, split="query"), info(2, 2, split="gallery")]
    train, test = plates(1), plates(5)
    plan = make_plan(infos, {"train": train, "test": test}, PlanSettings())
    assert plan[0].plate == 0
    assert all(task.plate is not None for task in plan)
    with pytest.raises(AssertionError):
        make_plan(infos, {"train": train}, PlanSettings())


def test_the_plate_is_taken_whose_invention_the_person_hides() -> None:
    left, right = np.zeros((32, 16), np.uint8), np.zeros((32, 16), np.uint8)
    left[:, :8] = right[:, 8:] = 255
    banks = {"train": [replace(one, hole=left if n % 2 else right) for n, one in enumerate(plates(8))]}
    plan = make_plan([info(1, thumb=left), info(2, thumb=right)], banks, PlanSettings())
    assert [task.plate % 2 for task in plan if task.plate is not None] == [1, 0]
    assert [task.uncovered for task in plan] == [0, 0]


def test_a_small_hole_is_no_advantage() -> None:
    """The smallest holes belong to the plates whose mask missed part of the person."""
    person, small, fitting = (np.zeros((32, 16), np.uint8) for _ in range(3))
    person[4:30, 4:12] = fitting[3:31, 3:13] = small[3:6, 0:3] = 255
    pair = [replace(one, hole=hole) for one, hole in zip(plates(2), (small, fitting), strict=True)]
    assert uncovered_share(small, person) < uncovered_share(fitting, person)
    assert make_plan([info(9, thumb=person)], {"train": pair}, PlanSettings())[0].plate == 1


def test_uncovered_share() -> None:
    hole, person = np.zeros((32, 16), np.uint8), np.zeros((32, 16), np.uint8)
    hole[:16] = 255
    person[:8] = 255
    assert uncovered_share(hole, person) == 0.25
    assert uncovered_share(hole, None) == 0.5


def test_pairing_by_camera_and_by_identity() -> None:
    infos = [info(pid, cam, number=n) for n, (pid, cam) in enumerate((p, c) for p in range(1, 13) for c in (1, 2, 3))]
    bank = plates(40, cameras=4)
    cameras = [task.plate % 4 for task in make_plan(infos, {"train": bank}, PlanSettings(pairing="camera"))]  # type: ignore[operator]
    assert all(len({cameras[n] for n in range(first, 36, 3)}) == 1 for first in range(3))
    assert len(set(cameras)) == 3
    persons = [task.plate % 4 for task in make_plan(infos, {"train": bank}, PlanSettings(pairing="identity"))]  # type: ignore[operator]
    assert all(len(set(persons[first : first + 3])) == 1 for first in range(0, 36, 3))
    assert len(set(persons)) > 1
    with pytest.raises(UsageError, match="Did you mean 'camera'"):
        PlanSettings(pairing="cam")


def test_nobody_gets_a_plate_of_his_own() -> None:
    infos = [info(pid, number=n) for pid in range(1, 5) for n in range(4)]
    own = [replace(one, record=replace(one.record, root="fg", pid=1 + n % 4)) for n, one in enumerate(plates(16))]
    for task in make_plan(infos, {"train": own}, PlanSettings(max_reuse=2)):
        assert task.plate is not None
        assert own[task.plate].record.pid != task.record.pid


def test_names_are_markets() -> None:
    records = [
        Record("r", "bounding_box_train/0002_c1s1_000451_03.jpg", 2, 1, "train"),
        Record("r", "query/-1_c3s2_1_00.jpg", -1, 3, "query"),
        Record("r", "0007/front.png", 7, 0, "train"),
        Record("r", "x/0002_c1s1_000451_03.jpg", 2, 1, "train"),
        Record("r", "y/junk.bmp", -1, 2, "gallery"),
    ]
    assert market_names(records) == [
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "query/-1_c3s2_1_00.jpg",
        "bounding_box_train/0007_c0s1_000003_00.jpg",
        "bounding_box_train/0002_c1s1_000004_00.jpg",
        "bounding_box_test/-1_c2s1_000005_00.jpg",
    ]


def test_image_seeds_differ_by_name_and_seed() -> None:
    seeds = {image_seed(seed, name) for seed in range(3) for name in ("a", "b", "\udcff")}
    assert len(seeds) == 9
