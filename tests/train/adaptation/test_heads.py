"""Memories worked out by hand and row by row, with the gradient that they leave alone."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_train.adaptation.heads import (
    HybridHead,
    LearnedHead,
    MemoryHead,
    centroids,
    hardest_rows,
    move_slots,
)
from reid_train.adaptation.partitions import with_singles
from reid_train.model.classifiers import Classifier

NO_NUMBERS = torch.zeros(0, dtype=torch.long)


def unit(rows: int, width: int = 4, seed: int = 0) -> Tensor:
    """(rows, width) unit vectors."""
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)))


def one_after_another(slots: Tensor, features: Tensor, places: Tensor, momentum: float) -> Tensor:
    """The rule as it is written: row after row."""
    slots = slots.clone()
    for feature, place in zip(features, places.tolist()):
        moved = momentum * slots[place] + (1 - momentum) * feature
        slots[place] = moved / moved.norm()
    return slots


def test_a_memory_in_the_plane_by_hand() -> None:
    """Class 0 at (1, 0) sees (0, 1) at momentum 1/2: the mean is on the diagonal; class 2 sees nothing."""
    head = MemoryHead(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), 0.5)
    features = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert torch.equal(head.scores(features), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, -1.0]]))
    head.after_step(features, torch.tensor([0, 1]), NO_NUMBERS)
    half = 0.5**0.5
    torch.testing.assert_close(head.slots_CD, torch.tensor([[half, half], [half, half], [-1.0, 0.0]]))


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.9])
def test_moving_in_turns_is_moving_row_after_row(momentum: float) -> None:
    slots, features = unit(5), unit(12, seed=1)
    places = torch.tensor([3, 0, 3, 3, 1, 0, 4, 3, 1, 0, 0, 4])
    wanted = one_after_another(slots, features, places, momentum)
    move_slots(slots, features, places, momentum)
    torch.testing.assert_close(slots, wanted)
    other = one_after_another(unit(5), features.flip(0), places.flip(0), momentum)
    assert not torch.allclose(slots, other), "the order in a batch decides"


def test_the_hardest_row_of_a_class_is_the_least_similar_one_and_the_first_of_equals() -> None:
    slots = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    features = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    assert hardest_rows(features, torch.tensor([0, 1, 0, 0, 1]), slots) == [2, 1]


def test_a_hard_memory_moves_once_a_class() -> None:
    slots, features, labels = unit(3), unit(6, seed=2), torch.tensor([0, 0, 1, 1, 1, 0])
    head = MemoryHead(slots, 0.3, hard=True)
    head.after_step(features, labels, NO_NUMBERS)
    rows = hardest_rows(features, labels, slots)
    torch.testing.assert_close(head.slots_CD, one_after_another(slots, features[rows], labels[rows], 0.3))


def test_the_gradient_of_a_memory_is_that_of_fixed_class_weights() -> None:
    features = unit(4, seed=3).requires_grad_()
    head, labels = MemoryHead(unit(3), 0.1), torch.tensor([0, 1, 2, 0])
    F.cross_entropy(head.scores(features) / 0.05, labels).backward()
    chances = (features.detach() @ unit(3).T / 0.05).softmax(1) - F.one_hot(labels, 3)
    torch.testing.assert_close(features.grad, chances @ unit(3) / 0.05 / 4)


def slow_hybrid(features: Tensor, slots: Tensor, owners: list[int]) -> Tensor:
    """Means of products, slot by slot."""
    classes = max(owners) + 1
    members = [[slot for slot, owner in enumerate(owners) if owner == one] for one in range(classes)]
    return torch.stack([torch.stack([features @ slots[slot] for slot in own]).mean(0) for own in members], 1)


def test_a_class_of_a_hybrid_memory_scores_the_mean_over_its_slots() -> None:
    """Two people of the source, then five images: a cluster of three, one of none else, one outlier."""
    slots, features = unit(7), unit(3, seed=4)
    head = HybridHead(slots, with_singles(np.array([0, -1, 0, 1, 0])), 0.2)
    assert (head.num_source, head.num_classes) == (2, 3)
    torch.testing.assert_close(head.scores(features), slow_hybrid(features, slots, [0, 1, 2, 4, 2, 3, 2]))


def test_images_of_a_hybrid_memory_move_their_own_slots() -> None:
    slots, features = unit(7), unit(4, seed=5)
    head = HybridHead(slots.clone(), np.array([0, 2, 0, 1, 0]), 0.2)
    labels, numbers = torch.tensor([1, 0, 2, 4]), torch.tensor([-50, -51, 4, 1])
    head.after_step(features, labels, numbers)
    places = torch.tensor([1, 0, 2 + 4, 2 + 1])
    torch.testing.assert_close(head.slots_MD, one_after_another(slots, features, places, 0.2))


def test_without_people_of_the_source_a_hybrid_memory_holds_images_only() -> None:
    head = HybridHead(unit(5), np.array([0, 0, 1, 1, 2]), 0.2)
    assert (head.num_source, head.num_classes) == (0, 3)


def test_a_learned_head_is_the_networks_kind_of_classifier() -> None:
    classifier = Classifier(4, 3, norm="cosine", head="linear", margin=0.35, seed=0)
    head = LearnedHead(classifier)
    scores = head.scores(unit(2))
    torch.testing.assert_close(scores, unit(2) @ F.normalize(classifier.weight).T)
    assert list(head.parameters()) == [classifier.weight]


def test_centroids_are_unit_means_of_what_is_in_a_class() -> None:
    feats, labels = unit(6).numpy(), np.array([1, -1, 0, 1, 0, -1])
    for number, rows in enumerate(([2, 4], [0, 3])):
        mean = feats[rows].mean(0)
        np.testing.assert_allclose(centroids(feats, labels)[number], mean / np.linalg.norm(mean), atol=1e-6)


def test_outliers_become_classes_of_one() -> None:
    assert with_singles(np.array([1, -1, 0, -1])).tolist() == [1, 2, 0, 3]
    assert with_singles(np.array([-1, -1])).tolist() == [0, 1]
