"""The segmenter's trainer: schedule, loss, samples, resuming after a kill, banks from folders."""

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.images import encode_mask, encode_png, read_mask
from reid_data.segment.network import SIZE, save_weights
from reid_data.train_segmenter import bank as banks
from reid_data.train_segmenter import run as training
from reid_data.train_segmenter.samples import (
    BODY,
    CANVAS,
    Bank,
    Mixture,
    _shrink_matrix,
    box_matrix,
    clutter,
    degrade,
    make_batch,
    shade,
)


def figure(height: int, width: int) -> np.ndarray:
    """A bool mask of a standing figure that fills the middle of (height, width)."""
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 5, int(height * 0.4)), 0, 0, 360, 1, -1)
    return mask > 0


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a user's pictures with masks: three people, one picture without a mask."""
    root = tmp_path / "own"
    (root / "masks" / "a").mkdir(parents=True)
    (root / "a").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        mask = figure(160, 90)
        image = rng.integers(0, 90, (160, 90, 3), np.uint8)
        image[mask] += 140
        (root / "a" / f"{number}.png").write_bytes(encode_png(image))
        (root / "masks" / "a" / f"{number}.png").write_bytes(encode_mask(mask.astype(np.float32)))
    (root / "a" / "unlabelled.png").write_bytes(encode_png(image))
    return root


@pytest.fixture
def bank(own: Path, tmp_path: Path) -> Path:
    banks.build_bank(tmp_path / "bank", banks.Sources(own=str(own)), 1)
    return tmp_path / "bank"


TINY = training.TrainSettings(steps=4, batch=2, seed=5)


def test_learning_rates_rise_then_fall_to_zero() -> None:
    settings = training.TrainSettings(steps=100, warmup=0.1)
    rates = [training.share_of_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert int(np.argmax(rates)) == 9
    assert max(rates) == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.0)


def test_loss_is_nought_for_the_truth_and_larger_at_the_outline() -> None:
    target = torch.zeros(1, 1, 32, 16)
    target[..., 8:24, 4:12] = 1
    right = (target * 2 - 1) * 30
    assert training.mask_loss(right, target).item() == pytest.approx(0, abs=1e-5)
    inside, edge = right.clone(), right.clone()
    inside[..., 15, 7] = -30
    edge[..., 8, 7] = -30
    assert training.mask_loss(edge, target) > training.mask_loss(inside, target) > 0.01
    assert training.mask_loss(torch.full_like(target, -30), torch.zeros_like(target)).item() == pytest.approx(
        0, abs=1e-5
    )


def test_forgiveness_reaches_only_sure_finds_in_empty_samples() -> None:
    empty = torch.zeros(1, 1, 32, 16)
    sure, fleck = torch.full_like(empty, -9), torch.full_like(empty, -9)
    sure[..., 4:28, 4:12] = 9
    fleck[..., 4:8, 4:8] = 9
    assert training.mask_loss(sure, empty, forgive=True) == 0
    assert training.mask_loss(sure, empty) > 1
    assert training.mask_loss(fleck, empty, forgive=True) == training.mask_loss(fleck, empty) > 0
    person = torch.ones_like(empty)
    assert training.mask_loss(sure, person, forgive=True) == training.mask_loss(sure, person)


def test_canvas_holds_the_body_in_the_middle() -> None:
    mask = figure(300, 200)
    image = np.zeros((300, 200, 3), np.uint8)
    image[mask] = 255
    canvas, box = banks.canvas_of(banks.Photo("x", image, mask, [mask]), mask)
    assert canvas.shape == (*CANVAS, 4)
    rows = np.flatnonzero((canvas[..., 3] > 127).any(axis=1))
    assert rows[-1] + 1 - rows[0] == pytest.approx(BODY, abs=2)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(CANVAS[0] / 2, abs=2)
    assert box[0] == pytest.approx(rows[0], abs=1.5)
    assert box[2] == pytest.approx(rows[-1] + 1, abs=1.5)
    assert np.abs(canvas[..., 0].astype(int) - canvas[..., 3]).max() < 40  # picture and mask stay in step


def test_boxes_hold_the_persons_middle() -> None:
    box = np.array([37, 50, 187, 94], np.float32)
    for seed in range(200):
        matrix = box_matrix(box, np.random.default_rng(seed))
        corner, far = matrix @ [0, 0, 1], matrix @ [SIZE[1] - 1, SIZE[0] - 1, 1]
        middle = matrix @ [SIZE[1] / 2 - 0.5, SIZE[0] / 2 - 0.5, 1]
        assert 58 < middle[0] < 86
        assert 60 < middle[1] < 165
        assert (far > corner).all()


