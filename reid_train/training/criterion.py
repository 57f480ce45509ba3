"""What a network learns from a batch. The loop of an epoch knows a `Criterion`; `Supervised` learns from known identities.

A criterion calls the network itself, so that it may do so once for each domain; it may have parameters of its own beside the
network's (a second classifier) and a state that no gradient moves (a memory of features).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from reid_train.arithmetic import Arithmetic
from reid_train.model.reid_net import Embedded, ReidNet
from reid_train.processes.group import gather_rows
from reid_train.training import losses
from reid_train.training.batches import Batch
from reid_train.training.facts import Means, numbers


class StepValues(NamedTuple):
    """What the schedules give one step: the learning rate and the temperature (None: the learned one is in force)."""

    lr: float
    temperature: float | None


class Criterion(Protocol):
    """The losses of a batch and what belongs to them. Called in the order check, losses, (backward), after_step."""

    def check(self, batch: Batch) -> tuple[int, str] | None:
        """The first row of a batch that cannot be learned from, and why; None if all can.

        On a GPU a label out of range would stop the whole process.
        """

    def losses(self, net: ReidNet, batch: Batch, values: StepValues) -> dict[str, Tensor]:
        """The weighted losses by the names that they have in the log; their sum is what is minimised."""

    def after_step(self, batch: Batch) -> None:
        """Called for every batch when its gradients have been taken, and used if it completes a step: what no gradient moves."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained at the classifier's learning rate, whether it is part of the network or not."""

    def facts(self) -> dict[str, float]:
        """What the epoch's row of the log says beside the losses; what is counted starts again."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the network and the optimiser: tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""


@dataclass(frozen=True)
class Objective:
    """Cross-entropy with `smoothing`, plus weighted triplet (margin None: soft) and centre losses before the neck."""

    smoothing: float = 0.0
    triplet: float = 0.0
    triplet_margin: float | None = 0.3
    centre: float = 0.0
    centre_rate: float = 0.5


class Supervised:
    """Every image belongs to a class of the network's classifier: cross-entropy, and the metric losses of an `Objective`.

    `facts`: means of accuracy 0..1, temperature, effective temperature = T / median class-weight norm and feature norm after
    the neck; the class-weight norms at the end.
    """

    def __init__(self, net: ReidNet, objective: Objective, arithmetic: Arithmetic) -> None:
        self.net, self.objective, self.arithmetic = net, objective, arithmetic
        self.means = Means()
        self.seen: tuple[Tensor, Tensor] | None = None

    def check(self, batch: Batch) -> tuple[int, str] | None:
        """A label that the classifier does not have."""
        num_classes = len(self.net.classifier.weight)
        wrong = ((batch.labels < 0) | (batch.labels >= num_classes)).nonzero()
        if not len(wrong):
            return None
        row = int(wrong[0])
        label = int(batch.labels[row])
        return row, f"has the label {label}, the classifier has {num_classes} classes (0 to {num_classes - 1})"

    def losses(self, net: ReidNet, batch: Batch, values: StepValues) -> dict[str, Tensor]:
        """`loss_ce`, and `loss_triplet` and `loss_centre` if they have a weight."""
        labels = batch.labels.to(self.arithmetic.device, non_blocking=True)
        temperature = values.temperature if net.log_temperature is None else net.log_temperature.exp()
        assert temperature is not None, "a step without a temperature needs a network that learns it"
        with self.arithmetic.autocast():
            features = net(self.arithmetic.to_input(batch.images))
        logits, scores = net.classifier(features.classified, labels, temperature)
        metric = self._metric_losses(net, features, labels)
        entropy = losses.cross_entropy(logits, labels, self.objective.smoothing)
        self._note(net, features, scores, labels, temperature)
        self.seen = features.before.detach(), labels
        return {"loss_ce": entropy, **metric}

    def _metric_losses(self, net: ReidNet, features: Embedded, labels: Tensor) -> dict[str, Tensor]:
        """The weighted losses beside cross-entropy; with several processes their candidates come from all of them."""
        objective = self.objective
        parts = {}
        if objective.triplet:
            pool, pool_labels = gather_rows(features.before), gather_rows(labels)
            loss = losses.batch_hard_triplet(
                features.before, labels, objective.triplet_margin, others_MD=pool, other_labels_M=pool_labels
            )
            parts["loss_triplet"] = objective.triplet * loss
        if objective.centre:
            assert net.centres is not None
            parts["loss_centre"] = objective.centre * losses.centre_loss(features.before, labels, net.centres)
        return parts

    @torch.no_grad()
    def _note(
        self, net: ReidNet, features: Embedded, scores: Tensor, labels: Tensor, temperature: float | Tensor
    ) -> None:
        """Count the facts of a batch in."""
        tensors = {
            "accuracy": (scores.argmax(1) == labels).float().mean(),
            "feature_norm": features.after.norm(dim=1).mean(),
            "class_norm": net.classifier.effective_norms().median(),
        }
        if isinstance(temperature, Tensor):
            tensors["temperature"] = temperature
        found = numbers(tensors)
        if not isinstance(temperature, Tensor):
            found["temperature"] = temperature
        effective = found["temperature"] / max(found.pop("class_norm"), 1e-12)
        self.means.add(**found, effective_temperature=effective)

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        """Move the centres towards the features of the batch."""
        if self.objective.centre:
            assert self.seen is not None
            assert self.net.centres is not None
            before, labels = self.seen
            self.net.centres = losses.moved_centres(
                self.net.centres, gather_rows(before), gather_rows(labels), self.objective.centre_rate
            )

    def parameters(self) -> Iterable[nn.Parameter]:
        """The classifier's."""
        return self.net.classifier.parameters()

    @torch.no_grad()
    def facts(self) -> dict[str, float]:
        """See the class."""
        norms = self.net.classifier.weight.norm(dim=1)
        row, self.means = self.means.row(), Means()
        last = {"min": norms.min(), "median": norms.median(), "max": norms.max()}
        return {**row, **{f"class_norm_{name}": float(value) for name, value in last.items()}}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: classifier and centres are parts of the network."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""
