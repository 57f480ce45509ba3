"""Background sets: out of crops, scenes and frames; who is refused; composites on them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.in_training import prepare_swap
from reid_data.compose.settings import CompositeSettings
from reid_data.datasets import load_dataset
from reid_data.errors import EnvironmentFault, ImageError, InputError, UsageError
from reid_data.files import sha256_file
from reid_data.images import read_image, write_image
from reid_data.manifest import Manifest, Row, read_manifest
from reid_data.masks import judge
from reid_data.plates.build import BackgroundSettings, build_backgrounds
from reid_data.plates.crops import PlateSettings, Rejected, gather_plates
from reid_data.plates.load import load_banks
from reid_data.plates.pieces import Box, draw_boxes, ground_fault, median_frame, search_windows, store_size, whole_crop
from reid_data.plates.scenes import picture_source
from reid_data.records import Record
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.written.readme import refusals
from tests.data.people import tree, write_people_set
from tests.killed import killed


@dataclass(frozen=True)
class RedSegmenter(PlainSegmenter):
    """Takes what is red for a person."""

    name: str = "red"
    tells_empties: bool = True
    cached: bool = False
    max_workers: int | None = None
    batch: int = 16

    def digest(self, records: Sequence[Record] = ()) -> str:
        return "0" * 64

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        alphas = [((image[:, :, 0] > 150) & (image[:, :, 1] < 90)).astype(np.float32) for image in images]
        return alphas, [judge(alpha).quality for alpha in alphas]


SEER = RedSegmenter()


def street(seed: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Sky, a wall with windows, even ground from the horizon down."""
    rng = np.random.default_rng(seed)
    picture = np.full((*size, 3), (170, 190, 220), np.uint8)
    horizon = round(0.45 * size[0])
    picture[horizon // 3 : horizon] = (90, 80, 70)
    picture[horizon // 2 : horizon - 8, ::24] = (200, 200, 210)
    picture[horizon:] = 110
    return (picture + rng.integers(0, 6, picture.shape)).astype(np.uint8)


def write_streets(folder: Path, cameras: int = 2, number: int = 4, people: bool = False) -> Path:
    for camera in range(cameras):
        (folder / f"cam{camera}").mkdir(parents=True, exist_ok=True)
        for index in range(number):
            picture = street(10 * camera + index)
            if people:
                x = 20 + 60 * index
                picture[120:220, x : x + 45] = (230, 30, 30)
            write_image(folder / f"cam{camera}" / f"{index}.png", picture)
    return folder


def image_rows(root: Path) -> list[Row]:
    manifest = read_manifest(root)
    assert manifest is not None
    return manifest.of_kind("image")


def test_plates_of_a_set_of_crops(tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=5)), tmp_path)
    built = build_backgrounds(people, tmp_path / "plates", SEER, BackgroundSettings(num=8))
    assert built.plates == {"train": {1: 2, 2: 2}, "test": {1: 2, 2: 2}}
    made = load_dataset("plates", tmp_path)
    assert (made.card.kind, len(made.train), len(made.gallery)) == ("backgrounds", 4, 4)
    assert {record.pid for record in made.records} == {0}
    document = json.loads((tmp_path / "plates" / "dataset.json").read_text())
    assert document["counts"]["train"]["images"] == 4
    assert [parent["name"] for parent in document["parents"]] == ["people"]
    for row in image_rows(tmp_path / "plates"):
        assert row["sha256"] == sha256_file(tmp_path / "plates" / row["name"])
        assert row["source_sha256"] == sha256_file(people.root / row["source"])
        assert row["person_share"] == 0
        assert 0.3 < row["invented"] < 0.9
        assert (row["side"] == "train") == row["source"].startswith("bounding_box_train")
        assert (
            SEER.segment([], [read_image(str(tmp_path / "plates" / row["name"]), transparency="ignored")])[0][0].mean()
            == 0
        )
    again = build_backgrounds(people, tmp_path / "plates", SEER, BackgroundSettings(num=8))
    assert again.was_finished
    with pytest.raises(UsageError, match="seed: 0 there, 3 now"):
        build_backgrounds(people, tmp_path / "plates", SEER, BackgroundSettings(num=8, seed=3))


def test_a_plate_in_which_somebody_is_left_is_refused(tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=4)), tmp_path)
    path = people.train[0].path
    crowded = read_image(path).copy()
    crowded[:, :3] = (230, 20, 20)
    write_image(path.replace(".jpg", ".png"), crowded)
    Path(path).unlink()
    Path(path.replace(".jpg", ".png")).rename(path)

    class Central(RedSegmenter):
        """Cuts out the central person only."""

        def segment(
            self, records: Sequence[Record], images: Sequence[np.ndarray]
        ) -> tuple[list[np.ndarray], list[float]]:
            alphas, _ = super().segment(records, images)
            for alpha in alphas:
                middle = alpha[:, 6:-6].copy()
                if middle.any():
                    alpha[:] = 0
                    alpha[:, 6:-6] = middle
            return alphas, [judge(alpha).quality for alpha in alphas]

    bank = gather_plates(people.train, 99, Central(), PlateSettings(), 0)
    assert [one.record for one in bank.rejected] == [people.train[0]]
    assert "somebody is still seen" in bank.rejected[0].reason
    assert all(plate.person == 0 for plate in bank.plates)
    blind = gather_plates(people.train, 99, PrecomputedSegmenter(), PlateSettings(), 0)
    assert not any(isinstance(one, Rejected) for one in blind.rejected)
    assert {plate.person for plate in blind.plates} == {None}


