"""Batch normalisation by domain and by groups, against torch's own on the parts."""

import copy

import pytest
import torch
from torch import Tensor, nn

from reid_train.model.norms import (
    DomainNorm,
    Shares,
    measure_statistics,
    num_groups,
    plain_state,
    running_statistics,
    split_norms,
)


def layer(features: int = 3, seed: int = 0) -> nn.BatchNorm2d:
    """A batch normalisation whose weights and statistics are not those that it starts with."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(features)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def rows(count: int, seed: int = 1) -> Tensor:
    """(count, 3, 2, 2)"""
    return torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def test_one_group_and_one_bank_is_the_plain_layer_bit_for_bit() -> None:
    plain, x = layer(), rows(8)
    for group in (0, 8, 100):
        split = DomainNorm(layer(), 1, group, Shares((8,)))
        assert torch.equal(split(x), copy.deepcopy(plain)(x))
    both = DomainNorm(layer(), 1, 0, Shares((5, 3)))
    wanted = copy.deepcopy(plain)
    assert torch.equal(both(x), wanted(x))
    assert torch.equal(both.banks[0].running_var, wanted.running_var)


def test_every_domain_has_its_own_statistics_and_weights() -> None:
    split, x = DomainNorm(layer(), 2, 0, Shares((6, 4))), rows(10)
    first, second = layer(), layer()
    assert torch.equal(split(x), torch.cat([first(x[:6]), second(x[6:])]))
    assert torch.equal(split.banks[0].running_mean, first.running_mean)
    assert torch.equal(split.banks[1].running_mean, second.running_mean)
    split(x).square().sum().backward()
    assert not torch.equal(split.banks[0].weight.grad, split.banks[1].weight.grad)


def test_two_banks_that_see_the_same_are_one() -> None:
    split, x = DomainNorm(layer(), 2, 0, Shares((4, 4))), rows(4)
    split(torch.cat([x, x]))
    assert torch.equal(split.banks[0].running_var, split.banks[1].running_var)


def test_groups_are_normalised_one_by_one_and_the_running_statistics_take_in_their_mean() -> None:
    split, x = DomainNorm(layer(), 1, 4, Shares((12,))), rows(12)
    wanted = [layer()(part) for part in x.split(4)]
    assert torch.equal(split(x), torch.cat(wanted))
    fresh = [layer() for _ in range(3)]
    for norm, part in zip(fresh, x.split(4)):
        norm(part)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(norm, name) for norm in fresh]).mean(0)
        torch.testing.assert_close(getattr(split.banks[0], name), mean)
    assert split.banks[0].momentum == 0.1
    assert int(split.banks[0].num_batches_tracked) == 1


def test_the_gradient_of_groups_is_that_of_the_groups_one_by_one() -> None:
    split, plain = DomainNorm(layer(), 1, 4, Shares((12,))), layer()
    x, y = rows(12).requires_grad_(), rows(12).requires_grad_()
    nn.Sequential(split, split)(x).pow(3).sum().backward()
    torch.cat([plain(layer()(part)) for part in y.split(4)]).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_a_group_of_a_shared_bank_has_its_share_of_every_domain() -> None:
    split, x = DomainNorm(layer(), 1, 4, Shares((4, 4))), rows(8)
    source, target = x[:4], x[4:]
    groups = [layer()(torch.cat([source[:2], target[:2]])), layer()(torch.cat([source[2:], target[2:]]))]
    wanted = torch.cat([groups[0][:2], groups[1][:2], groups[0][2:], groups[1][2:]])
    assert torch.equal(split(x), wanted)


def test_in_evaluation_the_last_bank_normalises_everything() -> None:
    split = DomainNorm(layer(), 2, 2, Shares())
    split.banks[1] = layer(seed=5)
    assert torch.equal(split.eval()(rows(3)), layer(seed=5).eval()(rows(3)))


@pytest.mark.parametrize(
    ("sizes", "group", "count"), [([8], 0, 1), ([8], 4, 2), ([8, 8], 8, 2), ([4, 4], 16, 1), ([6, 3], 3, 3)]
)
def test_how_many_groups_a_batch_has(sizes: list[int], group: int, count: int) -> None:
    assert num_groups(sizes, group) == count


@pytest.mark.parametrize(("sizes", "group"), [([8], 3), ([6, 2], 2)])
def test_groups_of_unequal_shares_are_refused(sizes: list[int], group: int) -> None:
    with pytest.raises(ValueError, match=f"groups of {group}"):
        num_groups(sizes, group)


def network() -> nn.Sequential:
    """Two convolutions, each with a batch normalisation, one of them deeper."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
    )


def test_a_split_network_gives_back_a_plain_one_with_the_last_bank() -> None:
    net, plain = network(), network()
    shares = split_norms(net, 2, 2)
    shares.sizes = (4, 4)
    net(rows(8))
    plain.load_state_dict(plain_state(net.state_dict()))
    assert list(plain_state(net.state_dict())) == list(network().state_dict())
    assert torch.equal(plain.eval()(rows(5, 3)), net.eval()(rows(5, 3)))
    assert not torch.equal(plain[1].running_mean, net[1].banks[0].running_mean)
    assert len(running_statistics(net)) == 8


def test_a_plain_network_stays_as_it_is() -> None:
    state = network().state_dict()
    assert plain_state(state) == state


def test_measured_statistics_are_the_means_over_the_batches_and_only_those_that_tests_use() -> None:
    net = network()
    split_norms(net, 2, 0)
    before = net[1].banks[0].running_mean.clone()
    batches = [rows(4, 7), rows(4, 8)]
    measure_statistics(net, batches)
    seen = torch.stack([net[0](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(net[1].banks[1].running_mean, seen)
    assert torch.equal(net[1].banks[0].running_mean, before)
    assert net[1].banks[1].momentum == 0.1
    assert not any(module.training for module in net.modules())
