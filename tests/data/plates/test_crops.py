"""Plates: what is filled, what is refused, which crops are tried."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import ImageError, UsageError
from reid_data.files import cache_folder
from reid_data.images import encode_mask
from reid_data.plates.crops import (
    Plate,
    PlateSettings,
    Rejected,
    candidate_order,
    gather_plates,
    make_plate,
    person_hole,
    plates,
)
from reid_data.plates.files import fit_plate, read_plate
from reid_data.plates.fill import FILLS
from reid_data.records import Record
from reid_data.segment.cache import Masked
from reid_data.segment.precomputed import PrecomputedSegmenter
from tests.data.people import ellipse_mask, person_picture, write_people_set

SEGMENTER = PrecomputedSegmenter()


@pytest.fixture
def people(tmp_path: Path) -> list[Record]:
    return list(load_dataset(str(write_people_set(tmp_path / "people", num_ids=6)), tmp_path).train)


@pytest.mark.parametrize("fill", sorted(FILLS))
@pytest.mark.parametrize("size", [(128, 64), (40, 17)])
def test_a_fill_leaves_what_is_visible_and_removes_the_person(fill: str, size: tuple[int, int]) -> None:
    image, mask = person_picture(1, size)
    hole = person_hole(mask.astype(np.float32), 9)
    before = image.copy()
    filled = FILLS[fill](image, hole, 5)
    assert filled.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(filled[~hole], image[~hole])
    assert np.array_equal(filled, FILLS[fill](image, hole, 5))
    assert np.abs(filled[hole].astype(int) - 107).max() < 30  # the ground is 100 to 114, the person is red


@pytest.mark.parametrize("fill", sorted(FILLS))
def test_a_fill_of_a_flat_picture_is_flat(fill: str) -> None:
    image = np.full((64, 32, 3), (10, 200, 90), np.uint8)
    hole = person_hole(ellipse_mask((64, 32)).astype(np.float32), 9)
    assert np.abs(FILLS[fill](image, hole, 0).astype(int) - image).max() <= 4  # Telea's weights round


def test_rows_carries_colours_sideways() -> None:
    image = np.zeros((96, 48, 3), np.uint8)
    image[:32], image[32:64], image[64:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    hole = np.zeros((96, 48), bool)
    hole[4:92, 10:38] = True
    filled = FILLS["rows"](image, hole, 0).astype(int)
    for row in (16, 48, 80):
        assert np.abs(filled[row] - image[row]).max() < 30


def test_nothing_to_fill_and_nothing_to_fill_from() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    assert np.array_equal(FILLS["rows"](image, np.zeros((32, 16), bool), 0), image)
    assert np.array_equal(FILLS["rows"](image, np.ones((32, 16), bool), 0), image)


def test_the_hole_is_the_mask_grown_with_the_pictures_height() -> None:
    alpha = np.zeros((256, 128), np.float32)
    alpha[128, 64] = 0.31
    hole = person_hole(alpha, 9)
    assert hole[128, 64 + 17]
    assert not hole[128, 64 + 20]
    assert not person_hole(alpha - 0.02, 9).any()


def test_plates_are_kept_and_read_back(people: list[Record]) -> None:
    made = list(plates(people, SEGMENTER, PlateSettings(), 1))
    assert all(isinstance(one, Plate) for one in made)
    for record, plate in zip(people, made, strict=True):
        assert isinstance(plate, Plate)
        masked = Masked(record, *_picture(record), 1.0)
        picture, hole = make_plate(masked, PlateSettings())
        kept, invented = read_plate(plate.path)
        assert np.array_equal(kept, picture)
        assert np.array_equal(invented, hole)
        assert plate.hole.mean() / 255 == pytest.approx(hole.mean(), abs=0.02)


def _picture(record: Record) -> tuple[np.ndarray, str, np.ndarray]:
    from reid_data.files import sha256_file
    from reid_data.images import read_mask, read_record

    mask = Path(record.root, "masks", record.name).with_suffix(".png")
    return read_record(record), sha256_file(record.path), read_mask(str(mask))


def test_other_settings_other_plates(people: list[Record]) -> None:
    first = next(plates(people[:1], SEGMENTER, PlateSettings(), 1))
    second = next(plates(people[:1], SEGMENTER, PlateSettings(dilation=5), 1))
    assert isinstance(first, Plate)
    assert isinstance(second, Plate)
    assert first.path != second.path
    assert second.hole.sum() < first.hole.sum()


def empty_mask(record: Record) -> None:
    """Write for a picture that nobody is in it."""
    Path(record.root, "masks", record.name).with_suffix(".png").write_bytes(encode_mask(np.zeros((48, 24))))


def test_the_gate_rejects_with_a_reason(people: list[Record]) -> None:
    empty_mask(people[0])
    one = next(plates(people[:2], SEGMENTER, PlateSettings(), 1))
    assert isinstance(one, Rejected)
    assert one.reason == "mask quality 0.00: no person found"


def test_unknown_fill() -> None:
    with pytest.raises(UsageError, match="Did you mean 'rows'"):
        PlateSettings(fill="row")


def test_a_damaged_plate_is_named(people: list[Record]) -> None:
    list(plates(people[:1], SEGMENTER, PlateSettings(), 1))
    (path,) = cache_folder("plates").rglob("*.png")
    path.write_bytes(b"x")
    with pytest.raises(ImageError, match="no plate"):
        read_plate(str(path))


def test_any_beginning_of_the_order_has_all_cameras_alike() -> None:
    records = [Record("r", f"{n}.jpg", n, 1 + (n > 5) + (n > 20), "train") for n in range(60)]
    order = candidate_order(records, 4)
    assert sorted(order, key=lambda record: record.pid) == records
    assert Counter(record.camid for record in order[:15]) == {1: 5, 2: 5, 3: 5}
    assert order == candidate_order(records, 4)
    assert order != candidate_order(records, 5)


def test_only_as_many_crops_are_tried_as_needed(people: list[Record]) -> None:
    many = people * 4
    bank = gather_plates(many, 5, SEGMENTER, PlateSettings(), 0)
    assert len(bank.plates) == 5
    assert bank.rejected == bank.unusable == ()
    assert [row["status"] for row in bank.rows("train")] == ["ok"] * 5


def test_the_next_blocks_make_up_for_rejected_crops(people: list[Record]) -> None:
    for record in people[: len(people) // 2]:
        empty_mask(record)
    Path(people[-1].path).write_bytes(b"")
    bank = gather_plates(people, 100, SEGMENTER, PlateSettings(), 0, workers=2)
    assert len(bank.plates) == len(people) - len(people) // 2 - 1
    assert len(bank.rejected) == len(people) // 2
    assert len(bank.unusable) == 1


def test_fitting_cuts_evenly_at_the_sides_and_only_at_the_top() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 15] = 255
    fitted = fit_plate(wide, (20, 11))
    assert fitted.shape == (20, 11, 3)
    assert fitted[:, 5:7].max() > 100
    tall = np.zeros((40, 10, 3), np.uint8)
    tall[-1] = 255
    assert fit_plate(tall, (20, 10))[-1].min() == 255
    same = np.random.default_rng(0).integers(0, 256, (12, 6, 3), dtype=np.uint8)
    assert np.array_equal(fit_plate(same, (12, 6)), same)
