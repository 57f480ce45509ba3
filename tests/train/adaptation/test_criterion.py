"""The losses of an adaptation against two cross-entropies written out, and what mixing the softmaxes changes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_train.adaptation.criterion import Adaptive, Mixture
from reid_train.adaptation.heads import Head, HybridHead, LearnedHead, MemoryHead
from reid_train.adaptation.partitions import with_singles
from reid_train.arithmetic import Arithmetic
from reid_train.model.classifiers import Classifier
from reid_train.model.norms import Shares
from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.training.batches import Batch
from reid_train.training.criterion import Objective, StepValues
from reid_train.training.losses import batch_hard_triplet
from tests.train.conftest import TINY_WIDTH

pytestmark = pytest.mark.usefixtures("tiny_backbone")
ARITHMETIC = Arithmetic(torch.device("cpu"), "none", (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
PEOPLE, CLUSTERS, FIRST = 5, 3, 100
NOW = StepValues(0.1, 0.2)
LABELS, DOMAIN = torch.tensor([0, 4, 4, 0, 2, 1, 2, 1]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def net(classes: int = PEOPLE, **changes: Any) -> ReidNet:
    """A tiny network."""
    return build_net(NetSpec(**changes), classes, 0)


def head(kind: str = "free", width: int = TINY_WIDTH) -> LearnedHead:
    """Class weights for the clusters."""
    classifier = Classifier(width, CLUSTERS, norm=kind, head="linear", margin=0.35, seed=7)
    classifier.set_weights(torch.randn(CLUSTERS, width, generator=torch.Generator().manual_seed(3)))
    return LearnedHead(classifier)


def batch(rows: slice = slice(None)) -> Batch:
    """Four images of the source, then four of the target, two of a class each."""
    images = torch.randint(0, 256, (8, 32, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    numbers = torch.tensor([10, 11, 12, 13, FIRST, FIRST + 1, FIRST + 2, FIRST + 3])
    return Batch(images[rows], LABELS[rows].clone(), numbers[rows], DOMAIN[rows])


def criterion(network: ReidNet, own: Head | None, **changes: Any) -> Adaptive:
    """The losses for a network and a head."""
    how = {"num_source": PEOPLE, "first_target": FIRST, **changes}
    return Adaptive(network, own, how.pop("objective", Objective()), ARITHMETIC, **how)


def seen(network: ReidNet, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """(before the neck, as classified) of the batch in training mode."""
    found = network.train()(ARITHMETIC.to_input(batch(rows).images))
    return found.before, found.classified


def test_separate_is_two_cross_entropies() -> None:
    network, own = net(), head()
    _, features = seen(network)
    parts = criterion(network, own, weight=0.5).losses(network, batch(), NOW)
    source = F.cross_entropy(features[:4] @ network.classifier.weight.T / 0.2, LABELS[:4])
    target = F.cross_entropy(features[4:] @ own.classifier.weight.T / 0.2, LABELS[4:])
    assert list(parts) == ["loss_ce_source", "loss_ce_target"]
    torch.testing.assert_close(parts["loss_ce_source"], source)
    torch.testing.assert_close(parts["loss_ce_target"], 0.5 * target)


def test_mixed_is_one_softmax_over_people_and_clusters() -> None:
    network, own = net(), head()
    _, features = seen(network)
    parts = criterion(network, own, mixture=Mixture(source=True, target=True)).losses(network, batch(), NOW)
    logits = features @ torch.cat([network.classifier.weight, own.classifier.weight]).T / 0.2
    torch.testing.assert_close(parts["loss_ce_source"], F.cross_entropy(logits[:4], LABELS[:4]))
    torch.testing.assert_close(parts["loss_ce_target"], F.cross_entropy(logits[4:], PEOPLE + LABELS[4:]))


def test_mixed_source_widens_the_softmax_of_the_source_alone() -> None:
    network, own = net(), head()
    wide, narrow, half = (
        criterion(network, own, mixture=mixture).losses(network, batch(), NOW)
        for mixture in (Mixture(source=True, target=True), Mixture(), Mixture(source=True))
    )
    torch.testing.assert_close(half["loss_ce_source"], wide["loss_ce_source"])
    torch.testing.assert_close(half["loss_ce_target"], narrow["loss_ce_target"])
    assert not torch.isclose(wide["loss_ce_source"], narrow["loss_ce_source"])


def test_mixed_with_clusters_that_no_image_fits_is_separate() -> None:
    class Nowhere(LearnedHead):
        def scores(self, features_ND: Tensor) -> Tensor:
            return torch.full((len(features_ND), CLUSTERS), -torch.inf)

    network = net()
    mixed = criterion(network, Nowhere(head().classifier), mixture=Mixture(source=True)).losses(network, batch(), NOW)
    separate = criterion(network, head()).losses(network, batch(), NOW)
    torch.testing.assert_close(mixed["loss_ce_source"], separate["loss_ce_source"])


@pytest.mark.parametrize("norm", ["free", "project", "cosine"])
@pytest.mark.parametrize("mixture", [Mixture(), Mixture(source=True), Mixture(source=True, target=True)])
def test_every_kind_of_weights_can_be_trained_in_every_mixture(norm: str, mixture: Mixture) -> None:
    network, own = net(classifier_norm=norm), head(norm)
    learned = criterion(network, own, mixture=mixture)
    torch.stack(list(learned.losses(network, batch(), NOW).values())).sum().backward()
    assert all(parameter.grad is not None for parameter in learned.parameters())
    assert list(learned.parameters()) == [network.classifier.weight, own.classifier.weight]


def test_the_target_alone_needs_no_people() -> None:
    network, own = net(0), head()
    _, features = seen(network, slice(4, None))
    parts = criterion(network, own, num_source=0).losses(network, batch(slice(4, None)), NOW)
    wanted = F.cross_entropy(features @ own.classifier.weight.T / 0.2, LABELS[4:])
    torch.testing.assert_close(parts["loss_ce_target"], wanted)
    assert list(parts) == ["loss_ce_target"]


def test_the_source_alone_needs_no_head() -> None:
    network = net()
    parts = criterion(network, None).losses(network, batch(slice(0, 4)), NOW)
    assert list(parts) == ["loss_ce_source"]


def test_triplets_stay_inside_a_site() -> None:
    network = net()
    before, _ = seen(network)
    objective = Objective(triplet=2.0)
    parts = criterion(network, head(), objective=objective, weight=0.5).losses(network, batch(), NOW)
    torch.testing.assert_close(parts["loss_triplet_source"], 2 * batch_hard_triplet(before[:4], LABELS[:4], 0.3))
    torch.testing.assert_close(parts["loss_triplet_target"], batch_hard_triplet(before[4:], LABELS[4:], 0.3))


def test_a_memory_is_moved_by_the_target_alone() -> None:
    network, own = net(), MemoryHead(F.normalize(torch.ones(CLUSTERS, TINY_WIDTH)), 0.3)
    _, features = seen(network)
    wanted = MemoryHead(own.slots_CD, 0.3)
    wanted.after_step(features[4:].detach(), LABELS[4:], torch.arange(4))
    learned = criterion(network, own)
    learned.losses(network, batch(), NOW)
    learned.after_step(batch())
    assert torch.equal(own.slots_CD, wanted.slots_CD)


def test_a_hybrid_memory_with_people_is_moved_by_both_sites() -> None:
    network = net(0)
    slots = F.normalize(torch.randn(PEOPLE + 6, TINY_WIDTH, generator=torch.Generator().manual_seed(2)))
    labels = with_singles(torch.tensor([2, 1, 2, 1, -1, 0]).numpy())
    own, wanted = HybridHead(slots.clone(), labels, 0.3), HybridHead(slots.clone(), labels, 0.3)
    _, features = seen(network)
    learned = criterion(network, own)
    parts = learned.losses(network, batch(), NOW)
    logits = wanted.scores(features) / 0.2
    truth = torch.cat([LABELS[:4], PEOPLE + LABELS[4:]])
    torch.testing.assert_close(parts["loss_ce_source"], F.cross_entropy(logits[:4], truth[:4]))
    torch.testing.assert_close(parts["loss_ce_target"], F.cross_entropy(logits[4:], truth[4:]))
    learned.after_step(batch())
    wanted.after_step(features.detach(), truth, torch.tensor([0, 0, 0, 0, 0, 1, 2, 3]))
    assert torch.equal(own.slots_MD, wanted.slots_MD)


def test_the_batch_is_announced_to_the_normalisation() -> None:
    network, shares = net(), Shares()
    criterion(network, head(), shares=shares).losses(network, batch(), NOW)
    assert shares.sizes == (4, 4)
    criterion(network, None, shares=shares).losses(network, batch(slice(0, 4)), NOW)
    assert shares.sizes == (4,)


def test_labels_that_a_site_does_not_have_are_found_before_they_stop_a_gpu() -> None:
    learned = criterion(net(), head())
    assert learned.check(batch()) is None
    wrong = batch()
    wrong.labels[6] = CLUSTERS
    assert learned.check(wrong) == (6, "has the label 3, its site has 3 classes")


def test_facts_tell_the_accuracy_of_each_site() -> None:
    network, own = net(), head()
    _, features = seen(network)
    learned = criterion(network, own)
    learned.losses(network, batch(), NOW)
    facts = learned.facts()
    best = (features[4:] @ own.classifier.weight.T).argmax(1)
    assert facts["accuracy_target"] == float((best == LABELS[4:]).float().mean())
    assert set(facts) == {"accuracy_source", "accuracy_target", "feature_norm", "temperature"}
    assert learned.facts() == {}
