"""The optimizer of the small segmenter against the definition of Muon by a singular value decomposition, and against AdamW."""

import copy

import torch

from reid_data.segment.network import PedestrianNet
from reid_data.train_segmenter.optimizer import SegmenterOptimizer


def prepared(seed: int = 0) -> PedestrianNet:
    torch.manual_seed(seed)
    net = PedestrianNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for weight in net.parameters():
        weight.grad = torch.randn_like(weight)
    return net


def moves(net: PedestrianNet, optimizer: SegmenterOptimizer) -> dict[str, torch.Tensor]:
    before = copy.deepcopy(net.state_dict())
    optimizer.step(0.5)
    return {name: weight.detach() - before[name] for name, weight in net.named_parameters()}


def test_inner_weights_move_by_the_nearest_orthogonal_matrix() -> None:
    net = prepared()
    moved = moves(net, SegmenterOptimizer(net, rate=0.004, matrix_rate=0.03, weight_decay=0.0))
    for name in ("down.1.0.conv.weight", "down.3.1.first.conv.weight", "narrow.0.weight", "whole.weight"):
        weight = net.get_parameter(name)
        assert weight.grad is not None
        rows, columns = len(weight), weight.numel() // len(weight)
        left, _, right = torch.linalg.svd(weight.grad.reshape(rows, -1), full_matrices=False)
        turned = left.T @ -moved[name].reshape(rows, -1) @ right.T
        sizes = turned.diagonal() / (0.5 * 0.03 * max(1, rows / columns) ** 0.5)
        assert (turned - turned.diagonal().diag()).abs().max() < 0.1 * turned.diagonal().max(), (
            name
        )  # the same directions
        assert 0.65 < sizes.median() < 1.25  # about one: five iterations are not the limit
        assert sizes.max() < 1.4


def test_outer_layers_biases_and_norms_are_adamws() -> None:
    net = prepared()
    moved = moves(net, SegmenterOptimizer(net, rate=0.004, matrix_rate=0.03, weight_decay=0.0))
    for name in ("stem.conv.weight", "head.weight", "head.bias", "down.0.0.norm.weight"):
        torch.testing.assert_close(moved[name].abs(), torch.full_like(moved[name], 0.002), atol=1e-5, rtol=0)


def test_without_a_matrix_rate_adamw_moves_everything() -> None:
    net = prepared()
    for weight in net.parameters():
        weight.grad = torch.randn_like(weight).sign()
    moved = moves(net, SegmenterOptimizer(net, rate=0.004, matrix_rate=0, weight_decay=0.0))
    for name, move in moved.items():
        torch.testing.assert_close(move.abs(), torch.full_like(move, 0.002), atol=1e-5, rtol=0, msg=name)


def test_weight_decay_shrinks_weights_and_spares_biases() -> None:
    net = prepared()
    for weight in net.parameters():
        weight.grad = torch.zeros_like(weight)
    before = copy.deepcopy(net.state_dict())
    SegmenterOptimizer(net, rate=0.004, matrix_rate=0.03, weight_decay=0.1).step(1.0)
    after = net.state_dict()
    torch.testing.assert_close(after["down.1.0.conv.weight"], before["down.1.0.conv.weight"] * (1 - 0.03 * 0.1))
    torch.testing.assert_close(after["stem.conv.weight"], before["stem.conv.weight"] * (1 - 0.004 * 0.1))
    assert torch.equal(after["head.bias"], before["head.bias"])


def test_a_loaded_state_goes_on_as_the_first_would() -> None:
    one, other = prepared(), prepared()
    first = SegmenterOptimizer(one, rate=0.004, matrix_rate=0.03, weight_decay=0.1)
    first.step(1.0)
    second = SegmenterOptimizer(other, rate=0.004, matrix_rate=0.03, weight_decay=0.1)
    other.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for net, optimizer in ((one, first), (other, second)):
        for weight in net.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step(0.7)
    for (name, weight), same in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, same), name
