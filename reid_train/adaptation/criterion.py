"""What an adaptation learns from a batch of source and target images: a softmax for each site, or one over both."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reid_train.adaptation.heads import Head
from reid_train.arithmetic import Arithmetic
from reid_train.model.norms import Shares
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import gather_rows
from reid_train.training import losses
from reid_train.training.batches import Batch
from reid_train.training.criterion import Objective, StepValues
from reid_train.training.facts import Means, numbers

SOURCE, TARGET = 0, 1
"""The domains of a batch, whose rows come in this order."""


@dataclass(frozen=True)
class Mixture:
    """Whose images are told apart from the other site's classes, too, in one softmax over both."""

    source: bool = False
    target: bool = False


SEPARATE = Mixture()


class Adaptive:
    """CE of the source's images over its classes + weight x CE of the target's over its clusters, and triplets inside a site.

    `head` is None without target images. `num_source` counts the source's classes, `first_target` is the number of the first
    image of the target in a batch's `numbers`. `facts`: means of the accuracy of each site (the target's on its clusters),
    temperature and feature norm after the neck.
    """

    def __init__(
        self,
        net: ReidNet,
        head: Head | None,
        objective: Objective,
        arithmetic: Arithmetic,
        *,
        num_source: int,
        first_target: int,
        weight: float = 1.0,
        mixture: Mixture = SEPARATE,
        shares: Shares | None = None,
    ) -> None:
        self.net, self.head, self.objective, self.arithmetic = net, head, objective, arithmetic
        self.num_source, self.first_target, self.weight, self.mixture = num_source, first_target, weight, mixture
        self.shares = shares or Shares()
        self.means = Means()
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None

    def check(self, batch: Batch) -> tuple[int, str] | None:
        """A label that its site does not have."""
        domain = _domains(batch)
        known = torch.tensor([self.num_source, 0 if self.head is None else self.head.num_classes])[domain]
        wrong = ((batch.labels < 0) | (batch.labels >= known)).nonzero()
        if not len(wrong):
            return None
        row = int(wrong[0])
        return row, f"has the label {int(batch.labels[row])}, its site has {int(known[row])} classes"

    def losses(self, net: ReidNet, batch: Batch, values: StepValues) -> dict[str, Tensor]:
        """`loss_ce_source`, `loss_ce_target`, and `loss_triplet_...` if triplets have a weight."""
        labels = batch.labels.to(self.arithmetic.device, non_blocking=True)
        cut = int((_domains(batch) == SOURCE).sum())
        temperature = values.temperature if net.log_temperature is None else net.log_temperature.exp()
        assert temperature is not None, "a step without a temperature needs a network that learns it"
        self.shares.sizes = (cut, len(labels) - cut) if 0 < cut < len(labels) else (len(labels),)
        with self.arithmetic.autocast():
            features = net(self.arithmetic.to_input(batch.images))
        sites = self._sites(net, features.classified, labels, cut)
        facts: dict[str, Tensor] = {"feature_norm": features.after.norm(dim=1).mean()}
        parts: dict[str, Tensor] = {}
        for name, weight, rows, scores, truth in sites:
            logits = net.classifier.logits(scores, truth, temperature)
            parts[f"loss_ce_{name}"] = weight * losses.cross_entropy(logits, truth, self.objective.smoothing)
            facts[f"accuracy_{name}"] = (scores.argmax(1) == truth).float().mean()
            if self.objective.triplet:
                triplet = self._triplet(features.before[rows], labels[rows])
                parts[f"loss_triplet_{name}"] = weight * self.objective.triplet * triplet
        if isinstance(temperature, Tensor):
            self.means.add(**numbers({**facts, "temperature": temperature}))
        else:
            self.means.add(**numbers(facts), temperature=temperature)
        self._remember(features.classified, labels, batch, cut)
        return parts

    def _sites(
        self, net: ReidNet, features_ND: Tensor, labels_N: Tensor, cut: int
    ) -> list[tuple[str, float, slice, Tensor, Tensor]]:
        """Of each site in the batch: name, weight of its losses, its rows, their scores and their places among the classes."""
        source, target = slice(0, cut), slice(cut, None)
        ours, theirs = self._scores(net, features_ND, cut)
        found = []
        if ours is not None:
            found.append(("source", 1.0, source, ours, labels_N[source]))
        if theirs is not None:
            assert self.head is not None
            before = theirs.shape[1] - self.head.num_classes
            found.append(("target", self.weight, target, theirs, before + labels_N[target]))
        return found

    def _scores(self, net: ReidNet, features_ND: Tensor, cut: int) -> tuple[Tensor | None, Tensor | None]:
        """Scores of the source's rows and of the target's, each over the classes that they are told apart from.

        Every classifier is asked once: under norm `project` it moves its weights in place.
        """
        head, mixture = self.head, self.mixture
        if head is None:
            return net.classifier.scores(features_ND), None
        if cut == 0:
            return None, head.scores(features_ND)
        if head.num_source:
            both = head.scores(features_ND)
            return both[:cut], both[cut:]
        clusters = head.scores(features_ND if mixture.source else features_ND[cut:])
        people = net.classifier.scores(features_ND if mixture.target else features_ND[:cut])
        ours = torch.cat([people[:cut], clusters[:cut]], 1) if mixture.source else people
        theirs = clusters[cut:] if mixture.source else clusters
        return ours, torch.cat([people[cut:], theirs], 1) if mixture.target else theirs

    def _triplet(self, before_ND: Tensor, labels_N: Tensor) -> Tensor:
        """Triplets inside a site; with several processes the candidates come from all of them."""
        pool, pool_labels = gather_rows(before_ND), gather_rows(labels_N)
        return losses.batch_hard_triplet(
            before_ND, labels_N, self.objective.triplet_margin, others_MD=pool, other_labels_M=pool_labels
        )

    def _remember(self, features_ND: Tensor, labels_N: Tensor, batch: Batch, cut: int) -> None:
        """Keep what `after_step` gives to the head: features, classes as the head counts them, numbers of the target's images."""
        if self.head is None:
            return
        images_N = batch.numbers.to(labels_N.device) - self.first_target
        first = 0 if self.head.num_source else cut
        classes_N = torch.cat([labels_N[:cut], self.head.num_source + labels_N[cut:]])
        self.seen = features_ND[first:].detach(), classes_N[first:], images_N[first:]

    def after_step(self, batch: Batch) -> None:
        """Move the head's memory by the images of all processes, in the order of the batch that they share."""
        if self.head is not None:
            assert self.seen is not None
            features, classes, images = (gather_rows(rows) for rows in self.seen)
            self.head.after_step(features.float(), classes, images)

    def parameters(self) -> Iterable[nn.Parameter]:
        """The classifier's of the source, then the head's."""
        return [*self.net.classifier.parameters(), *(() if self.head is None else self.head.parameters())]

    def facts(self) -> dict[str, float]:
        """See the class."""
        row, self.means = self.means.row(), Means()
        return row

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a checkpoint stands between two rounds, and a head lives in one."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


def _domains(batch: Batch) -> Tensor:
    assert batch.domain is not None, "a batch of an adaptation says of which site each image is"
    return batch.domain
