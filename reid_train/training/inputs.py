"""What a training reads: its sets, the set behind `--norm`, the backgrounds, the start weights. Resolved once, with digests."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from reid_data.compose.in_training import TrainingSwap, prepare_swap, swap_digest
from reid_data.datasets import load_dataset
from reid_data.datasets.digest import dataset_digest
from reid_data.decode import Unreadable
from reid_data.errors import UsageError
from reid_data.files import sha256_file
from reid_data.records import Record, ReidDataset, count_split, over_matte
from reid_data.segment import DEFAULT_SEGMENTER, build_segmenter
from reid_data.segment.base import Segmenter
from reid_train.model.weights import weights_path
from reid_train.processes.group import barrier, rank
from reid_train.runs.folder import RunIdentity, train_key
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import TrainingSet, channel_norm, load_training_set
from reid_train.training.schedules import read_temperatures
from reid_train.training.versions import training_versions

logger = logging.getLogger("reid_train")


@dataclass(frozen=True)
class Backgrounds:
    """The set that `--bg` names, the segmenter that cuts out, and the digest of all that comes of the two."""

    dataset: ReidDataset
    segmenter: Segmenter
    digest: str


@dataclass(frozen=True)
class Inputs:
    """All that a training reads, found and digested; `training_set` and `norm` then do the work that takes long.

    `digests`: of the training sets by name, in their order. `norm_set`: whose channel statistics are measured, None if the
    settings state numbers. `temperatures`: epoch -> temperature out of the schedule file, None without one.
    """

    settings: TrainSettings
    datasets: tuple[ReidDataset, ...]
    digests: Mapping[str, str]
    weights: Path | None
    weights_sha256: str | None
    norm_set: ReidDataset | None
    norm_digest: str | None
    backgrounds: Backgrounds | None
    temperatures: Mapping[int, float] | None

    def identity(self, device_type: str, processes: int) -> RunIdentity:
        """What the training is a function of on this kind of device, and its key.

        The number of processes counts, because batch normalisation sees each one's share of a batch.
        """
        place = device_type + (f" x {processes}" if processes > 1 else "")
        key = train_key(
            self.settings,
            list(self.digests.values()),
            self.weights_sha256,
            place,
            norm_digest=self.norm_digest,
            swap_digest=None if self.backgrounds is None else self.backgrounds.digest,
            versions=training_versions(),
        )
        return RunIdentity(key, list(self.digests), dict(self.digests), self.weights_sha256, place)

    def training_set(self, workers: int) -> TrainingSet:
        """The training images, decoded, with masks and plates made if backgrounds are swapped."""
        images = load_training_set(self.datasets, self.settings.height_width, workers=workers)
        if self.backgrounds is not None:
            swap = self._swap(self.backgrounds, images.records, workers)
            left_out = [*images.unreadable, *(Unreadable(one.record.name, one.reason) for one in swap.unreadable)]
            images = replace(images, swap=swap, unreadable=list(dict.fromkeys(left_out)))
        for dataset in self.datasets:
            if lost := count_split(dataset.train)["distractors"]:
                logger.warning(
                    "%d training images of %s have pid 0, which means distractor (nobody): they are not trained on. If the "
                    "ids count from 0, import the set with: reid-data import --ids-from-zero",
                    lost,
                    dataset.name,
                )
        logger.info("%d images of %d identities to train on", len(images.records), len(images.classes))
        return images

    def norm(self, workers: int) -> tuple[Sequence[float], Sequence[float]]:
        """Channel (mean, std) in 0..1 of the input: as stated, or measured."""
        if self.norm_set is None:
            assert self.settings.norm_numbers is not None
            return self.settings.norm_numbers
        per_image = self.settings.norm.endswith(":per-image")
        return channel_norm(self.norm_set, self.settings.height_width, workers, per_image=per_image)

    def _swap(self, backgrounds: Backgrounds, records: Sequence[Record], workers: int) -> TrainingSwap:
        """Masks and plates; of several processes the first makes them, the others find them kept."""
        settings = self.settings
        if rank() > 0:
            barrier()
        swap = prepare_swap(
            records,
            backgrounds.dataset,
            backgrounds.segmenter,
            probability=settings.background_swap,
            seed=settings.seed,
            workers=workers,
        )
        if rank() == 0:
            barrier()
        counts = swap.usable, swap.images, len(swap.swap.paths), backgrounds.dataset.name
        logger.info("%d of %d images may get one of %d backgrounds of %s", *counts)
        return swap


def resolve_inputs(settings: TrainSettings, datasets: Sequence[ReidDataset], data_root: Path | None = None) -> Inputs:
    """Find and digest what a training on `datasets` reads; no image is decoded.

    A set that the settings name is one of `datasets`, else it is loaded from `data_root` (default: `data`). Raises
    ReidError for what is not there or does not go together.
    """
    datasets = [over_matte(dataset, settings.matte_colour) for dataset in datasets]
    names = [dataset.name for dataset in datasets]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"training sets must be named, and each once; got {', '.join(names) or 'none'}.")
    if (settings.background_swap > 0) != (settings.bg != "none"):
        raise UsageError("--background-swap P and --bg SET belong together: give both, or neither.")

    @cache
    def named(name: str) -> ReidDataset:
        found = next((dataset for dataset in datasets if dataset.name == name), None)
        return found or load_dataset(name, data_root or Path("data"), settings.matte_colour)

    weights = weights_path(settings.weights, settings.backbone)
    norm_set = named(settings.norm.removesuffix(":per-image")) if settings.norm_numbers is None else None
    schedule = settings.temperature_file
    return Inputs(
        settings=settings,
        datasets=tuple(datasets),
        digests={dataset.name: dataset_digest(dataset) for dataset in datasets},
        weights=weights,
        weights_sha256=None if weights is None else sha256_file(weights),
        norm_set=norm_set,
        norm_digest=None if norm_set is None else dataset_digest(norm_set),
        backgrounds=_backgrounds(named(settings.bg)) if settings.background_swap else None,
        temperatures=None if schedule is None else read_temperatures(Path(schedule), settings.epochs),
    )


def _backgrounds(dataset: ReidDataset) -> Backgrounds:
    segmenter = _segmenter()
    return Backgrounds(dataset, segmenter, swap_digest(dataset, segmenter))


def _segmenter() -> Segmenter:
    """The default segmenter, on the processor: masks that loader processes may ask for, and the same on every machine."""
    return build_segmenter(DEFAULT_SEGMENTER).on("cpu")
