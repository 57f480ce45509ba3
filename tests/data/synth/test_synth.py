"""Synthetic sets: layout, bytes, truth files, refusals, the endless samples."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from reid_data.errors import EnvironmentFault, UsageError
from reid_data.images import read_image, read_mask
from reid_data.records import SPLIT_FOLDERS, SPLITS, count_split
from reid_data.synth.generate import generate, render, sample
from reid_data.synth.layout import plan_set
from reid_data.synth.place.scene import NETWORKS, draw_scene

SMALL = {"num_train": 14, "num_ids": 4, "seed": 5}
NAME = re.compile(r"^(-1|\d{4})_c(\d)s(\d+)_(\d{6})_(\d{2})\.jpg$")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("synth") / "market", "market", **SMALL)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_workers_write_the_same_bytes(small, tmp_path):
    again = generate(tmp_path / "market", "market", **SMALL, workers=2)
    assert digests(small.root) == digests(again.root)
    assert [record.name for record in small.records] == [record.name for record in again.records]


def test_another_seed_gives_other_pictures():
    jobs = [job for job in plan_set("market", 14, 4, 5) if job.split == "train"]
    scene = draw_scene(5, "market", jobs[0].camid, 0)
    first, second, same = (render(jobs[0], scene, "market", seed).image for seed in (5, 6, 5))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, same)


def test_names_splits_and_truth_files(small):
    for record in small.records:
        name = record.name.split("/")[1]
        shown = NAME.match(name)
        assert shown, name
        assert (int(shown[1]), int(shown[2])) == (record.pid, record.camid)
        assert read_image(record.path).shape == (128, 64, 3)
        folder, stem = SPLIT_FOLDERS[record.split], record.stem
        mask = read_mask(str(small.root / "masks" / folder / f"{stem}.png"))
        assert mask.shape == (128, 64)
        assert (mask.max() > 0.9) or record.pid <= 0
        assert read_image(str(small.root / "plates" / folder / f"{stem}.png")).shape == (128, 64, 3)
    assert len(list(small.root.rglob("*.jpg"))) == len(small.records)
    assert len(list((small.root / "masks").rglob("*.png"))) == len(small.records)


def test_the_picture_differs_from_its_plate_mostly_inside_the_mask(small):
    for record in small.train:
        image, folder = read_image(record.path).astype(float), SPLIT_FOLDERS["train"]
        plate = read_image(str(small.root / "plates" / folder / f"{record.stem}.png")).astype(float)
        mask = read_mask(str(small.root / "masks" / folder / f"{record.stem}.png"))
        change = np.abs(image - plate).mean(axis=2)
        far = mask[:40] == 0
        assert change[mask > 0.9].mean() > 10
        assert change[:40][far].mean() < 8


def test_counts_are_those_of_the_card(small):
    card = json.loads((small.root / "dataset.json").read_text())
    assert card["kind"] == "synthetic"
    assert card["identity_space"] == "synthetic-market-5"
    assert card["counts"] == {split: count_split(small.split(split)) for split in SPLITS}
    assert card["counts"]["train"]["images"] == 14
    assert card["counts"]["train"]["ids"] == card["counts"]["query"]["ids"] == 4
    assert card["counts"]["gallery"]["distractors"] > 0
    assert card["counts"]["gallery"]["junk"] > 0


def test_the_ordinary_reader_loads_it(small):
    from reid_data.datasets import load_dataset

    for name, root in (("market", small.root.parent), (str(small.root), Path("nowhere"))):
        loaded = load_dataset(name, root)
        assert [record.name for record in loaded.records] == [record.name for record in small.records]
        assert [record.pid for record in loaded.records] == [record.pid for record in small.records]
        assert loaded.card.kind == "synthetic"


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_the_plan_keeps_the_protocol(network):
    jobs = plan_set(network, 700, 70, 0)
    train = [job for job in jobs if job.split == "train"]
    query = [job for job in jobs if job.split == "query"]
    gallery = [job for job in jobs if job.split == "gallery"]
    assert len(train) == 700
    assert 120 <= len(query) <= 220
    assert 450 <= len(gallery) <= 650
    assert len({(job.split, job.name) for job in jobs}) == len(jobs)
    assert not {job.pid for job in train} & {job.pid for job in query}
    assert {job.pid for job in query} == {job.pid for job in gallery} - {0, -1}
    assert {job.camid for job in train} == set(range(1, NETWORKS[network].cameras + 1))
    for job in query:
        assert any(other.pid == job.pid and other.camid != job.camid for other in gallery), job.name
    for camid in {job.camid for job in train}:
        assert len({job.scene for job in train if job.camid == camid}) > 1


def test_every_camera_has_scenes_of_its_own():
    images = [
        draw_scene(0, network, camera, number).image
        for network, camera, number in (("market", 1, 0), ("market", 1, 1), ("market", 2, 0), ("duke", 1, 0))
    ]
    for first in range(4):
        for second in range(first):
            apart = np.abs(images[first].astype(int) - images[second]).mean()
            assert apart > 15, (first, second)
    assert np.array_equal(images[0], draw_scene(0, "market", 1, 0).image)


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "market"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(EnvironmentFault, match="did not write"):
        generate(folder, "market", num_train=4, num_ids=2)
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]


def test_leftovers_of_a_killed_run_go_and_an_old_set_is_replaced(tmp_path, monkeypatch):
    from reid_data.synth import generate as module

    monkeypatch.setattr(module, "_write_group", lambda task: len(task[3]))
    left = tmp_path / ".tmp-synth-duke" / "masks"
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"x")
    generate(tmp_path / "duke", "duke", num_train=4, num_ids=2)
    first = json.loads((tmp_path / "duke" / "dataset.json").read_text())
    generate(tmp_path / "duke", "duke", num_train=6, num_ids=2)
    second = json.loads((tmp_path / "duke" / "dataset.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["duke"]
    assert (first["settings"]["num_train"], second["settings"]["num_train"]) == (4, 6)
    assert not (tmp_path / "duke" / "masks" / "half.png").exists()


def test_settings_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(UsageError, match="duke, market"):
        generate(tmp_path / "x", "markt")
    with pytest.raises(UsageError, match="identities"):
        generate(tmp_path / "x", "market", num_train=10, num_ids=9)


def test_samples_depend_on_seed_index_and_network_alone():
    first = sample(1, 3, "market")
    sample(1, 4, "market")
    again = sample(1, 3, "market")
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], sample(2, 3, "market")[0])
    image, alpha, plate = first
    assert (image.shape, image.dtype, alpha.dtype, plate.shape) == ((128, 64, 3), np.uint8, np.float32, (128, 64, 3))
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_an_empty_sample_shows_nobody():
    image, alpha, plate = sample(1, 5, "market", empty=1.0)
    assert alpha.max() == 0
    assert np.abs(image.astype(int) - plate).mean() < 12
