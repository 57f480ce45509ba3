"""Training images and batches: classes over several sets, parts of sets, pixels, loader processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid_data import decode
from reid_data.datasets import load_dataset
from reid_data.images import read_record
from reid_data.records import ReidDataset
from reid_train.training import batches as data
from reid_train.training.batches import class_map, load_training_set, take_first, take_part
from reid_train.training.fit import fit
from tests.train.conftest import small

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def run(folder: Path, *sets: ReidDataset, workers: int = 1, **changes: Any) -> Any:
    return fit(small(**changes), sets, folder, device="cpu", workers=workers)


def test_identities_merge_only_within_one_space(tiny: ReidDataset, tiny_root: Path) -> None:
    other = load_dataset("other", tiny_root)
    both = load_training_set([other, tiny], (32, 16))
    assert len(both.classes) == 16
    assert both.classes == sorted(both.classes)
    half = take_part(tiny, 0.5, seed=0)
    merged = load_training_set([half, tiny], (32, 16))
    assert len(merged.classes) == 8
    assert len(set(merged.cameras)) == 4, "cameras are counted over all sets"
    for number in (0, len(half.train)):
        record = merged.records[number]
        assert merged.classes[merged.labels[number]] == ("tiny", record.pid)


def test_class_numbers_do_not_depend_on_the_order_of_sets() -> None:
    identities = [("b", 1), ("a", 7), ("a", 2), ("b", 1)]
    assert class_map(identities) == {("a", 2): 0, ("a", 7): 1, ("b", 1): 2} == class_map(identities[::-1])


def test_parts_of_a_set(tiny: ReidDataset) -> None:
    assert take_part(tiny, 1, seed=0) is tiny
    part = take_part(tiny, 0.25, seed=0)
    assert (part.name, len(part.train)) == ("tiny:0.25", 12)
    assert list(part.train) == [record for record in tiny.train if record in set(part.train)], "in the set's order"
    assert part.train == take_part(tiny, 0.25, seed=0).train
    assert part.train != take_part(tiny, 0.25, seed=1).train
    assert set(part.train) < set(take_part(tiny, 0.5, seed=0).train), "a larger part holds the smaller one"
    first = take_first(tiny, 13)
    assert len(first.train) == 13
    assert len({record.pid for record in first.train}) == 3


def test_training_images_are_read_as_they_are(tiny: ReidDataset) -> None:
    images = load_training_set([tiny], (32, 16))
    assert images.pixels is not None
    np.testing.assert_array_equal(images.pixels[5], read_record(images.records[5]))


def test_pixels_that_do_not_fit_are_decoded_when_needed(tiny: ReidDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    held = load_training_set([tiny], (32, 16))
    monkeypatch.setattr(decode, "free_memory", lambda: 1000)
    lazy = load_training_set([tiny], (32, 16))
    assert held.pixels is not None
    assert lazy.pixels is None
    assert all(np.array_equal(held.image(number), lazy.image(number)) for number in range(len(held.records)))


def test_batches_made_by_loader_processes_are_the_same(tiny: ReidDataset) -> None:
    from reid_data.transforms import train_transform
    from reid_train.training.samplers import random_plan, shard

    images = load_training_set([tiny], (32, 16))
    transform = train_transform((32, 16), flip=0.5, pad_crop=4, random_erasing=0.5, fill=(1, 2, 3))
    numbers, positions = shard(random_plan(48, batch_size=8, iterations=4, seed=0, epoch=1), 0, 1)
    batches = data.EpochBatches(images, transform, numbers, positions, seed=0, epoch=1)
    for here, there in zip(data.iterate(batches, 0), data.iterate(batches, 2)):
        assert all(torch.equal(a, b) for a, b in zip(here[:3], there[:3]))
    later = data.EpochBatches(images, transform, numbers, positions, seed=0, epoch=2)
    assert not torch.equal(batches[0].images, later[0].images), "another epoch, other draws"
