"""What tells the target's clusters apart, made anew in every round. N: images, D: width of a feature, C: clusters of the round.

Three ways: a classifier that the optimiser trains, a memory of the clusters (Cluster Contrast, arXiv:2103.11568), a memory of
the images (SpCL, arXiv:2006.02713). All give scores of unit features; temperature and softmax are the criterion's.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_train.model.classifiers import Classifier


class Head(Protocol):
    """The classes of one round: `num_source` of the source's that it holds itself (0 but for SpCL's), then the clusters."""

    num_source: int
    num_classes: int

    def scores(self, features_ND: Tensor) -> Tensor:
        """(N, C): how well each feature fits each class."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """What the optimiser trains."""

    def after_step(self, features_ND: Tensor, labels_N: Tensor, numbers_N: Tensor) -> None:
        """Move what no gradient moves, by rows in batch order: features, classes, and the numbers of their images.

        A class counts the source's that the head holds; an image's number counts the images of the target.
        """


class LearnedHead:
    """Class weights that the optimiser trains, by the kind of classifier that the network has."""

    num_source = 0

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.num_classes = classifier, len(classifier.weight)

    def scores(self, features_ND: Tensor) -> Tensor:
        """See `Head`."""
        return self.classifier.scores(features_ND)

    def parameters(self) -> Iterable[nn.Parameter]:
        """The class weights."""
        return self.classifier.parameters()

    def after_step(self, features_ND: Tensor, labels_N: Tensor, numbers_N: Tensor) -> None:
        """Nothing beside the gradient."""


class MemoryHead:
    """A unit vector for each cluster, which starts as its centroid; every image of a batch moves its own cluster's.

    `hard`: only the image that is least like it does, once a batch.
    """

    num_source = 0

    def __init__(self, centroids_CD: Tensor, momentum: float, *, hard: bool = False) -> None:
        self.slots_CD, self.momentum, self.hard = centroids_CD.clone(), momentum, hard
        self.num_classes = len(centroids_CD)

    def scores(self, features_ND: Tensor) -> Tensor:
        """See `Head`."""
        return F.linear(features_ND, self.slots_CD)

    def parameters(self) -> Iterable[nn.Parameter]:
        """None: no gradient moves a memory."""
        return ()

    @torch.no_grad()
    def after_step(self, features_ND: Tensor, labels_N: Tensor, numbers_N: Tensor) -> None:
        """m <- norm(momentum m + (1 - momentum) f), row after row."""
        if self.hard:
            rows = hardest_rows(features_ND, labels_N, self.slots_CD)
            features_ND, labels_N = features_ND[rows], labels_N[rows]
        move_slots(self.slots_CD, features_ND, labels_N, self.momentum)


class HybridHead:
    """A slot for each image of the target, and for each class of the source if it is told apart in the same softmax.

    The score of a class is the mean over its slots; an image outside all clusters is a class of its own. The slots stay over
    the rounds, `labels_T` says for each image of the target its class of this round, all of 0 ... C - 1 in use.
    """

    def __init__(self, slots_MD: Tensor, labels_T: np.ndarray, momentum: float) -> None:
        self.slots_MD, self.momentum = slots_MD, momentum
        self.num_source = len(slots_MD) - len(labels_T)
        self.num_classes = int(labels_T.max()) + 1
        owners = np.concatenate([np.arange(self.num_source), self.num_source + labels_T])
        self.owners_M = torch.from_numpy(owners).to(slots_MD.device)
        self.counts = torch.bincount(self.owners_M, minlength=self.num_source + self.num_classes)[:, None]

    def scores(self, features_ND: Tensor) -> Tensor:
        """(N, num_source + C): means of the products with the slots of each class, as products with their mean."""
        sums = torch.zeros(len(self.counts), self.slots_MD.shape[1], device=self.slots_MD.device)
        return F.linear(features_ND, sums.index_add_(0, self.owners_M, self.slots_MD) / self.counts)

    def parameters(self) -> Iterable[nn.Parameter]:
        """None: no gradient moves a memory."""
        return ()

    @torch.no_grad()
    def after_step(self, features_ND: Tensor, labels_N: Tensor, numbers_N: Tensor) -> None:
        """Every image moves its own slot, an image of the source that of its class."""
        of_source = labels_N < self.num_source
        places_N = torch.where(of_source, labels_N, self.num_source + numbers_N)
        move_slots(self.slots_MD, features_ND, places_N, self.momentum)


@torch.no_grad()
def move_slots(slots_CD: Tensor, features_ND: Tensor, places_N: Tensor, momentum: float) -> None:
    """slot <- norm(momentum slot + (1 - momentum) feature) for row after row, in place.

    The first rows of all slots move at once, then the second ones, and so on: slots do not see one another, so that this is
    the same as row after row.
    """
    turns: list[list[int]] = []
    seen: dict[int, int] = {}
    for row, place in enumerate(places_N.tolist()):
        turn = seen[place] = seen.get(place, -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(row)
    for rows in turns:
        places = places_N[rows]
        slots_CD[places] = F.normalize(momentum * slots_CD[places] + (1 - momentum) * features_ND[rows])


@torch.no_grad()
def hardest_rows(features_ND: Tensor, labels_N: Tensor, slots_CD: Tensor) -> list[int]:
    """Of each class in a batch the first row that is least similar to the class's slot, in the order of the classes' first rows."""
    similarities = (features_ND * slots_CD[labels_N]).sum(1).tolist()
    hardest: dict[int, int] = {}
    for row, label in enumerate(labels_N.tolist()):
        if label not in hardest or similarities[row] < similarities[hardest[label]]:
            hardest[label] = row
    return list(hardest.values())


def centroids(feats_ND: np.ndarray, labels_N: np.ndarray) -> Tensor:
    """(C, D) L2-normalised mean feature of each class 0 ... C - 1; rows labelled -1 are outside all classes."""
    inside = labels_N >= 0
    sums = np.zeros((int(labels_N.max()) + 1, feats_ND.shape[1]), np.float64)
    np.add.at(sums, labels_N[inside], feats_ND[inside])
    return F.normalize(torch.from_numpy(sums)).float()
