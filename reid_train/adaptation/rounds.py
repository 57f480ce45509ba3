"""The rounds of an adaptation: features, clusters, a head for them, steps, a checkpoint."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_data.costs import add_costs, read_costs
from reid_data.datasets.card import tool_version
from reid_data.errors import EnvironmentFault, InputError
from reid_data.images import write_image
from reid_data.seeds import draw_seed
from reid_train.adaptation.criterion import Adaptive, Mixture
from reid_train.adaptation.feed import Feed
from reid_train.adaptation.heads import Head, HybridHead, LearnedHead, MemoryHead, centroids
from reid_train.adaptation.labels import Found, Labels, write_labels
from reid_train.adaptation.partitions import adjusted_rand, with_singles
from reid_train.adaptation.target import in_memory
from reid_train.arithmetic import Arithmetic
from reid_train.features.extract import Extraction, extract
from reid_train.model.classifiers import Classifier
from reid_train.model.norms import Shares, plain_state, running_statistics
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import from_first, mean_of_tensors, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, STATE_FILE, is_whole_model, load_state, save_model, save_state
from reid_train.runs.curves import CURVES_FILE, ROUND_PANELS, draw_curves
from reid_train.runs.folder import RunIdentity
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.train import TrainSettings
from reid_train.training.epoch import Learner, is_out_of_memory, train_epoch
from reid_train.training.parts import Values, make_optimiser, objective

logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]


class Collapse(InputError):
    """Clusters that cannot be trained on."""


Classes = list[tuple[str, int]]


@dataclass
class Adaptation:
    """What learns, from which images and labels; `done` rounds of it, with the rows of their log.

    `labels` is None where no target image is trained on. `slots`: SpCL's memory, which stays over the rounds. `moments`: the
    optimiser's state of the network by the names of its parameters. `history`: the labels of each round so far.
    """

    settings: TrainSettings
    choices: AdaptSettings
    run_folder: Path
    identity: RunIdentity
    classes: Classes
    net: ReidNet
    shares: Shares | None
    feed: Feed
    labels: Labels | None
    values: Values
    arithmetic: Arithmetic
    slots: Tensor | None = None
    done: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    history: list[np.ndarray] = field(default_factory=list)
    moments: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def num_source(self) -> int:
        """Classes of the source that are trained on."""
        return 0 if self.feed.source is None else len(self.feed.source.classes)

    def resume(self) -> int:
        """Take up the last checkpoint, if there is one; the number of rounds that are done."""
        state = load_state(self.run_folder / STATE_FILE)
        if state is None:
            return 0
        self.net.load_state_dict(state["net"])
        self.arithmetic.scaler.load_state_dict(state["scaler"])
        device = self.arithmetic.device
        self.moments = {
            name: {key: value.to(device) for key, value in held.items()} for name, held in state["moments"].items()
        }
        self.slots = None if state["slots"] is None else state["slots"].to(device)
        self.history = list(state["labels"].numpy())
        self.rows, self.done = state["rows"], int(state["round"])
        if self.labels is not None:
            self.labels.take_up(state["thresholds"])
        self.seconds = read_costs(self.run_folder).get("seconds_by_stage", {})
        if rank() == 0 and not is_whole_model(self.run_folder / MODEL_FILE):
            save_model(self.run_folder / MODEL_FILE, plain_state(self.net.state_dict()), self._metadata())
        logger.info("resumed after round %d of %d", self.done, self.settings.epochs)
        return self.done

    def run(self, workers: int, progress: Progress | None = None) -> None:
        """All rounds that are still to come, with a checkpoint after each."""
        if rank() == 0:
            runs.write_log(self.run_folder, [*self._first_rows(), *self.rows])
        for number in range(self.done + 1, self.settings.epochs + 1):
            try:
                self._round(number, workers, progress)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise EnvironmentFault(self._too_much()) from error
            mean_of_tensors(running_statistics(self.net))
            self.done = number
            if rank() == 0:
                self._checkpoint()

    def _round(self, number: int, workers: int, progress: Progress | None) -> None:
        """One round: labels, a head for them, steps."""
        head = None
        if self.labels is not None:
            feats = self._features(workers) if self.labels.needs_features or self._needs_centroids() else None
            labels = self._find_labels(number, feats)
            head = self._make_head(number, feats, labels)
            self.history.append(labels)
        mixed = number >= self.choices.first_mixed(self.settings.epochs)
        criterion = Adaptive(
            self.net,
            head,
            objective(self.settings),
            self.arithmetic,
            num_source=self.num_source,
            first_target=self.feed.first_target,
            weight=self.choices.target_weight,
            mixture=Mixture(source=mixed, target=mixed and self.choices.classifier == "mixed"),
            shares=self.shares,
        )
        row = self._train(number, self._learner(criterion), workers, progress)
        self.rows.append({"event": "epoch", "epoch": number, **row})
        if rank() == 0:
            logger.info(_round_line(number, self.settings.epochs, self.rows))

    def _needs_centroids(self) -> bool:
        return self.choices.target_head != "normal"

    def _features(self, workers: int) -> np.ndarray:
        """(T, D) unit features of the target's images as they are; with a memory of the images, that memory."""
        assert self.feed.target is not None
        if self.slots is not None and self.history:
            return self.slots[-len(self.feed.target.records) :].cpu().numpy()
        before = time.monotonic()
        images = self.feed.target
        exact = Arithmetic(self.arithmetic.device, "none", **self.arithmetic.norm)
        how = Extraction(self.settings.height_width, "after")
        found = extract(self.net, images.records, how, exact, workers=workers, images=in_memory(images))
        if found.unreadable:
            raise EnvironmentFault(
                f"'{found.unreadable[0].name}' was readable when the adaptation began and is not now: "
                f"{found.unreadable[0].reason}. Look at the disk, then run the same command again."
            )
        self._count("extract", before)
        return F.normalize(torch.from_numpy(found.feats)).numpy()

    def _find_labels(self, number: int, feats: np.ndarray | None) -> np.ndarray:
        """The labels of the round: the first process finds them, all train on them. See `Labels` for what is refused."""
        assert self.labels is not None
        found = self.labels(number, feats) if rank() == 0 else None
        found = from_first(found)
        assert found is not None
        for stage, seconds in found.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0) + seconds
        labels = found.labels if found.refused is None else self._keep_labels(number, found)
        changed = {} if not self.history else {"changed": 1 - adjusted_rand(self.history[-1], labels)}
        used = int((labels >= 0).sum()) if self.choices.target_head != "hybrid" else len(labels)
        self.rows.append({"event": "round", "round": number, **found.facts, "images": used, **changed})
        return labels

    def _keep_labels(self, number: int, found: Found) -> np.ndarray:
        """The last round's labels in place of a collapse. Raises InputError in round 1, and the second time in a row."""
        assert found.refused is not None
        if not self.history:
            raise Collapse(found.refused)
        if any(row["event"] == "kept-labels" and row["round"] == number - 1 for row in self.rows):
            raise Collapse(
                f"round {number}, the second in a row: {found.refused}\nThe model of round {number - 1} is kept in the run."
            )
        logger.warning("round %d keeps the labels of round %d: %s", number, number - 1, found.refused)
        self.rows.append({"event": "kept-labels", "round": number, "reason": found.refused.splitlines()[0]})
        return self.history[-1]

    def _make_head(self, number: int, feats: np.ndarray | None, labels: np.ndarray) -> Head:
        """The classes of the round, as the settings want them."""
        kind, momentum = self.choices.target_head, self.choices.memory_momentum
        device = self.arithmetic.device
        if kind == "hybrid":
            assert feats is not None
            if self.slots is None or not self.history:
                before = torch.empty(0, feats.shape[1], device=device) if self.slots is None else self.slots
                self.slots = torch.cat([before, torch.from_numpy(feats).to(device)])
            return HybridHead(self.slots, with_singles(labels), momentum)
        if kind in ("memory", "memory-hard"):
            assert feats is not None
            return MemoryHead(centroids(feats, labels).to(device), momentum, hard=kind == "memory-hard")
        classifier = Classifier(
            self.net.num_features,
            int(labels.max()) + 1,
            norm=self.settings.classifier_norm,
            head=self.settings.head,
            margin=self.settings.margin,
            seed=draw_seed(self.settings.seed, "target classes", number, 0),
        )
        if kind == "centroid":
            assert feats is not None
            classifier.set_weights(centroids(feats, labels))
        return LearnedHead(classifier.to(device))

    def _learner(self, criterion: Adaptive) -> Learner:
        """The optimiser of the round: the head's moments start anew, the network's go on unless they are reset."""
        optimiser = make_optimiser(self.settings, self.net, criterion)
        if self.choices.optimiser_state == "keep":
            for name, parameter in self.net.named_parameters():
                if name in self.moments:
                    optimiser.state[parameter] = self.moments[name]
        return Learner(self.net, criterion, optimiser, self.arithmetic.scaler)

    def _train(self, number: int, learner: Learner, workers: int, progress: Progress | None) -> dict[str, float]:
        """The steps of a round; its row of the log."""
        settings, before = self.settings, time.monotonic()
        loaders = workers if self.arithmetic.device.type == "cuda" else 0

        def watch(step: int) -> None:
            if progress is not None:
                progress((number - 1) * settings.iterations + step + 1, settings.epochs * settings.iterations)

        labels = None if self.feed.target is None else self._drawn_labels()
        with torch.random.fork_rng():  # what a network may draw (dropout) is a function of seed and round
            torch.manual_seed(draw_seed(settings.seed, "network", number, 0))
            row = train_epoch(
                learner,
                self.feed.batches(number, labels, loaders),
                lambda step: self.values(number, step),
                accumulation=settings.accumulation,
                names=self.feed.names,
                watch=watch,
            )
        state = learner.optimiser.state
        self.moments = {name: dict(state[one]) for name, one in self.net.named_parameters() if one in state}
        self._count("train", before)
        return row

    def _drawn_labels(self) -> np.ndarray:
        """The class of each target image, as the batches draw them: with a memory of the images, outliers are drawn, too."""
        labels = self.history[-1]
        return with_singles(labels) if self.choices.target_head == "hybrid" else labels

    def _count(self, stage: str, before: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0) + time.monotonic() - before

    def _too_much(self) -> str:
        settings, sites = self.settings, len(self.choices.domains)
        return (
            f"out of memory on {self.arithmetic.device} with {sites} x {settings.batch_size} images of {settings.size}: lower "
            "--batch-ids or --size. The batch is a setting, so it is not changed for you; --accumulation 2 averages the gradients "
            "of two batches."
        )

    def _first_rows(self) -> list[dict[str, Any]]:
        start = {
            "event": "start",
            **asdict(self.identity),
            "versions": runs.versions(),
            "settings": self.settings.as_dict("train"),
            "adaptation": self.choices.as_dict("train"),
        }
        return [start, *({"event": "unreadable", **row} for row in self.unreadable())]

    def draw(self) -> None:
        """Write `curves.png`: losses, accuracies, learning rate and clusters over the rounds."""
        rows: dict[int, dict[str, Any]] = {}
        for row in self.rows:
            if row["event"] in ("round", "epoch"):
                number = int(row["round" if row["event"] == "round" else "epoch"])
                rows.setdefault(number, {"epoch": number}).update(row)
        write_image(self.run_folder / CURVES_FILE, draw_curves(list(rows.values()), ROUND_PANELS))

    def unreadable(self) -> list[dict[str, str]]:
        """The images of both sites that were left out."""
        sites = [images for images in (self.feed.source, self.feed.target) if images is not None]
        return [row._asdict() for images in sites for row in images.unreadable]

    def _checkpoint(self) -> None:
        """Write model, labels, log, state, in this order: the state's rename is what moves the run to the next round."""
        save_model(self.run_folder / MODEL_FILE, plain_state(self.net.state_dict()), self._metadata())
        labels = np.stack(self.history).astype(np.int32) if self.history else np.empty((0, 0), np.int32)
        if self.feed.target is not None:
            write_labels(self.run_folder, labels, [record.name for record in self.feed.target.records])
        runs.write_log(self.run_folder, [*self._first_rows(), *self.rows])
        add_costs(self.run_folder, seconds_by_stage=self.seconds)
        state = {
            "round": self.done,
            "net": self.net.state_dict(),
            "moments": self.moments if self.choices.optimiser_state == "keep" else {},
            "scaler": self.arithmetic.scaler.state_dict(),
            "slots": self.slots,
            "labels": torch.from_numpy(labels),
            "thresholds": {} if self.labels is None else self.labels.state(),
            "rows": self.rows,
        }
        save_state(self.run_folder / STATE_FILE, state)

    def _metadata(self) -> dict[str, Any]:
        return {
            "schema": "reid-model/1",
            "tool": tool_version(),
            "settings": self.settings.as_dict("train"),
            "adaptation": self.choices.as_dict("train"),
            "classes": self.classes,
            "train_sets": self.identity.train_sets,
            "train_key": self.identity.train_key,
            "norm": self.arithmetic.norm,
            "epoch": self.done,
            "epochs": self.settings.epochs,
        }


def _round_line(number: int, rounds: int, rows: list[dict[str, Any]]) -> str:
    """What a round came to, in one line."""
    trained = rows[-1]
    found = next((row for row in reversed(rows) if row["event"] == "round" and row["round"] == number), None)
    parts = [f"loss {trained['loss']:.3f}", f"lr {trained['lr']:.2g}"]
    if found is not None:
        eps = f"eps {found['eps']:.2f}, " if "eps" in found else ""
        parts.insert(0, f"{eps}{found['clusters']} clusters, {found['outliers']} outliers")
    return f"round {number}/{rounds}: {', '.join(parts)}"
