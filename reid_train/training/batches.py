"""Training images: class labels over several sets, pixels decoded once, batches for one epoch's plan."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reid_data.datasets.channel_stats import kept_stats
from reid_data.decode import Progress, Unreadable, decode_all
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.images import read_record, resize
from reid_data.records import DISTRACTOR_PID, JUNK_PID, Record, ReidDataset
from reid_data.seeds import draw_seed
from reid_data.transforms import Transform

VERSIONS = {"training-draw": 1, "training-part": 1}  # class_map, EpochBatches; take_part, take_first, take_identities

Identity = tuple[str, int]
Swap = Callable[[Record, int], np.ndarray | None]


class Batch(NamedTuple):
    """Images (N, H, W, 3) uint8 RGB, labels (N,) int64, the numbers (N,) of the records they came from.

    `domain` (N,) int64: which of several kinds of data each image is of; None if there is one kind.
    """

    images: torch.Tensor
    labels: torch.Tensor
    numbers: torch.Tensor
    domain: torch.Tensor | None = None

    def rows(self, chosen: torch.Tensor) -> "Batch":
        """The batch of the `chosen` rows (numbers or a mask)."""
        domain = None if self.domain is None else self.domain[chosen]
        return Batch(self.images[chosen], self.labels[chosen], self.numbers[chosen], domain)


@dataclass(frozen=True)
class TrainingSet:
    """What is trained on: readable records of one or several sets, the label and the camera of each, and the classes.

    Cameras are numbered over all sets. `pixels` (N, H, W, 3) uint8 holds every image at the input size; None if they do
    not fit into memory and are decoded when needed. `swap` (record, seed) gives an image another background, or None.
    """

    records: list[Record]
    labels: list[int]
    cameras: list[int]
    classes: list[Identity]
    size: tuple[int, int]
    pixels: np.ndarray | None
    unreadable: list[Unreadable]
    swap: Swap | None = None

    def image(self, number: int) -> np.ndarray:
        """Image `number` at the input size."""
        if self.pixels is not None:
            return self.pixels[number]
        return resize(read_record(self.records[number]), self.size)

    def swapped(self, number: int, seed: int) -> np.ndarray | None:
        """Image `number` at the input size before another background, if `seed` says so."""
        swapped = None if self.swap is None else self.swap(self.records[number], seed)
        return None if swapped is None else resize(swapped, self.size)


def identity_space(dataset: ReidDataset) -> str:
    """The space in which the pids of `dataset` mean persons; its name if it claims none."""
    return dataset.card.identity_space or dataset.name


def class_map(identities: Sequence[Identity]) -> dict[Identity, int]:
    """Label 0, 1, ... of each (identity space, pid), by rising space and pid: independent of the order of the sets."""
    return {identity: label for label, identity in enumerate(sorted(set(identities)))}


def take_part(dataset: ReidDataset, fraction: float, seed: int) -> ReidDataset:
    """The set with a random part of its training images: those with the smallest f(seed, name), at least one.

    A `fraction` of 1 is the set itself.
    """
    if fraction == 1:
        return dataset
    kept = sorted(
        range(len(dataset.train)), key=lambda number: (draw_seed(seed, dataset.train[number].name, 0, 0), number)
    )
    chosen = sorted(kept[: max(1, round(fraction * len(dataset.train)))])
    return _part(dataset, f"{dataset.name}:{fraction:g}", [dataset.train[number] for number in chosen])


def take_first(dataset: ReidDataset, limit: int) -> ReidDataset:
    """The set with at most `limit` training images: those of its first identities."""
    return _part(dataset, f"{dataset.name}:first-{limit}", sorted(dataset.train, key=lambda record: record.pid)[:limit])


def take_identities(dataset: ReidDataset, fraction: float) -> ReidDataset:
    """The set with a share of its training identities, evenly spread over the sorted pids. A `fraction` of 1 is the set itself."""
    if fraction == 1:
        return dataset
    pids = sorted({record.pid for record in dataset.train})
    kept = {pid for place, pid in enumerate(pids) if int((place + 1) * fraction) > int(place * fraction)}
    return _part(
        dataset, f"{dataset.name}:ids-{fraction:g}", [record for record in dataset.train if record.pid in kept]
    )


def _part(dataset: ReidDataset, name: str, train: Sequence[Record]) -> ReidDataset:
    card = replace(dataset.card, name=name, identity_space=identity_space(dataset))
    return replace(dataset, card=card, train=train)


def load_training_set(
    datasets: Sequence[ReidDataset], size: tuple[int, int], *, workers: int = 1, progress: Progress | None = None
) -> TrainingSet:
    """Decode the train splits of `datasets` once; unreadable images are left out and listed, junk and distractors left out.

    Raises InputError if nothing is left, or only one identity.
    """
    entries = [
        (record, (identity_space(dataset), record.pid), (dataset.name, record.camid))
        for dataset in datasets
        for record in dataset.train
        if record.pid not in (JUNK_PID, DISTRACTOR_PID)
    ]
    pixels, reasons = decode_all([record for record, _, _ in entries], size, workers=workers, progress=progress)
    kept = [entry for entry, reason in zip(entries, reasons) if reason is None]
    unreadable = [Unreadable(entry[0].name, reason) for entry, reason in zip(entries, reasons) if reason is not None]
    classes = class_map([identity for _, identity, _ in kept])
    cameras = {camera: number for number, camera in enumerate(sorted({camera for _, _, camera in kept}))}
    names = ", ".join(dataset.name for dataset in datasets)
    if not kept:
        first = f"; the first: {printable(unreadable[0].name)} {unreadable[0].reason}" if unreadable else ""
        raise InputError(f"no training image of {names} can be used ({len(unreadable)} unreadable{first}).")
    if len(classes) < 2:
        raise InputError(f"{names}: the training images show {len(classes)} identity, a classifier needs at least 2.")
    return TrainingSet(
        records=[record for record, _, _ in kept],
        labels=[classes[identity] for _, identity, _ in kept],
        cameras=[cameras[camera] for _, _, camera in kept],
        classes=list(classes),
        size=size,
        pixels=pixels,
        unreadable=unreadable,
    )


class EpochBatches(Dataset[Batch]):
    """The batches of one epoch: row i of `plan` (record numbers) augmented by draws at `positions` (see samplers.shard)."""

    def __init__(
        self,
        images: TrainingSet,
        transform: Transform,
        plan: np.ndarray,
        positions: np.ndarray,
        *,
        seed: int,
        epoch: int,
    ) -> None:
        self.images, self.transform, self.plan, self.positions = images, transform, plan, positions
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, row: int) -> Batch:
        numbers = self.plan[row]
        pixels = np.stack(
            [self._draw(int(number), int(position)) for number, position in zip(numbers, self.positions[row])]
        )
        labels = [self.images.labels[number] for number in numbers]
        return Batch(torch.from_numpy(pixels), torch.tensor(labels), torch.from_numpy(numbers.copy()))

    def _draw(self, number: int, position: int) -> np.ndarray:
        name = self.images.records[number].name
        swapped = self.images.swapped(number, draw_seed(self.seed, f"background {name}", self.epoch, position))
        image = self.images.image(number) if swapped is None else swapped
        return self.transform(image, draw_seed(self.seed, name, self.epoch, position))


class Batches(Protocol):
    """Batches by their number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Batch: ...


def iterate(batches: Batches, workers: int) -> Iterator[Batch]:
    """The batches in order, made in this process (0 or 1 workers) or ahead of time in `workers` processes: the same batches."""
    if workers <= 1:
        return (batches[row] for row in range(len(batches)))
    # fork shares the decoded pixels with the workers; spawn would send each a copy of them
    cv2.setNumThreads(1)  # ends OpenCV's threads, whose locks would not survive a fork
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    return iter(
        DataLoader(
            cast(Dataset[Batch], batches),
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=kind,
            pin_memory=torch.cuda.is_available(),
        )
    )


def channel_norm(
    dataset: ReidDataset, size: tuple[int, int], workers: int, *, per_image: bool
) -> tuple[Sequence[float], Sequence[float]]:
    """Channel (mean, std) in 0..1 of the train split of `dataset` at `size`: pooled, or means over the images."""
    stats = kept_stats(dataset, "train", size, workers)
    return (stats.mean_per_image, stats.std_per_image) if per_image else (stats.mean, stats.std)
