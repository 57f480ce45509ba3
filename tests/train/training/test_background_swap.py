"""`--background-swap`: other pictures in every epoch, the same for any number of processes, part of the training's key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reid_data.compose.in_training import prepare_swap
from reid_data.datasets import load_dataset
from reid_data.errors import UsageError
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.transforms import train_transform
from reid_train.runs.folder import read_log
from reid_train.training import batches as data
from reid_train.training import inputs
from reid_train.training.fit import fit, identify
from reid_train.training.samplers import random_plan, shard
from tests.data.people import write_people_set
from tests.train.conftest import small

pytestmark = pytest.mark.usefixtures("tiny_backbone")
SWAP = {"background_swap": 0.6, "bg": "bg", "batch_ids": 2}


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReidDataset:
    """A set with masks beside it; `bg` lies in the same data root."""
    write_people_set(tmp_path / "bg", 3, seed=100, extras=False)
    monkeypatch.setattr(inputs, "_segmenter", PrecomputedSegmenter)
    return load_dataset(str(write_people_set(tmp_path / "people", num_ids=3)), tmp_path)


def batches(people: ReidDataset, bg: ReidDataset, epoch: int, probability: float = 0.6) -> data.EpochBatches:
    segmenter = PrecomputedSegmenter()
    swap = prepare_swap(people.train, bg, segmenter, probability=probability, seed=0)
    images = replace(data.load_training_set([people], (32, 16)), swap=swap)
    nothing = train_transform((32, 16), flip=0, pad_crop=0, random_erasing=0, fill=(0, 0, 0))
    numbers, positions = shard(random_plan(6, batch_size=6, iterations=3, seed=0, epoch=1), 0, 1)
    return data.EpochBatches(images, nothing, numbers, positions, seed=0, epoch=epoch)


def test_the_pictures_change_with_epoch_and_position_and_not_with_the_processes(
    people: ReidDataset, tmp_path: Path
) -> None:
    bg = load_dataset("bg", tmp_path)
    first = batches(people, bg, 1)
    for here, there in zip(data.iterate(first, 0), data.iterate(first, 2)):
        assert all(torch.equal(a, b) for a, b in zip(here[:3], there[:3]))
    plain = first.images
    assert plain.pixels is not None
    swapped = [
        not np.array_equal(picture, plain.pixels[number])
        for batch in data.iterate(first, 0)
        for picture, number in zip(batch.images.numpy(), batch.numbers)
    ]
    assert 4 <= sum(swapped) <= 16, "of 18 draws with a probability of 0.6"
    later = batches(people, bg, 2)
    assert not all(torch.equal(a.images, b.images) for a, b in zip(data.iterate(first, 0), data.iterate(later, 0)))
    drawn = batches(people, bg, 1, probability=1.0)
    pictures: dict[int, list[np.ndarray]] = {}
    for batch in data.iterate(drawn, 0):
        for picture, number in zip(batch.images.numpy(), batch.numbers.tolist()):
            pictures.setdefault(number, []).append(picture)
    assert any(not np.array_equal(seen[0], seen[-1]) for seen in pictures.values()), "every draw has its own plate"


def test_a_background_that_cannot_be_read_is_a_row_of_the_run(people: ReidDataset, tmp_path: Path) -> None:
    first = sorted((tmp_path / "bg" / "bounding_box_train").glob("*.*"))[0]
    first.write_bytes(b"")
    result = fit(small(**SWAP), [people], tmp_path / "run", device="cpu", data_root=tmp_path)
    assert result.unreadable == [{"name": f"bounding_box_train/{first.name}", "reason": "is empty (0 bytes)"}]
    assert result.num_failed == 1, "the exit code is not 0"


def test_a_training_is_repeatable_and_says_what_it_swaps(
    people: ReidDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "reid_train")
    runs = [
        fit(small(**SWAP), [people], tmp_path / name / "run", device="cpu", workers=workers, data_root=tmp_path)
        for name, workers in (("a", 1), ("b", 2))
    ]
    assert runs[0] == runs[1]
    assert "6 of 6 images may get one of 6 backgrounds of bg" in caplog.text
    models = [(tmp_path / name / "run" / "model.safetensors").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    fit(small(batch_ids=2), [people], tmp_path / "plain" / "run", device="cpu", workers=1)
    assert (tmp_path / "plain" / "run" / "model.safetensors").read_bytes() != models[0]
    assert read_log(tmp_path / "a" / "run")[0]["settings"]["bg"] == "bg"


def test_the_key_counts_the_backgrounds(people: ReidDataset, tmp_path: Path) -> None:
    def key(**changes: object) -> str:
        return identify(small(**changes), [people], device="cpu", data_root=tmp_path).train_key

    first = key(**SWAP)
    assert first != key(**{**SWAP, "background_swap": 0.5})
    write_people_set(tmp_path / "bg", 4, seed=7, extras=False)
    assert first != key(**SWAP)
    assert "bg" not in small().key("train"), "without backgrounds the key is as if there were no such setting"


@pytest.mark.parametrize("half", [{"background_swap": 0.5}, {"bg": "duke"}])
def test_half_a_wish(half: dict[str, object], people: ReidDataset) -> None:
    with pytest.raises(UsageError, match="belong together"):
        identify(small(**half), [people], device="cpu")
