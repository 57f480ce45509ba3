"""Losses against slow loops, hand-worked cases and pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor
from torch.nn import functional as F

from reid_train.model.classifiers import Classifier, arcface_head, cosface_head
from reid_train.training.losses import batch_hard_triplet, centre_loss, cross_entropy, moved_centres, pairwise_distances


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 5, generator=generator, dtype=torch.float64), torch.arange(12) // 3


def slow_triplet(features: Tensor, labels: Tensor, margin: float | None) -> float:
    losses = []
    for i in range(len(features)):
        distances = [float((features[i] - features[j]).norm()) for j in range(len(features))]
        positive = max(d for d, label in zip(distances, labels) if label == labels[i])
        negatives = [d for d, label in zip(distances, labels) if label != labels[i]]
        if not negatives:
            losses.append(0.0)
            continue
        gap = positive - min(negatives)
        losses.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0, None])
def test_triplet_equals_the_slow_loop(batch: tuple[Tensor, Tensor], margin: float | None) -> None:
    assert float(batch_hard_triplet(*batch, margin)) == pytest.approx(slow_triplet(*batch, margin), abs=1e-6)


def test_triplet_equals_pytorch_metric_learning(batch: tuple[Tensor, Tensor]) -> None:
    features, labels = batch
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.reducers import MeanReducer

    distance = LpDistance(normalize_embeddings=False)
    loss = TripletMarginLoss(margin=0.3, distance=distance, reducer=MeanReducer())
    triplets = BatchHardMiner(distance=distance)(features, labels)
    assert float(batch_hard_triplet(features, labels, 0.3)) == pytest.approx(
        float(loss(features, labels, triplets)), abs=1e-6
    )


def test_triplet_of_one_identity_is_zero_with_a_zero_gradient() -> None:
    features = torch.randn(4, 3, requires_grad=True)
    for margin in (0.3, None):
        loss = batch_hard_triplet(features, torch.zeros(4, dtype=torch.long), margin)
        (gradient,) = torch.autograd.grad(loss, features)
        assert float(loss.detach()) == 0
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_coinciding_features_have_a_finite_gradient() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    loss = batch_hard_triplet(features, torch.tensor([0, 0, 1, 1]), 0.3)
    (gradient,) = torch.autograd.grad(loss, features)
    assert float(loss.detach()) == pytest.approx(0.3, abs=1e-5)
    assert torch.isfinite(gradient).all()


def test_triplet_candidates_from_a_larger_pool(batch: tuple[Tensor, Tensor]) -> None:
    features, labels = batch
    halves = [
        batch_hard_triplet(features[part], labels[part], 0.3, others_MD=features, other_labels_M=labels)
        for part in (slice(0, 6), slice(6, 12))
    ]
    assert float(sum(halves)) / 2 == pytest.approx(slow_triplet(features, labels, 0.3), abs=1e-6)


def test_distances() -> None:
    distances = pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 4.0]]))
    torch.testing.assert_close(distances, torch.tensor([[0.0, 4.0], [5.0, 3.0]]), atol=1e-5, rtol=0)


def test_label_smoothing_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    log_p = F.log_softmax(logits, 1)[0]
    expected = -(0.9 * log_p[0] + 0.1 * log_p.mean())
    assert float(cross_entropy(logits, torch.tensor([0]), 0.1)) == pytest.approx(float(expected))


def test_centre_loss_and_its_centres_by_hand() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    features, labels = torch.tensor([[2.0, 0.0], [4.0, 0.0], [1.0, 3.0]]), torch.tensor([0, 0, 1])
    assert float(centre_loss(features, labels, centres)) == pytest.approx((4 + 16 + 4) / 2 / 3)
    # class 0: sum(c - x) = (-6, 0), over 1 + 2; class 1: (0, -2) over 1 + 1; class 2 has no image
    expected = torch.tensor([[0.5 * 2.0, 0.0], [1.0, 1.0 + 0.5 * 1.0], [5.0, 5.0]])
    torch.testing.assert_close(moved_centres(centres, features, labels, 0.5), expected)


@pytest.mark.parametrize("head", ["arcface", "cosface"])
def test_margin_heads_equal_pytorch_metric_learning(head: str, batch: tuple[Tensor, Tensor]) -> None:
    features, labels = batch[0].float(), batch[1]
    classifier = Classifier(5, 4, norm="free", head=head, margin=0.4, seed=0)
    classifier.set_weights(torch.randn(4, 5, generator=torch.Generator().manual_seed(1)))
    kinds = {
        "arcface": ArcFaceLoss(4, 5, margin=math.degrees(0.4), scale=10),
        "cosface": CosFaceLoss(4, 5, margin=0.4, scale=10),
    }
    oracle = kinds[head]
    with torch.no_grad():
        oracle.W.copy_(classifier.weight.T)
    logits, scores = classifier(features, labels, 0.1)
    # away from theta > pi - margin, where implementations differ in how they go on
    usable = scores.gather(1, labels[:, None])[:, 0] > math.cos(math.pi - 0.4)
    assert usable.sum() > 8
    ours = cross_entropy(logits[usable], labels[usable]).detach()
    assert float(ours) == pytest.approx(float(oracle(features[usable], labels[usable]).detach()), abs=1e-4)


def test_a_larger_angle_never_scores_higher_under_arcface() -> None:
    angles = torch.linspace(0, math.pi, 200)
    cosines = torch.stack([angles.cos(), torch.zeros_like(angles)], 1)
    scores = arcface_head(cosines, torch.zeros(200, dtype=torch.long), 0.5)[:, 0]
    assert (scores.diff() <= 1e-6).all()


def test_cosface_moves_only_the_true_class() -> None:
    scores = cosface_head(torch.tensor([[0.5, 0.2], [0.1, 0.9]]), torch.tensor([0, 1]), 0.3)
    torch.testing.assert_close(scores, torch.tensor([[0.2, 0.2], [0.1, 0.6]]))
