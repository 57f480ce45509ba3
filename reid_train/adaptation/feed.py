"""The batches of a round: source images, target images, or a batch of both side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from reid_data.seeds import draw_seed
from reid_data.transforms import train_transform
from reid_train.adaptation.criterion import SOURCE, TARGET
from reid_train.arithmetic import Arithmetic
from reid_train.processes.group import num_processes, rank
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import Batch, EpochBatches, TrainingSet, iterate
from reid_train.training.samplers import pk_plan, random_plan, shard

VERSIONS = {"adapt-draw": 1}


class SideBySide(Dataset[Batch]):
    """Batch i is the rows of batch i of every part, with the part's domain; numbers count through the parts' images."""

    def __init__(self, parts: Sequence[EpochBatches], domains: Sequence[int], firsts: Sequence[int]) -> None:
        self.parts, self.domains, self.firsts = parts, domains, firsts

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, row: int) -> Batch:
        batches = [part[row] for part in self.parts]
        domain = torch.cat([torch.full_like(batch.labels, one) for batch, one in zip(batches, self.domains)])
        numbers = torch.cat([batch.numbers + first for batch, first in zip(batches, self.firsts)])
        images, labels = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("images", "labels"))
        return Batch(images, labels, numbers, domain)


@dataclass(frozen=True)
class Feed:
    """What is trained on: source images, or None; target images, or None; how batches are drawn and changed.

    `cameras`: whether the images of a cluster come from different cameras of the target where they can.
    """

    settings: TrainSettings
    source: TrainingSet | None
    target: TrainingSet | None
    arithmetic: Arithmetic
    cameras: bool = True

    @property
    def first_target(self) -> int:
        """The number of the target's first image in a batch."""
        return 0 if self.source is None else len(self.source.records)

    def names(self, numbers: torch.Tensor) -> list[str]:
        """The files behind the numbers of a batch."""
        records = [record for images in (self.source, self.target) if images is not None for record in images.records]
        return [records[number].path for number in numbers.tolist()]

    def batches(self, number: int, labels_T: np.ndarray | None, loaders: int) -> Iterator[Batch]:
        """The batches of round `number`; `labels_T`: the class of each target image, below 0 if it is not drawn."""
        found = []
        if self.source is not None:
            found.append((SOURCE, 0, self._drawn("source", self.source, np.array(self.source.labels), number)))
        if self.target is not None:
            assert labels_T is not None
            cameras = self.target.cameras if self.cameras else [0] * len(self.target.records)
            images = replace(self.target, labels=labels_T.tolist(), cameras=cameras)
            found.append((TARGET, self.first_target, self._drawn("target", images, labels_T, number)))
        domains, firsts, parts = zip(*found)
        return iterate(SideBySide(parts, domains, firsts), loaders)

    def _drawn(self, site: str, images: TrainingSet, labels: np.ndarray, number: int) -> EpochBatches:
        """The batches of one site, drawn from the images that have a class; of several processes, this one's share."""
        settings = self.settings
        usable = np.flatnonzero(labels >= 0)
        seed = draw_seed(settings.seed, site, 0, 0)
        drawn = {"iterations": settings.iterations * settings.accumulation, "seed": seed, "epoch": number}
        if settings.sampler == "random":
            plan = random_plan(len(usable), batch_size=settings.batch_size, **drawn)
        else:
            sizes = {"num_ids": settings.batch_ids, "num_images": settings.batch_images}
            plan = pk_plan(labels[usable].tolist(), [images.cameras[row] for row in usable], **sizes, **drawn)
        numbers, positions = shard(usable[plan], rank(), num_processes())
        transform = train_transform(
            settings.height_width,
            flip=settings.flip,
            pad_crop=settings.pad_crop,
            random_erasing=settings.random_erasing,
            fill=self.arithmetic.mean_colour,
        )
        return EpochBatches(images, transform, numbers, positions, seed=seed, epoch=number)
