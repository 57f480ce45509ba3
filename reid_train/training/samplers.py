"""Which images make up each batch of an epoch: pure functions of labels, cameras, seed and epoch.

A plan is (iterations, batch) int64: row i holds the record numbers of batch i. Several processes each take their
columns of the same plan (`shard`), so that N processes see the same global batches as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reid_data.errors import InputError

VERSIONS = {"pk-plan": 1, "random-plan": 1}  # one for each plan; both with shard


def num_iterations(iterations: int, num_images: int, batch_size: int) -> int:
    """Batches in an epoch: `iterations`, or for 0 as many as cover `num_images` once."""
    return iterations or max(1, -(-num_images // batch_size))


def pk_plan(
    labels: Sequence[int],
    camids: Sequence[int],
    *,
    num_ids: int,
    num_images: int,
    iterations: int,
    seed: int,
    epoch: int,
) -> np.ndarray:
    """Batches of `num_ids` different identities x `num_images` images each, an identity's images side by side.

    Identities come in shuffled rounds, each once before any comes again (up to the rule that a batch repeats none).
    An identity's images come from as many cameras as it has, one each before any camera comes again, and in shuffled
    rounds within a camera; an identity with fewer than `num_images` images repeats them as evenly as possible.
    Raises InputError if there are fewer than `num_ids` identities.
    """
    rng = np.random.default_rng([seed, epoch, 0])
    identities = _identities(labels, camids)
    if len(identities) < num_ids:
        raise InputError(
            f"a batch needs {num_ids} identities, the training set has {len(identities)}: lower --batch-ids."
        )
    waiting: list[int] = []
    plan = np.empty((iterations, num_ids, num_images), np.int64)
    for row in plan:
        chosen, waiting = _next_identities(waiting, len(identities), num_ids, rng)
        for place, number in zip(row, chosen):
            place[:] = _next_images(identities[number], num_images, rng)
    return plan.reshape(iterations, num_ids * num_images)


@dataclass
class _Camera:
    """The images of one identity under one camera, and those of the current round still to come."""

    images: list[int] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)


def _identities(labels: Sequence[int], camids: Sequence[int]) -> list[list[_Camera]]:
    """Per identity, by rising label, its cameras by rising number."""
    found: dict[int, dict[int, _Camera]] = {}
    for image, (label, camid) in enumerate(zip(labels, camids)):
        found.setdefault(int(label), {}).setdefault(int(camid), _Camera()).images.append(image)
    return [[cameras[camid] for camid in sorted(cameras)] for _, cameras in sorted(found.items())]


def _next_identities(
    waiting: list[int], num_classes: int, count: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """`count` different identities from the front of the round; a round that runs out is followed by a fresh one."""
    chosen, rest = waiting[:count], waiting[count:]
    if len(chosen) < count:
        fresh = rng.permutation(num_classes).tolist()
        taken = set(chosen)
        usable = [number for number in fresh if number not in taken][: count - len(chosen)]
        used = set(usable)
        rest = [number for number in fresh if number not in used]
        chosen = chosen + usable
    return chosen, rest


def _next_images(cameras: list[_Camera], count: int, rng: np.random.Generator) -> list[int]:
    """`count` images of one identity: camera after camera, none twice before all its images were taken once."""
    turns = [cameras[number] for number in rng.permutation(len(cameras))]
    longest = max(len(camera.images) for camera in turns)
    slots = [camera for turn in range(longest) for camera in turns if turn < len(camera.images)]
    chosen: list[int] = []
    while len(chosen) < count:
        taken: list[int] = []
        for camera in slots[: count - len(chosen)]:
            taken.append(_pop(camera, taken, rng))
        chosen += taken
    return chosen


def _pop(camera: _Camera, taken: list[int], rng: np.random.Generator) -> int:
    """The next image of the camera's round; a new round begins with images that are not in `taken`."""
    if not camera.queue:
        camera.queue = sorted(rng.permutation(camera.images).tolist(), key=lambda image: image in taken)
    return camera.queue.pop(0)


def random_plan(num_records: int, *, batch_size: int, iterations: int, seed: int, epoch: int) -> np.ndarray:
    """Batches of random images, each image once before any comes again; rounds follow one another across batches."""
    rng = np.random.default_rng([seed, epoch, 1])
    rounds = -(-iterations * batch_size // num_records)
    order = np.concatenate([rng.permutation(num_records) for _ in range(rounds)])
    return order[: iterations * batch_size].reshape(iterations, batch_size).astype(np.int64)


def shard(plan: np.ndarray, rank: int, num_processes: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns of process `rank`, as (record numbers, positions of the draws in the epoch), both (iterations, batch / N).

    Raises InputError if the batch cannot be divided by the number of processes.
    """
    iterations, batch = plan.shape
    if batch % num_processes:
        raise InputError(
            f"a batch of {batch} images cannot be divided among {num_processes} processes: change --batch-ids or --nproc."
        )
    positions = np.arange(iterations * batch, dtype=np.int64).reshape(iterations, batch)
    share = batch // num_processes
    columns = slice(rank * share, (rank + 1) * share)
    return plan[:, columns], positions[:, columns]
