"""One training under way: the loop over the epochs, its log and its checkpoints."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from reid_data.costs import add_costs, read_costs
from reid_data.datasets.card import tool_version
from reid_data.errors import EnvironmentFault
from reid_data.images import write_image
from reid_data.seeds import draw_seed
from reid_train.arithmetic import Arithmetic
from reid_train.processes.group import num_processes, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, STATE_FILE, is_whole_model, load_state, save_model, save_state
from reid_train.runs.curves import CURVES_FILE, draw_curves
from reid_train.runs.event_files import EventWriter
from reid_train.runs.folder import RunIdentity
from reid_train.runs.result import RunResult
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import TrainingSet
from reid_train.training.epoch import Learner, fits, is_out_of_memory, train_epoch
from reid_train.training.parts import Batches, Values, steps_an_epoch

logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]


@dataclass
class Training:
    """What learns, from which batches and by which values; `done` epochs of it, with the rows of their log."""

    settings: TrainSettings
    run_folder: Path
    identity: RunIdentity
    images: TrainingSet
    learner: Learner
    batches: Batches
    values: Values
    arithmetic: Arithmetic
    done: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = steps_an_epoch(self.settings, len(self.images.records))
        self.rows = self._first_rows()

    def resume(self) -> int:
        """Take up the last checkpoint, if there is one; the number of epochs that are done."""
        state = load_state(self.run_folder / STATE_FILE)
        if state is None:
            return 0
        self.learner.load_state_dict(state)
        self.rows = [*self._first_rows(), *state["epochs"]]
        self.seconds = float(read_costs(self.run_folder).get("train_seconds", 0))
        self.done = int(state["epoch"])
        if rank() == 0 and not is_whole_model(self.run_folder / MODEL_FILE):
            save_model(self.run_folder / MODEL_FILE, self.learner.net.state_dict(), self._metadata())
        logger.info("resumed after epoch %d of %d", self.done, self.settings.epochs)
        return self.done

    def run(self, workers: int, progress: Progress | None = None) -> None:
        """All epochs that are still to come, with a checkpoint after every `checkpoint_every`.

        On CUDA, `workers` processes make the batches ahead of time; on a CPU they would only take its time.
        """
        loaders = workers if self.arithmetic.device.type == "cuda" else 0
        events = EventWriter(self.run_folder, self.done) if self.settings.tensorboard and rank() == 0 else None
        if rank() == 0:
            runs.write_log(self.run_folder, self.rows)
        for epoch in range(self.done + 1, self.settings.epochs + 1):
            before = time.monotonic()
            try:
                row = self._epoch(epoch, loaders, progress)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise EnvironmentFault(self._what_fits(epoch)) from error
            self.seconds += time.monotonic() - before
            self.done = epoch
            self.rows.append({"event": "epoch", "epoch": epoch, **row})
            if rank() > 0:
                continue
            if events is not None:
                events.add(epoch, row)
            logger.info(_epoch_line(epoch, self.settings.epochs, row))
            if epoch % self.settings.checkpoint_every == 0 or epoch == self.settings.epochs:
                self._checkpoint()

    def _epoch(self, epoch: int, loaders: int, progress: Progress | None) -> dict[str, float]:
        settings = self.settings

        def watch(step: int) -> None:
            if progress is not None:
                progress((epoch - 1) * self.steps + step + 1, settings.epochs * self.steps)

        with torch.random.fork_rng():  # what a network may draw (dropout) is a function of seed and epoch
            torch.manual_seed(draw_seed(settings.seed, "network", epoch, 0))
            return train_epoch(
                self.learner,
                self.batches(epoch, loaders),
                lambda step: self.values(epoch, step),
                accumulation=settings.accumulation,
                names=lambda numbers: [self.images.records[int(number)].path for number in numbers],
                watch=watch,
            )

    def _what_fits(self, epoch: int) -> str:
        """The message after running out of memory: the batch that did not fit, and the largest that does."""
        settings, share = self.settings, num_processes()
        images = settings.batch_images
        batch, values = next(self.batches(epoch, 0)), self.values(epoch, 0)
        halves = [settings.batch_ids >> half for half in range(1, settings.batch_ids.bit_length())]
        smaller = [ids for ids in halves if ids * images % share == 0]
        found = next((ids for ids in smaller if fits(self.learner, batch, ids * images // share, values)), None)
        fitting = (
            f"--batch-ids {found} fits." if found else f"not even {images} images fit: lower --batch-images or --size."
        )
        return (
            f"out of memory on {self.arithmetic.device} with {settings.batch_size} images of {settings.size} (--batch-ids "
            f"{settings.batch_ids} --batch-images {images}): {fitting} The batch is a setting, so it is not changed for you; "
            "--accumulation 2 averages the gradients of two batches."
        )

    def _first_rows(self) -> list[dict[str, Any]]:
        start = {
            "event": "start",
            **asdict(self.identity),
            "versions": runs.versions(),
            "settings": self.settings.as_dict("train"),
        }
        unreadable = [{"event": "unreadable", **row._asdict()} for row in self.images.unreadable]
        return [start, *unreadable]

    def _checkpoint(self) -> None:
        """Write model, log, state, in this order: the state's rename is what moves the run to the next epoch."""
        save_model(self.run_folder / MODEL_FILE, self.learner.net.state_dict(), self._metadata())
        runs.write_log(self.run_folder, self.rows)
        state = {
            "epoch": self.done,
            **self.learner.state_dict(),
            "epochs": [row for row in self.rows if row["event"] == "epoch"],
        }
        add_costs(self.run_folder, train_seconds=round(self.seconds, 3))
        save_state(self.run_folder / STATE_FILE, state)

    def _metadata(self) -> dict[str, Any]:
        return {
            "schema": "reid-model/1",
            "tool": tool_version(),
            "settings": self.settings.as_dict("train"),
            "classes": self.images.classes,
            "train_sets": self.identity.train_sets,
            "train_key": self.identity.train_key,
            "norm": self.arithmetic.norm,
            "epoch": self.done,
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
        settings, device = self.settings, self.arithmetic.device
        images = settings.epochs * self.steps * settings.accumulation * settings.batch_size
        return {
            "train_seconds": round(self.seconds, 3),
            "train_images_per_second": round(images / max(self.seconds, 1e-9), 1),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        }


def _epoch_line(epoch: int, epochs: int, row: Mapping[str, float]) -> str:
    """The row in one line; what only some criteria record is left out where it is not there."""
    parts = [f"loss {row['loss']:.3f}"]
    if "accuracy" in row:
        parts.append(f"accuracy {100 * row['accuracy']:.1f} %")
    parts.append(f"lr {row['lr']:.2g}")
    if "effective_temperature" in row:
        parts.append(f"T {row['temperature']:.3g} (effective {row['effective_temperature']:.3g})")
    if "class_norm_median" in row:
        parts.append(f"class norm {row['class_norm_median']:.3g}")
    return f"epoch {epoch}/{epochs}: {', '.join(parts)}"
