"""Segmenters and the mask cache."""

import pickle
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import ImageError, InputError, UsageError
from reid_data.files import cache_folder, write_atomic
from reid_data.images import encode_mask, encode_png
from reid_data.masks import iou
from reid_data.records import Record
from reid_data.segment import build_segmenter
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.cache import MaskCache, Masked, Unusable
from reid_data.segment.grabcut import GrabCutSegmenter, fitted, scaled_silhouette
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.segment.silhouette import draw_silhouette, mean_silhouette
from reid_data.segment.survey import MaskInfo, survey
from tests.data.people import ellipse_mask, person_picture, write_people_set


class CountingSegmenter(PlainSegmenter):
    """A soft ramp for every image; counts how many it saw, and refuses images with an odd first pixel when told so."""

    name = "counting"
    cached = True
    max_workers = None
    batch = 16

    def __init__(self, *, refuse: int | None = None) -> None:
        self.seen = 0
        self.refuse = refuse

    def digest(self, records: Sequence[Record] = ()) -> str:
        return "c" * 64

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        if any(record.pid == self.refuse for record in records):
            raise ImageError("is refused")
        self.seen += len(images)
        ramps = [np.tile(np.linspace(0, 1, image.shape[1], dtype=np.float32), (image.shape[0], 1)) for image in images]
        return ramps, [1 / 3 for _ in images]


@pytest.fixture
def people(tmp_path: Path) -> list[Record]:
    return load_dataset(str(write_people_set(tmp_path / "people")), tmp_path).records


def test_an_unknown_name_suggests() -> None:
    with pytest.raises(UsageError, match="Did you mean 'grabcut'"):
        build_segmenter("grabcat")


@pytest.mark.parametrize("name", ["grabcut", "precomputed"])
def test_segmenters_travel_and_keep_their_digest(name: str) -> None:
    segmenter = build_segmenter(name)
    assert segmenter.name == name
    assert pickle.loads(pickle.dumps(segmenter)).digest() == segmenter.digest()


@pytest.mark.parametrize("size", [(128, 64), (64, 32), (150, 48), (301, 170)])
def test_grabcut_finds_a_figure_of_its_own_colour(size: tuple[int, int]) -> None:
    image, mask = person_picture(3, size)
    (alpha,), (quality,) = GrabCutSegmenter().segment([], [image])
    assert alpha.shape == size
    assert alpha.dtype == np.float32
    assert set(np.unique(alpha)) <= {0.0, 1.0}
    assert iou(alpha > 0.5, mask) > 0.8
    assert quality > 0.7