def test_pieces_of_scenes_stand_on_the_ground_and_share_little() -> None:
    rng = np.random.default_rng(0)
    boxes = draw_boxes((480, 640), 6, rng)
    assert len(boxes) == 6
    for number, box in enumerate(boxes):
        assert box.top >= 0
        assert box.top + box.height <= 480
        assert 0 <= box.left <= 640 - box.width
        assert box.width == pytest.approx(box.height / 2, abs=1)
        feet = box.top + box.height
        assert feet > 0.42 * 480
        assert box.height <= 1.61 * (feet - 0.42 * 480) + 1, "further up the ground, smaller people"
        assert not any(box.overlaps(other) for other in boxes[:number])
    left = draw_boxes((480, 640), 6, rng, (0.0, 0.5))
    assert left
    assert all(box.left + box.width <= 320 for box in left)
    assert draw_boxes((60, 60), 4, rng) == []


def test_overlap_counts_relative_to_the_smaller_box() -> None:
    box = Box(0, 0, 100, 50)
    assert box.overlaps(Box(10, 10, 20, 10))
    assert not box.overlaps(Box(0, 45, 100, 50))
    assert not box.overlaps(Box(100, 0, 100, 50))


def test_ground_faults() -> None:
    ground = street(0)[100:240, 100:170]
    assert ground_fault(ground) == ""
    blocked = ground.copy()
    blocked[-30:, 20:24] = 255
    assert "stands where the feet" in ground_fault(blocked)
    assert "dark" in ground_fault(ground // 8)


def test_windows_cover_the_lower_part_at_three_sizes() -> None:
    windows = search_windows((200, 100))
    assert windows[0] == Box(0, 0, 200, 100)
    assert {window.height for window in windows} == {200, 100, 72}
    seen = np.zeros((200, 100), bool)
    for window in windows[1:]:
        assert window.cut(seen).shape == (window.height, window.width)
        window.cut(seen)[:] = True
    assert seen[60:190].all()


def test_crops_and_large_pieces() -> None:
    assert whole_crop((128, 64)) == Box(0, 0, 128, 64)
    assert whole_crop((300, 100)) == Box(100, 0, 200, 100)
    assert whole_crop((30, 20)) is None
    assert store_size(np.zeros((512, 256, 3), np.uint8)).shape == (256, 128, 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_scenes_with_people_in_them_give_only_empty_pieces(tmp_path: Path, workers: int) -> None:
    folder = write_streets(tmp_path / "streets", people=True)
    source = picture_source(folder, "mine")
    out = tmp_path / str(workers) / "scenes"
    built = build_backgrounds(source, out, SEER, BackgroundSettings("scenes", num=6), workers=workers)
    assert sum(built.plates["train"].values()) == sum(built.plates["test"].values()) == 3
    rows = image_rows(out)
    for row in rows:
        picture = read_image(str(out / row["name"]))
        assert SEER.segment([], [picture])[0][0].mean() < 0.02
        assert picture.shape[0] <= 256
        assert row["person_part"] < 0.08
    train, test = ({row["source"] for row in rows if row["side"] == side} for side in ("train", "test"))
    assert not train & test, "no picture serves both sides"
    refused = read_manifest(out).of_kind("plate")  # type: ignore[union-attr]
    assert any("somebody" in row["reason"] for row in refused)
    other = tmp_path / "other" / "scenes"
    build_backgrounds(source, other, SEER, BackgroundSettings("scenes", num=6), workers=3 - workers)
    assert tree(out) == tree(other)


def test_the_median_over_time_removes_who_walks_past(tmp_path: Path) -> None:
    folder = write_streets(tmp_path / "video", number=5, people=True)
    clean = street(0).astype(int)
    frames = list(picture_source(folder / "cam0", "", frames=True).train)
    faults: list[tuple[Record, str]] = []
    scene = median_frame(frames, faults)
    assert np.abs(scene.astype(int) - clean).max() < 12
    (folder / "cam0" / "9.png").write_bytes(b"")
    write_image(folder / "cam0" / "8.png", np.zeros((10, 10, 3), np.uint8))
    empty, small = (replace(frames[0], name=name) for name in ("9.png", "8.png"))
    assert np.array_equal(scene, median_frame([*frames, small, empty], faults))
    assert faults == [(empty, "is empty (0 bytes)")]
    with pytest.raises(ImageError, match="has 1 frames"):
        median_frame(frames[:1], [])
    with pytest.raises(ImageError, match=r"needs at least 3; 1 cannot be read, the first: 9\.png is empty"):
        median_frame([frames[0], empty], [])


@pytest.mark.parametrize("kind", ["crops", "scenes", "frames"])
def test_every_picture_that_cannot_be_read_is_a_failed_row(kind: str, tmp_path: Path) -> None:
    if kind == "crops":
        source = load_dataset(str(write_people_set(tmp_path / "people", num_ids=4)), tmp_path)
    else:
        source = picture_source(write_streets(tmp_path / "streets", number=5), "mine", frames=kind == "frames")
    broken = {record.name for record in source.train[1::3]}
    for name in broken:
        (source.root / name).write_bytes(b"")
    built = build_backgrounds(
        source, tmp_path / "plates", SEER, BackgroundSettings(kind, num=500, plates=PlateSettings(min_quality=0))
    )
    assert set(built.failed) == {(name, "is empty (0 bytes)") for name in broken}
    assert len(built.failed) == len(broken)
    assert built.rejected["is empty (N bytes)"] == len(broken)
    rows = read_manifest(tmp_path / "plates").of_kind("plate")  # type: ignore[union-attr]
    assert {row["source"] for row in rows if row["status"] == "failed"} == broken
    assert all(row["source"] not in broken for row in rows if row["status"] == "rejected")


def test_reasons_are_counted_without_their_numbers() -> None:
    reasons = [
        "is too small (31x40)",
        "is too small (9x12)",
        "mask quality 0.31: cut off",
        "somebody is seen in 4% of it",
    ]
    manifest = Manifest({}, [{"row": "plate", "reason": reason} for reason in reasons], [])
    assert refusals(manifest) == {
        "is too small (width x height)": 2,
        "mask quality N: cut off": 1,
        "somebody is seen in N% of it": 1,
    }


def test_frames_give_each_side_its_half_of_the_view(tmp_path: Path) -> None:
    source = picture_source(write_streets(tmp_path / "video", number=5, people=True), "mine", frames=True)
    built = build_backgrounds(source, tmp_path / "plates", SEER, BackgroundSettings("frames", num=12))
    assert built.plates == {"train": {1: 3, 2: 3}, "test": {1: 3, 2: 3}}
    for row in image_rows(tmp_path / "plates"):
        middle = row["box"][1] + row["box"][3] / 2
        assert (middle < 160) == (row["side"] == "train")


def test_sources_that_give_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        picture_source(tmp_path, "")
    (tmp_path / "dark").mkdir()
    write_image(tmp_path / "dark" / "a.png", np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(InputError, match="too dark"):
        build_backgrounds(
            picture_source(tmp_path / "dark", ""), tmp_path / "out", SEER, BackgroundSettings("scenes", num=2)
        )
    with pytest.raises(UsageError, match="cannot tell that nobody is there"):
        build_backgrounds(
            picture_source(tmp_path / "dark", ""),
            tmp_path / "other",
            PrecomputedSegmenter(),
            BackgroundSettings("scenes", num=2),
        )
    with pytest.raises(EnvironmentFault, match="overlap"):
        build_backgrounds(picture_source(tmp_path / "dark", ""), tmp_path / "dark" / "x", SEER, BackgroundSettings())


def test_composites_and_swaps_use_a_set_of_plates_as_it_is(tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=4)), tmp_path)
    build_backgrounds(people, tmp_path / "plates", SEER, BackgroundSettings(num=12))
    plates = load_dataset("plates", tmp_path)
    built = build_composite(people, plates, tmp_path / "out", PrecomputedSegmenter(), CompositeSettings())
    assert built.failed == 0
    sources = {row["name"]: row for row in image_rows(tmp_path / "plates")}
    for row in image_rows(tmp_path / "out"):
        plate = sources[row["background"]]
        assert plate["pid"] != row["pid"] or row["pid"] < 1, "nobody gets a plate of his own"
        assert (plate["side"] == "train") == (row["split"] == "train")
        assert row["background_sha256"] == plate["sha256"]
    swap = prepare_swap(people.train, plates, PrecomputedSegmenter(), probability=1.0, seed=0)
    assert len(swap.swap.paths) == len(load_banks(plates)["train"].plates) == 6
    assert swap(people.train[0], 1) is not None
    Path(plates.gallery[0].path).write_bytes(b"")
    with pytest.raises(InputError, match="reid-data verify"):
        load_banks(plates)


def test_a_killed_run_is_made_good_by_the_next(tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=2)), tmp_path)
    settings = BackgroundSettings(num=4)
    build_backgrounds(people, tmp_path / "whole" / "plates", SEER, settings)
    failpoint, dead = 0, True
    while dead:
        failpoint += 1
        out = tmp_path / f"run{failpoint}" / "plates"
        if failpoint % 2:  # over an older set
            build_backgrounds(people, out, SEER, BackgroundSettings(num=2))
        dead = killed(failpoint, build_backgrounds, people, out, SEER, settings, overwrite=True)
        build_backgrounds(people, out, SEER, settings, overwrite=True)
        assert tree(out) == tree(tmp_path / "whole" / "plates")
    assert failpoint > 10
