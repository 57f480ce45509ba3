"""BackgroundSwap in albumentations pipelines, and the swapping of training pictures."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from reid_data.compose.in_training import TrainingSwap, prepare_swap, swap_digest
from reid_data.compose.picture import Steps, compose
from reid_data.compose.swap import BackgroundSwap, as_alpha
from reid_data.datasets import load_dataset
from reid_data.errors import InputError, UsageError
from reid_data.images import decode_image, encode_jpeg, encode_mask, encode_png, write_image
from reid_data.plates.files import list_scenes, read_scene
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.transforms import A
from tests.data.people import person_picture, write_people_set

IMAGE, MASK = person_picture(0, (64, 32))
ALPHA = MASK.astype(np.float32)
HARD = asdict(Steps("hard", False, False, False, False))


@pytest.fixture
def flat_plates(tmp_path: Path) -> Path:
    """Ten plates, each of one grey: 10, 20, ... 100."""
    for number in range(1, 11):
        place = tmp_path / "plates" / f"c{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        write_image(place / f"{number}.png", np.full((64, 32, 3), 10 * number, np.uint8))
    return tmp_path / "plates"


def test_it_is_the_composition_of_composite(flat_plates: Path) -> None:
    path = str(flat_plates / "c0" / "4.png")
    plate = read_scene(path)[0]
    swapped = BackgroundSwap([path], p=1)(image=IMAGE, mask=ALPHA)
    assert np.array_equal(swapped["image"], compose(IMAGE, ALPHA, plate, Steps()))
    assert swapped["mask"] is ALPHA
    coded = BackgroundSwap([path], {"jpeg_quality": 80}, p=1)(image=IMAGE, mask=ALPHA)["image"]
    assert np.array_equal(coded, decode_image(encode_jpeg(compose(IMAGE, ALPHA, plate, Steps(jpeg_quality=80)), 80)))


@pytest.mark.parametrize("form", [np.float32, np.float64, bool, np.uint8, lambda m: m[:, :, None]])
def test_any_form_of_mask(form: Callable[[np.ndarray], np.ndarray], flat_plates: Path) -> None:
    mask = MASK.astype(form) if isinstance(form, type) else form(MASK)
    assert np.array_equal(as_alpha(mask), ALPHA)
    assert np.array_equal(as_alpha((255 * MASK).astype(np.uint8)), ALPHA)


def test_the_seed_decides_and_every_plate_gets_its_turn(flat_plates: Path) -> None:
    swap = A.Compose([BackgroundSwap(str(flat_plates), HARD, p=1)])
    seen = []
    for seed in range(60):
        swap.set_random_seed(seed)
        first = swap(image=IMAGE, mask=ALPHA)["image"]
        swap.set_random_seed(seed)
        assert np.array_equal(first, swap(image=IMAGE, mask=ALPHA)["image"])
        assert np.array_equal(first[MASK], IMAGE[MASK])
        seen.append(int(first[0, 0, 0]))
    assert set(seen) == {10 * number for number in range(1, 11)}


def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match="empty"):
        BackgroundSwap([])
    with pytest.raises(UsageError, match="tries"):
        BackgroundSwap("x", tries=0)
    with pytest.raises(UsageError, match="Did you mean 'feather'"):
        BackgroundSwap("x", {"blend": "feathr"})


def test_half_of_the_pictures_with_p_a_half(flat_plates: Path) -> None:
    swap = A.Compose([BackgroundSwap(str(flat_plates), HARD, p=0.5)], seed=3)
    changed = sum(not np.array_equal(swap(image=IMAGE, mask=ALPHA)["image"], IMAGE) for _ in range(200))
    assert 70 <= changed <= 130  # 6 standard deviations


def test_a_pipeline_survives_json(flat_plates: Path) -> None:
    pipeline = A.Compose([BackgroundSwap(str(flat_plates), {"blend": "hard"}, tries=2, p=0.7), A.HorizontalFlip(p=0.5)])
    again = A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))
    assert A.to_dict(again) == A.to_dict(pipeline)
    assert again[0].steps == asdict(Steps("hard"))
    for seed in range(8):
        pipeline.set_random_seed(seed)
        again.set_random_seed(seed)
        assert np.array_equal(pipeline(image=IMAGE, mask=ALPHA)["image"], again(image=IMAGE, mask=ALPHA)["image"])


def test_the_most_hidden_invention_is_taken(tmp_path: Path) -> None:
    """Of two plates: one invented under the person, one invented beside them."""
    for name, invented, grey in (("under", MASK, 40), ("beside", ~MASK, 90)):
        plate = np.full((64, 32, 3), grey, np.uint8)
        (tmp_path / f"{name}.png").write_bytes(
            encode_png(np.dstack([plate, np.where(invented, 0, 255).astype(np.uint8)]))
        )
    paths = [str(tmp_path / f"{name}.png") for name in ("under", "beside")]
    swap = BackgroundSwap(paths + paths, HARD, tries=2, p=1)
    seen = []
    for seed in range(30):
        swap.set_random_seed(seed)
        seen.append(int(swap(image=IMAGE, mask=ALPHA)["image"][0, 0, 0]))
    assert 2 <= seen.count(90) <= 10, "only a draw of both plates of the second kind gives it: one in six"


def test_nobody_and_a_wrong_mask(flat_plates: Path) -> None:
    swap = BackgroundSwap(str(flat_plates), p=1)
    assert swap(image=IMAGE, mask=np.zeros((64, 32), np.uint8))["image"] is IMAGE
    with pytest.raises(UsageError, match="the mask is"):
        swap(image=IMAGE, mask=np.ones((32, 32), np.float32))
    with pytest.raises(ValueError, match="mask"):
        swap(image=IMAGE)


def test_plates_of_other_sizes_and_formats(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.jpg", np.full((90, 200, 3), 77, np.uint8))
    (tmp_path / ".hidden").mkdir()
    write_image(tmp_path / ".hidden" / "no.png", np.zeros((4, 4, 3), np.uint8))
    assert [Path(path).name for path in list_scenes(tmp_path)] == ["wide.jpg"]
    swapped = BackgroundSwap(str(tmp_path), HARD, p=1)(image=IMAGE, mask=ALPHA)["image"]
    assert abs(int(swapped[0, 0, 0]) - 77) <= 1
    with pytest.raises(InputError, match="no pictures"):
        _ = BackgroundSwap(str(tmp_path / ".hidden" / "none")).paths


@pytest.fixture
def sets(tmp_path: Path) -> tuple[ReidDataset, ReidDataset]:
    people = load_dataset(str(write_people_set(tmp_path / "fg", num_ids=4)), tmp_path)
    return people, load_dataset(str(write_people_set(tmp_path / "bg", 3, seed=100, extras=False)), tmp_path)


def prepare(people: ReidDataset, bg: ReidDataset, workers: int = 1, probability: float = 0.5) -> TrainingSwap:
    segmenter = PrecomputedSegmenter()
    return prepare_swap(people.train, bg, segmenter, probability=probability, seed=1, workers=workers)


def test_training_pictures_are_swapped_by_their_seed(sets: tuple[ReidDataset, ReidDataset]) -> None:
    swap, other = prepare(*sets), prepare(*sets, workers=2)
    assert (swap.usable, swap.images) == (8, 8)
    results = [swap(record, seed) for record in sets[0].train for seed in range(12)]
    again = [other(record, seed) for record in reversed(sets[0].train) for seed in reversed(range(12))][::-1]
    assert 25 <= sum(one is not None for one in results) <= 70
    for one, two in zip(results, again, strict=True):
        assert (one is None and two is None) or np.array_equal(one, two)  # type: ignore[arg-type]


def test_the_coin_does_not_choose_the_plate(sets: tuple[ReidDataset, ReidDataset]) -> None:
    swap = prepare(*sets, probability=0.2)
    swap = TrainingSwap(BackgroundSwap([f"{n}.png" for n in range(40)]), swap.masks, 0.2, 0.7, 8, 8)
    drawn = []
    for seed in range(400):
        swap.swap.set_random_seed(seed)
        if swap.swap.py_random.random() < swap.probability:
            drawn += swap.swap.py_random.sample(range(40), 1)
    assert 15 <= np.mean(drawn) <= 24  # 19.5 on average, 4 if the coin and the plate were one number


def test_bad_masks_are_left_alone(sets: tuple[ReidDataset, ReidDataset]) -> None:
    people, bg = sets
    Path(people.root, "masks", people.train[0].name).with_suffix(".png").unlink()
    empty = encode_mask(np.zeros((48, 24)))
    Path(people.root, "masks", people.train[2].name).with_suffix(".png").write_bytes(empty)
    swap = prepare(people, bg, probability=1.0)
    assert swap.usable == 6
    assert swap(people.train[0], 1) is None
    assert swap(people.train[2], 1) is None
    assert swap(people.train[1], 1) is not None


def test_the_digest_follows_the_background_set(sets: tuple[ReidDataset, ReidDataset]) -> None:
    people, bg = sets
    segmenter = PrecomputedSegmenter()
    assert swap_digest(bg, segmenter) == swap_digest(bg, segmenter)
    assert swap_digest(people, segmenter) != swap_digest(bg, segmenter)
