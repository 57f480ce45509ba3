"""Samplers by their invariants."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_data.errors import InputError
from reid_train.training.samplers import num_iterations, pk_plan, random_plan, shard


def plan_for(
    labels: list[int], camids: list[int], num_ids: int, num_images: int, seed: int = 0, epoch: int = 1
) -> np.ndarray:
    return pk_plan(labels, camids, num_ids=num_ids, num_images=num_images, iterations=12, seed=seed, epoch=epoch)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=3, max_size=8),
    num_images=st.integers(1, 6),
    seed=st.integers(0, 100),
)
def test_pk_batches(sizes: list[list[int]], num_images: int, seed: int) -> None:
    """`sizes`: per identity the camera of each of its images."""
    labels = [label for label, cameras in enumerate(sizes) for _ in cameras]
    camids = [camera for cameras in sizes for camera in cameras]
    plan = plan_for(labels, camids, 3, num_images, seed)
    assert plan.shape == (12, 3 * num_images)
    for batch in plan.reshape(12, 3, num_images):
        ids = [{labels[image] for image in row} for row in batch]
        assert all(len(found) == 1 for found in ids), "images of an identity stand side by side"
        assert len(set.union(*ids)) == 3, "identities of a batch differ"
        for row in batch:
            cameras = sizes[labels[row[0]]]
            counts = Counter(row.tolist())
            assert max(counts.values()) - min((counts[i] for i in counts), default=0) <= 1
            assert len(counts) == min(num_images, len(cameras)), "no repeat while there is another image"
            assert len({camids[image] for image in row}) == min(num_images, len(set(cameras))), "other cameras first"


def test_identities_come_in_rounds() -> None:
    plan = plan_for(list(range(6)) * 2, [0] * 12, 2, 2)
    order = (plan.reshape(-1, 2)[:, 0] % 6).tolist()
    for start in range(0, 24, 6):
        assert sorted(order[start : start + 6]) == list(range(6))


def test_images_of_a_camera_come_in_rounds() -> None:
    labels, camids = [0] * 6 + [1] * 6, [0, 0, 0, 1, 1, 1] * 2
    plan = plan_for(labels, camids, 2, 2)
    drawn = [image for batch in plan for image in batch if labels[image] == 0 and camids[image] == 0]
    for start in range(0, 12, 3):
        assert sorted(drawn[start : start + 3]) == [0, 1, 2]


def test_fewer_images_than_k_repeat_evenly() -> None:
    plan = plan_for([0, 1, 1, 2, 2, 2], [0] * 6, 3, 4)
    for batch in plan.reshape(12, 3, 4):
        for row in batch:
            counts = Counter(row.tolist())
            assert sorted(counts.values()) in ([4], [2, 2], [1, 1, 2])


def test_fewer_identities_than_p_is_an_error() -> None:
    with pytest.raises(InputError, match=r"4 identities, the training set has 2.*--batch-ids"):
        plan_for([0, 0, 1], [0, 0, 0], 4, 2)


def test_a_plan_is_a_function_of_seed_and_epoch() -> None:
    labels, camids = list(np.repeat(np.arange(9), 5)), list(range(5)) * 9
    first = plan_for(labels, camids, 4, 3)
    np.testing.assert_array_equal(first, plan_for(labels, camids, 4, 3))
    assert not np.array_equal(first, plan_for(labels, camids, 4, 3, epoch=2))
    assert not np.array_equal(first, plan_for(labels, camids, 4, 3, seed=1))


@pytest.mark.parametrize(("num_records", "batch"), [(10, 4), (3, 8), (8, 8), (1, 2)])
def test_random_batches_cover_the_set_evenly(num_records: int, batch: int) -> None:
    plan = random_plan(num_records, batch_size=batch, iterations=7, seed=3, epoch=1)
    assert plan.shape == (7, batch)
    counts = np.bincount(plan.ravel(), minlength=num_records)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_shards_are_the_columns_of_one_plan(processes: int) -> None:
    plan = random_plan(50, batch_size=8, iterations=5, seed=0, epoch=1)
    shards = [shard(plan, rank, processes) for rank in range(processes)]
    np.testing.assert_array_equal(np.concatenate([numbers for numbers, _ in shards], axis=1), plan)
    positions = np.concatenate([places for _, places in shards], axis=1)
    np.testing.assert_array_equal(positions.ravel(), np.arange(40))


def test_an_indivisible_batch_is_an_error() -> None:
    with pytest.raises(InputError, match="6 images cannot be divided among 4"):
        shard(np.zeros((2, 6), np.int64), 0, 4)


def test_iterations_of_an_epoch() -> None:
    assert num_iterations(400, 10, 64) == 400
    assert num_iterations(0, 129, 64) == 3
    assert num_iterations(0, 10, 64) == 1