def test_samples_repeat_and_differ(bank: Path) -> None:
    opened = Bank.open(bank)
    images, masks = make_batch(opened, Mixture(0.0, 0.0), 1, 2, 6)
    again, _ = make_batch(opened, Mixture(0.0, 0.0), 1, 2, 6)
    other, _ = make_batch(opened, Mixture(0.0, 0.0), 1, 3, 6)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)
    assert images.shape == (6, *SIZE, 3)
    assert all(0.05 < share < 0.9 for share in (masks > 127).mean(axis=(1, 2)))
    larger, _ = make_batch(opened, Mixture(0.0, 0.0), 1, 2, 8)
    assert np.array_equal(larger[:6], images)


def test_empty_samples_have_empty_masks(bank: Path) -> None:
    _, masks = make_batch(Bank.open(bank), Mixture(empty=1.0, drawn=0.0), 0, 0, 6)
    assert not masks.any()


def test_shade_is_uneven_and_keeps_the_picture_visible() -> None:
    flat = np.full((*SIZE, 3), 120, np.float32)
    spreads = []
    for seed in range(40):
        shaded = shade(flat, np.random.default_rng(seed))
        assert shaded.shape == flat.shape
        assert 0 <= shaded.min() <= shaded.max() <= 255
        assert 80 < shaded.mean() < 130
        spreads.append(float(np.ptp(shaded.mean(axis=2))))
    assert np.median(spreads) > 30


def test_a_person_made_smaller_stays_on_the_ground() -> None:
    for seed in range(60):
        matrix = _shrink_matrix(np.random.default_rng(seed))
        feet, head = matrix @ [32, SIZE[0] - 1, 1], matrix @ [32, 40, 1]
        assert feet[1] == pytest.approx(SIZE[0] - 1)
        assert head[1] < 40  # what the crop shows at row 40 is now taken from farther up: the person is smaller


def test_pixels_stay_in_range() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        place = clutter(rng)
        assert place.shape == (*SIZE, 3)
        assert 0 <= place.min() <= place.max() <= 255
        assert degrade(place, rng).dtype == np.uint8


def test_held_out_photographs_never_reach_a_bank(tmp_path: Path) -> None:
    for folder in ("PNGImages", "PedMasks"):
        (tmp_path / folder).mkdir()
    for stem in ("FudanPed00052", "FudanPed00053", "PennPed00067", "PennPed00068"):
        (tmp_path / "PNGImages" / f"{stem}.png").write_bytes(encode_png(np.zeros((150, 90, 3), np.uint8)))
        (tmp_path / "PedMasks" / f"{stem}_mask.png").write_bytes(encode_png(figure(150, 90).astype(np.uint8)))
    names = [photo.name for photo in banks.penn_fudan_photos(tmp_path, held_out=False)]
    assert names == ["FudanPed00052", "PennPed00067"]
    assert [photo.name for photo in banks.penn_fudan_photos(tmp_path, held_out=True)] == [
        "FudanPed00053",
        "PennPed00068",
    ]
    assert len(banks.build_bank(tmp_path / "bank", banks.Sources(penn_fudan=str(tmp_path)), 1).people) == 2


def test_empty_patches_hold_nobody() -> None:
    people = figure(300, 400)
    image = np.zeros((300, 400, 3), np.uint8)
    image[people] = 255
    photo = banks.Photo("x", image, people, [people])
    patches = list(banks.empty_patches(photo, np.random.default_rng(0), 5))
    assert patches
    assert all(patch.max() == 0 for patch in patches)


def test_a_bank_is_kept_and_made_anew_for_other_sources(own: Path, bank: Path) -> None:
    before = (bank / "people.npy").stat().st_mtime_ns
    assert len(banks.build_bank(bank, banks.Sources(own=str(own)), 1).people) == 3
    assert (bank / "people.npy").stat().st_mtime_ns == before
    banks.build_bank(bank, banks.Sources(own=str(own), seed=1), 1)
    assert (bank / "people.npy").stat().st_mtime_ns > before


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture with a mask of a person"):
        banks.build_bank(tmp_path / "bank", banks.Sources(own=str(tmp_path / "empty")), 1)
    with pytest.raises(InputError, match="is not a folder"):
        banks.build_bank(tmp_path / "bank", banks.Sources(own=str(tmp_path / "missing")), 1)


def test_synthetic_crops_of_a_bank_do_not_depend_on_workers() -> None:
    crops, places = banks.draw_part((3, 0, 2))
    alone, _ = banks.draw_part((3, 1, 2))
    assert crops.shape == (2, *SIZE, 4)
    assert places.shape == (1, *SIZE, 3)
    assert np.array_equal(crops[1], alone[0])


