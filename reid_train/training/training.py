"""One training under way: from settings to components, and the loop over the epochs."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from reid_data.datasets.card import tool_version
from reid_data.errors import EnvironmentFault
from reid_data.images import write_image
from reid_data.seeds import draw_seed
from reid_data.transforms import train_transform
from reid_train.arithmetic import Arithmetic
from reid_train.features.extract import Extraction, class_centroids, extract
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import num_processes, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, STATE_FILE, load_state, save_model, save_state
from reid_train.runs.curves import draw_curves
from reid_train.runs.event_files import EventWriter
from reid_train.runs.folder import RunIdentity
from reid_train.runs.result import RunResult
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import Batch, EpochBatches, TrainingSet, iterate
from reid_train.training.epoch import StepValues, build_optimiser, fits, is_out_of_memory, train_epoch
from reid_train.training.parts import objective
from reid_train.training.samplers import num_iterations, pk_plan, random_plan, shard
from reid_train.training.schedules import DECAYS, warmup

logger = logging.getLogger("reid_train")
CURVES_FILE = "curves.png"
Progress = Callable[[int, int], None]


@dataclass
class Training:
    """The network, what it is trained on and with, and the rows of its log so far."""

    settings: TrainSettings
    run_folder: Path
    identity: RunIdentity
    images: TrainingSet
    net: ReidNet
    arithmetic: Arithmetic
    temperatures: Mapping[int, float] | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        settings = self.settings
        self.optimiser = build_optimiser(
            self.net,
            settings.optimiser,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            classifier_lr_mult=settings.classifier_lr_mult,
        )
        self.transform = train_transform(
            settings.height_width,
            flip=settings.flip,
            pad_crop=settings.pad_crop,
            random_erasing=settings.random_erasing,
            fill=self.arithmetic.mean_colour,
        )
        self.iterations = num_iterations(
            settings.iterations, len(self.images.records), settings.batch_size * settings.accumulation
        )
        self.rows = self._first_rows()

    def run(self, workers: int, progress: Progress | None) -> None:
        """All epochs that are still to come, with a checkpoint after every `checkpoint_every`.

        On CUDA, `workers` processes make the batches ahead of time; on a CPU they would only take its time.
        """
        loaders = workers if self.arithmetic.device.type == "cuda" else 0
        done = self._resume()
        events = EventWriter(self.run_folder, done) if self.settings.tensorboard and rank() == 0 else None
        if done == 0 and self.settings.classifier_init != "normal":
            self._start_from_centroids(workers)
        if rank() == 0:
            runs.write_log(self.run_folder, self.rows)
        for epoch in range(done + 1, self.settings.epochs + 1):
            before = time.monotonic()
            try:
                row = self._epoch(epoch, loaders, progress)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise EnvironmentFault(self._what_fits()) from error
            self.seconds += time.monotonic() - before
            self.rows.append({"event": "epoch", "epoch": epoch, **row})
            if rank() > 0:
                continue
            if events is not None:
                events.add(epoch, row)
            logger.info(_epoch_line(epoch, self.settings.epochs, row))
            if epoch % self.settings.checkpoint_every == 0 or epoch == self.settings.epochs:
                self._checkpoint(epoch)

    def _start_from_centroids(self, workers: int) -> None:
        """Set the class weights to the mean features of their classes (`--classifier-init centroid...`)."""
        how = Extraction(self.settings.height_width, "before")
        exact = Arithmetic(self.arithmetic.device, "none", **self.arithmetic.norm)
        features = extract(self.net, self.images.records, how, exact, workers=workers)
        assert not features.unreadable, "every record of a training set was readable when it was loaded"
        calibrate = self.settings.classifier_init == "centroid-calibrated"
        self.net.classifier.set_weights(
            class_centroids(self.net, features.feats, self.images.labels, calibrate=calibrate)
        )

    def _epoch(self, epoch: int, loaders: int, progress: Progress | None) -> dict[str, float]:
        settings = self.settings

        def watch(step: int) -> None:
            if progress is not None:
                progress((epoch - 1) * self.iterations + step + 1, settings.epochs * self.iterations)

        with torch.random.fork_rng():  # what a network may draw (dropout) is a function of seed and epoch
            torch.manual_seed(draw_seed(settings.seed, "network", epoch, 0))
            return train_epoch(
                self.net,
                self.batches(epoch, loaders),
                self.optimiser,
                lambda step: self.values(epoch, step),
                objective=objective(settings),
                arithmetic=self.arithmetic,
                accumulation=settings.accumulation,
                names=lambda numbers: [self.images.records[int(number)].path for number in numbers],
                watch=watch,
            )

    def _what_fits(self) -> str:
        """The message after running out of memory: the batch that did not fit, and the largest that does."""
        settings, share = self.settings, num_processes()
        self.optimiser.zero_grad(set_to_none=True)
        smaller = [settings.batch_ids >> half for half in range(1, settings.batch_ids.bit_length())]
        images = settings.batch_images
        size, arithmetic = settings.height_width, self.arithmetic
        found = next((ids for ids in smaller if fits(self.net, ids * images // share, size, arithmetic)), None)
        fitting = (
            f"--batch-ids {found} fits." if found else f"not even {images} images fit: lower --batch-images or --size."
        )
        return (
            f"out of memory on {arithmetic.device} with {settings.batch_size} images of {settings.size} (--batch-ids "
            f"{settings.batch_ids} --batch-images {images}): {fitting} The batch is a setting, so it is not changed for you; "
            "--accumulation 2 averages the gradients of two batches."
        )

    def batches(self, epoch: int, loaders: int) -> Iterator[Batch]:
        """The batches of an epoch: what to draw by the sampler, how to change it by the transform."""
        settings, images = self.settings, self.images
        count = self.iterations * settings.accumulation
        if settings.sampler == "pk":
            plan = pk_plan(
                images.labels,
                images.cameras,
                num_ids=settings.batch_ids,
                num_images=settings.batch_images,
                iterations=count,
                seed=settings.seed,
                epoch=epoch,
            )
        else:
            plan = random_plan(
                len(images.records), batch_size=settings.batch_size, iterations=count, seed=settings.seed, epoch=epoch
            )
        numbers, positions = shard(plan, rank(), num_processes())
        epoch_batches = EpochBatches(images, self.transform, numbers, positions, seed=settings.seed, epoch=epoch)
        return iterate(epoch_batches, loaders)

    def values(self, epoch: int, step: int) -> StepValues:
        """Learning rate and temperature of one step of `epoch` = 1, 2, ..."""
        settings = self.settings
        progress = epoch - 1 + step / self.iterations
        decay = DECAYS[settings.lr_schedule](progress, settings.epochs, settings.lr_steps, settings.lr_gamma)
        lr = settings.lr * decay * warmup(progress, settings.warmup_epochs, settings.warmup_factor)
        return StepValues(lr, None if self.temperatures is None else self.temperatures[epoch])

    def _first_rows(self) -> list[dict[str, Any]]:
        start = {
            "event": "start",
            **asdict(self.identity),
            "versions": runs.versions(),
            "settings": self.settings.as_dict("train"),
        }
        unreadable = [{"event": "unreadable", **row._asdict()} for row in self.images.unreadable]
        return [start, *unreadable]

    def _resume(self) -> int:
        """Take up the last checkpoint, if there is one; the number of epochs that are done."""
        state = load_state(self.run_folder / STATE_FILE)
        if state is None:
            return 0
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.arithmetic.scaler.load_state_dict(state["scaler"])
        self.rows = [*self._first_rows(), *state["epochs"]]
        self.seconds = state["seconds"]
        logger.info("resumed after epoch %d of %d", state["epoch"], self.settings.epochs)
        return int(state["epoch"])

    def _checkpoint(self, epoch: int) -> None:
        """Write model, log, state, in this order: the state's rename is what moves the run to the next epoch."""
        save_model(self.run_folder / MODEL_FILE, self.net.state_dict(), self._metadata(epoch))
        runs.write_log(self.run_folder, self.rows)
        state = {
            "epoch": epoch,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.arithmetic.scaler.state_dict(),
            "epochs": [row for row in self.rows if row["event"] == "epoch"],
            "seconds": self.seconds,
        }
        save_state(self.run_folder / STATE_FILE, state)

    def _metadata(self, epoch: int) -> dict[str, Any]:
        return {
            "schema": "reid-model/1",
            "tool": tool_version(),
            "settings": self.settings.as_dict("train"),
            "classes": self.images.classes,
            "train_sets": self.identity.train_sets,
            "train_key": self.identity.train_key,
            "norm": self.arithmetic.norm,
            "epoch": epoch,
            "epochs": self.settings.epochs,
        }

    def draw(self) -> None:
        """Write `curves.png`: loss, accuracy, learning rate, temperatures and norms over the epochs."""
        write_image(self.run_folder / CURVES_FILE, draw_curves([row for row in self.rows if row["event"] == "epoch"]))

    def result(self) -> RunResult:
        """The result of the finished training, without any test."""
        last = {name: value for name, value in self.rows[-1].items() if name != "event"}
        return RunResult(
            name=self.run_folder.name,
            **asdict(self.identity),
            settings=self.settings.as_dict("train"),
            norm=self.arithmetic.norm,
            num_classes=len(self.images.classes),
            num_images=len(self.images.records),
            training=last,
            versions=runs.versions(),
            unreadable=[row._asdict() for row in self.images.unreadable],
        )

    def costs(self) -> dict[str, Any]:
        """Time and memory of the training, over all sessions that it took."""
        steps = self.settings.epochs * self.iterations
        device = self.arithmetic.device
        memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        return {
            "train_seconds": round(self.seconds, 3),
            "train_images_per_second": round(
                steps * self.settings.accumulation * self.settings.batch_size / max(self.seconds, 1e-9), 1
            ),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "peak_device_bytes": memory,
        }


def _epoch_line(epoch: int, epochs: int, row: Mapping[str, float]) -> str:
    return (
        f"epoch {epoch}/{epochs}: loss {row['loss']:.3f}, accuracy {100 * row['accuracy']:.1f} %, lr {row['lr']:.2g}, "
        f"T {row['temperature']:.3g} (effective {row['effective_temperature']:.3g}), class norm {row['class_norm_median']:.3g}"
    )