def framed(tall: float, wide: float, number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Figures of that size in a noisy street, and their masks."""
    height, width = mean_silhouette().shape
    matrix = np.array([[wide, 0, width / 2 * (1 - wide)], [0, tall, height / 2 * (1 - tall)]])
    images, masks = [], []
    for seed in range(number):
        rng = np.random.default_rng(seed)
        mask = cv2.warpAffine(draw_silhouette(rng).astype(np.float32), matrix, (width, height)) > 0.5
        image = cv2.GaussianBlur(rng.integers(60, 160, (height, width, 3)).astype(np.float32), (0, 0), 2)
        image[mask] = rng.uniform(0, 255, 3) + rng.normal(0, 6, (mask.sum(), 3))
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
    return images, masks


def test_grabcut_is_fitted_to_how_a_set_frames_its_people() -> None:
    plain, found = GrabCutSegmenter(), []
    for tall, wide in ((0.8, 0.75), (1.0, 1.15)):
        images, masks = framed(tall, wide, 12)
        one = fitted(plain, images)
        fit, base = (
            np.mean([iou(alpha > 0.5, mask) for alpha, mask in zip(each.segment([], images)[0], masks, strict=True)])
            for each in (one, plain)
        )
        assert fit > base - 0.01
        assert fitted(one, images) == one
        found.append(one)
    loose, tight = found
    assert loose.tall < 1
    assert loose.tall * loose.wide < tight.tall * tight.wide
    assert loose.digest() != plain.digest()


def test_only_grabcut_is_adapted_and_unreadable_pictures_are_passed_over(tmp_path: Path) -> None:
    images, _ = framed(0.8, 0.75, 3)
    for number, image in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(encode_png(image))
    (tmp_path / "3.png").write_bytes(b"broken")
    records = [Record(str(tmp_path), f"{number}.png", 1, 1, "train") for number in range(4)]
    assert GrabCutSegmenter().adapted_to(records) == fitted(GrabCutSegmenter(), images)
    assert GrabCutSegmenter().adapted_to(records[3:]) == GrabCutSegmenter()
    other = CountingSegmenter()
    assert other.adapted_to(records) is other
    assert other.seen == 0


def test_the_silhouettes_size_is_what_it_says() -> None:
    assert np.array_equal(scaled_silhouette(1.0, 1.0), mean_silhouette())
    solid, small = mean_silhouette() > 0.5, scaled_silhouette(0.82, 0.8) > 0.5
    for axis, share in ((1, 0.82), (0, 0.8)):
        assert np.ptp(np.flatnonzero(small.any(axis))) == pytest.approx(
            share * np.ptp(np.flatnonzero(solid.any(axis))), abs=2
        )


def test_grabcut_depends_on_the_image_alone() -> None:
    pictures = [np.random.default_rng(seed).integers(0, 256, (64, 32, 3), dtype=np.uint8) for seed in range(3)]
    together, _ = GrabCutSegmenter().segment([], pictures)
    alone = [GrabCutSegmenter().segment([], [picture])[0][0] for picture in pictures[::-1]]
    assert all(np.array_equal(first, second) for first, second in zip(together, alone[::-1], strict=True))


def test_grabcut_survives_pictures_without_any_contrast() -> None:
    alphas, qualities = GrabCutSegmenter().segment([], [np.full((128, 64, 3), 7, np.uint8)])
    assert alphas[0].shape == (128, 64)
    assert 0 <= qualities[0] < 0.7


def test_settings_change_the_digest() -> None:
    assert GrabCutSegmenter().digest() != GrabCutSegmenter(iterations=2).digest()


def test_the_silhouette_is_a_standing_person() -> None:
    mean = mean_silhouette()
    assert mean.shape == (128, 64)
    assert mean.min() >= 0
    assert mean.max() <= 1
    assert np.allclose(mean, mean[:, ::-1])
    assert mean[40, 32] > 0.95  # the chest
    assert mean[:, 0].max() < 0.1  # nobody reaches the border often
    assert mean[5:15].sum() < mean[25:35].sum()  # a head is narrower than shoulders


def test_precomputed_reads_the_sets_own_masks(people: list[Record]) -> None:
    segmenter = PrecomputedSegmenter()
    images = [np.zeros((48, 24, 3), np.uint8)] * len(people)
    alphas, qualities = segmenter.segment(people, images)
    assert all(0.3 < alpha.mean() < 0.6 for alpha in alphas)
    assert min(qualities) == 1


def test_precomputed_elsewhere_by_split_and_stem(people: list[Record], tmp_path: Path) -> None:
    record = people[0]
    (tmp_path / "other" / "bounding_box_train").mkdir(parents=True)
    half = np.full((48, 24), 0.5, np.float32)
    write_atomic(tmp_path / "other" / "bounding_box_train" / f"{record.stem}.png", encode_mask(half))
    segmenter = PrecomputedSegmenter({record.root: str(tmp_path / "other")})
    (alpha,), _ = segmenter.segment([record], [np.zeros((48, 24, 3), np.uint8)])
    assert np.allclose(alpha, 128 / 255)


def test_precomputed_with_an_empty_mask_sees_nobody(people: list[Record]) -> None:
    (Path(people[0].root, "masks") / people[0].name).with_suffix(".png").write_bytes(encode_mask(np.zeros((48, 24))))
    (alpha,), (quality,) = PrecomputedSegmenter().segment(people[:1], [np.zeros((48, 24, 3), np.uint8)])
    assert not alpha.any()
    assert quality == 0


def test_what_is_no_mask_is_said_picture_by_picture(people: list[Record]) -> None:
    masks = [(Path(record.root, "masks") / record.name).with_suffix(".png") for record in people]
    masks[0].unlink()
    plane = ellipse_mask().astype(np.uint8)
    masks[1].write_bytes(encode_png(plane))
    masks[2].write_bytes(encode_png(7 * plane))
    masks[3].write_bytes(encode_png(np.dstack([255 * plane, plane, plane])))
    found = MaskCache(PrecomputedSegmenter()).masked(people[:5])
    assert [one.reason for one in found[:4] if isinstance(one, Unusable)] == [
        f"has no mask: expected 'masks/{people[0].name.replace('.jpg', '.png')}'",
        *(
            f"its mask 'masks/{record.name.replace('.jpg', '.png')}' {reason}"
            for record, reason in zip(
                people[1:4],
                (
                    "has no larger value than 1: expected 0 (background) to 255 (the person); multiply it by 255",
                    "has no larger value than 7: expected 0 (background) to 255 (the person); "
                    "if they are labels, write 255 where the person is",
                    "is a picture in colours: a mask is grey, from 0 (background) to 255 (the person)",
                ),
            )
        ),
    ]
    assert isinstance(found[4], Masked), "the others of the batch are as they were"
    masks[0].with_suffix(".bmp").write_bytes(b"a mask")
    (again,) = MaskCache(PrecomputedSegmenter()).masked(people[:1])
    assert isinstance(again, Unusable)
    assert again.reason.endswith("_00.bmp' is there, but a mask is an 8-bit PNG")


def test_precomputed_names_a_mask_of_the_wrong_size(people: list[Record]) -> None:
    with pytest.raises(ImageError, match="48x24, the image 10x10"):
        PrecomputedSegmenter().segment(people[:1], [np.zeros((10, 10, 3), np.uint8)])


def test_precomputed_digest_follows_the_files(people: list[Record]) -> None:
    before = PrecomputedSegmenter().digest(people)
    mask = Path(people[0].root, "masks", "bounding_box_train", f"{people[0].stem}.png")
    write_atomic(mask, encode_mask(ellipse_mask(shift=3).astype(np.float32)))
    assert PrecomputedSegmenter().digest(people) != before


def test_precomputed_with_no_masks_at_all_is_an_error(market_folder: object, tmp_path: Path) -> None:
    root = market_folder("bare")  # type: ignore[operator]
    with pytest.raises(InputError, match="no masks for"):
        PrecomputedSegmenter().digest(load_dataset(str(root), tmp_path).records)


def test_the_second_time_nothing_is_segmented(people: list[Record]) -> None:
    first, second = CountingSegmenter(), CountingSegmenter()
    fresh = MaskCache(first).masked(people)
    kept = MaskCache(second).masked(people)
    assert (first.seen, second.seen) == (len(people), 0)
    for one, other in zip(fresh, kept, strict=True):
        assert isinstance(one, Masked)
        assert isinstance(other, Masked)
        assert np.array_equal(one.alpha, other.alpha)
        assert np.array_equal(one.image, other.image)
        assert one.quality == other.quality == 0.3333
        assert np.array_equal(np.rint(one.alpha * 255) / 255, one.alpha.astype(np.float64).round(9)) or np.allclose(
            one.alpha * 255, np.rint(one.alpha * 255), atol=1e-4
        )


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n", b"nonsense"])
def test_a_damaged_mask_is_made_again(people: list[Record], damage: bytes) -> None:
    MaskCache(CountingSegmenter()).masked(people[:1])
    (path,) = cache_folder("masks").rglob("*.png")
    whole = path.read_bytes()
    path.write_bytes(damage)
    segmenter = CountingSegmenter()
    MaskCache(segmenter).masked(people[:1])
    assert segmenter.seen == 1
    assert path.read_bytes() == whole


def test_what_cannot_be_used_says_why_and_the_rest_goes_on(people: list[Record]) -> None:
    Path(people[1].path).write_bytes(b"")
    results = MaskCache(CountingSegmenter(refuse=people[0].pid)).masked(people)
    reasons = {index: one.reason for index, one in enumerate(results) if isinstance(one, Unusable)}
    expected = {index for index, record in enumerate(people) if record.pid == people[0].pid}
    assert set(reasons) == expected | {1}
    assert reasons[0] == "is refused"
    assert "empty" in reasons[1]


def test_reading_runs_ahead_of_the_segmenter(people: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [people[:2], people[2:4], people[4:]]
    started = {id(batch): threading.Event() for batch in batches}
    real = MaskCache._read

    def read(self: MaskCache, batch: Sequence[Record]) -> object:
        started[id(batch)].set()
        return real(self, batch)

    coming = iter(batches[1:])

    class Waiting(CountingSegmenter):
        """Segments a batch only once the next one is being read."""

        def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> object:
            follower = next(coming, None)
            assert follower is None or started[id(follower)].wait(10), "the next batch is not read meanwhile"
            return super().segment(records, images)

    with monkeypatch.context() as patch:
        patch.setattr(MaskCache, "_read", read)
        found = [one for batch in MaskCache(Waiting()).masked_ahead(batches) for one in batch]
    plain = MaskCache(CountingSegmenter()).masked(people)
    assert [one.record for one in found] == list(people)
    for one, other in zip(found, plain, strict=True):
        assert isinstance(one, Masked)
        assert isinstance(other, Masked)
        assert np.array_equal(one.alpha, other.alpha)


@pytest.mark.parametrize("workers", [1, 2])
def test_survey_gives_every_record_in_order(people: list[Record], workers: int) -> None:
    reports: list[tuple[int, int]] = []
    infos = list(survey(people, PrecomputedSegmenter(), workers, lambda done, total: reports.append((done, total))))
    assert [info.record for info in infos] == people
    assert all(isinstance(info, MaskInfo) and info.size == (48, 24) and info.thumb.shape == (32, 16) for info in infos)
    assert reports[-1] == (len(people), len(people))