def stored(net: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    return buffer.getvalue()


def test_a_stopped_run_ends_as_an_unbroken_one(bank: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = training.train(bank, tmp_path / "whole", TINY)

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        training.train(bank, tmp_path / "parts", TINY, checkpoint_every=2, progress=stop)
    parts = training.train(bank, tmp_path / "parts", TINY, checkpoint_every=2)
    for (name, one), other in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    again = training.train(bank, tmp_path / "whole", TINY)
    assert stored(again) == stored(whole)


def test_other_settings_do_not_continue_a_run(bank: Path, tmp_path: Path) -> None:
    training.train(bank, tmp_path / "run", replace(TINY, steps=1))
    with pytest.raises(EnvironmentFault, match=r"rate 0.004 \(now 0.1\)"):
        training.train(bank, tmp_path / "run", replace(TINY, rate=0.1))
    training.train(bank, tmp_path / "run", replace(TINY, steps=2))
    with pytest.raises(EnvironmentFault, match=r"2 steps done \(now 1 wanted\)"):
        training.train(bank, tmp_path / "run", replace(TINY, steps=1))


def test_corrected_masks_are_not_taken_for_the_old_ones(own: Path, tmp_path: Path) -> None:
    sources, settings = banks.Sources(own=str(own)), replace(TINY, steps=1)
    training.train_segmenter(tmp_path / "work", sources, settings)
    kept = (tmp_path / "work" / "bank" / "people.npy").read_bytes()
    training.train_segmenter(tmp_path / "work", sources, settings)
    mask = own / "masks" / "a" / "0.png"
    mask.write_bytes(encode_mask(1 - read_mask(str(mask))))
    with pytest.raises(EnvironmentFault, match="the pictures, their masks"):
        training.train_segmenter(tmp_path / "work", sources, settings)
    assert (tmp_path / "work" / "bank" / "people.npy").read_bytes() == kept, "a refused call touches nothing"
    before = banks.sources_digest(sources)
    (own / "notes.txt").write_text("no picture")
    moved = banks.Sources(own=str(own.rename(own.with_name("moved"))))
    assert banks.sources_digest(moved) == before
    assert banks.sources_digest(replace(moved, seed=1)) != before


@pytest.mark.parametrize("damage", [b"", b"junk", b"PK\x03\x04junk"])
def test_a_damaged_state_is_named(bank: Path, tmp_path: Path, damage: bytes) -> None:
    training.train(bank, tmp_path / "run", replace(TINY, steps=1))
    whole = (tmp_path / "run" / "state.pt").read_bytes()
    (tmp_path / "run" / "state.pt").write_bytes(damage or whole[: len(whole) // 2])
    with pytest.raises(EnvironmentFault, match=r"state.pt' is not the state of such a training"):
        training.train(bank, tmp_path / "run", TINY)


def test_a_damaged_bank_is_made_again(own: Path, bank: Path) -> None:
    whole = (bank / "people.npy").read_bytes()
    (bank / "people.npy").write_bytes(whole[: len(whole) // 2])
    banks.build_bank(bank, banks.Sources(own=str(own)), 1)
    assert (bank / "people.npy").read_bytes() == whole


def test_a_loss_that_is_no_number_stops_the_run(bank: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Lower --rate"):
        training.train(bank, tmp_path / "run", replace(TINY, steps=40, rate=1e30, warmup=0.01))


def test_own_pictures_without_people_or_with_label_masks_are_errors(own: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "one.png").write_bytes(encode_png(np.zeros((60, 30, 3), np.uint8)))
    with pytest.raises(InputError, match="no picture with a mask of a person"):
        banks.build_bank(tmp_path / "bank", banks.Sources(own=str(bare), drawn=2), 1)
    (bare / "masks").mkdir()
    (bare / "masks" / "one.png").write_bytes(encode_png(np.ones((60, 30), np.uint8)))
    with pytest.raises(InputError, match=r"one.png' has no larger value than 1"):
        banks.build_bank(tmp_path / "bank", banks.Sources(own=str(bare)), 1)
    (bare / "one.png").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"bare/one.png' is not a"):
        banks.build_bank(tmp_path / "bank", banks.Sources(own=str(bare)), 1)


def test_training_learns_and_fine_tuning_starts_where_it_ended(bank: Path, tmp_path: Path) -> None:
    settings = training.TrainSettings(steps=16, batch=6, rate=8e-3, average=0.7, empty=0.0, drawn=0.0)
    net = training.train(bank, tmp_path / "run", settings)
    images, masks = make_batch(Bank.open(bank), Mixture(0.0, 0.0), 9, 0, 8)
    target = torch.from_numpy(masks).float().div(255)[:, None]
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        learnt = training.mask_loss(net(x), target)
        assert learnt < 0.9 * training.mask_loss(torch.zeros_like(target), target)
    weights = tmp_path / "start.safetensors"
    save_weights(net, weights, {})
    tuned = training.train(
        bank, tmp_path / "tuned", training.TrainSettings(steps=1, batch=2, rate=1e-6, start=str(weights))
    )
    with torch.no_grad():
        torch.testing.assert_close(tuned(x), net(x), atol=0.05, rtol=0.02)
