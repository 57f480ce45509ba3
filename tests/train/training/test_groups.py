"""Groups of parameters: who is decayed, who learns how fast; a vision transformer goes on after a kill as if there had been none."""

import itertools
from pathlib import Path

import pytest
import torch

from reid_data.errors import UsageError
from reid_data.records import ReidDataset
from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.runs.checkpoint import MODEL_FILE, STATE_FILE
from reid_train.training import training
from reid_train.training.fit import fit
from reid_train.training.groups import parameter_groups
from tests.train.conftest import small

VIT = {"backbone": "timm:test_vit", "last_stride": 2}


def net_of(backbone: str) -> ReidNet:
    return build_net(NetSpec(backbone=backbone, last_stride=2, size=(32, 16)), 4, 0)


def by_name(net: ReidNet, **how: object) -> dict[str, tuple[float, float]]:
    """Parameter -> (rate, decay)."""
    own = set(net.classifier.parameters())
    groups = parameter_groups(net, own, weight_decay=0.1, **how)  # type: ignore[arg-type]
    found = {id(one): (group["lr_mult"], group["weight_decay"]) for group in groups for one in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups), "each once"
    return {name: found[id(one)] for name, one in net.named_parameters() if id(one) in found}


def test_maps_are_decayed_in_one_group_as_ever() -> None:
    net = net_of("resnet18")
    groups = parameter_groups(net, set(net.classifier.parameters()), weight_decay=0.1)
    trained = [one for one in net.parameters() if one.requires_grad and one is not net.classifier.weight]
    assert len(groups) == 1
    assert all(one is other for one, other in zip(groups[0]["params"], trained, strict=True))


@pytest.mark.parametrize(("backbone", "decay_on"), [("timm:test_vit", "auto"), ("resnet18", "weights")])
def test_only_weights_are_decayed(backbone: str, decay_on: str) -> None:
    net = net_of(backbone)
    found = by_name(net, decay_on=decay_on)
    matrices = {name for name, one in net.named_parameters() if one.ndim > 1} - {"classifier.weight"}
    tokens = {"backbone.cls_token", "backbone.pos_embed"}
    assert {name for name, (_, decay) in found.items() if decay} == matrices - tokens


def test_each_layer_learns_slower_than_the_next() -> None:
    found = by_name(net_of("timm:test_vit"), layer_decay=0.5)
    last = 0.5**1
    assert found["backbone.norm.weight"][0] == last
    assert found["backbone.blocks.5.mlp.fc1.weight"][0] in (last, last / 2)
    rates = [found[f"backbone.blocks.{number}.mlp.fc1.weight"][0] for number in range(6)]
    assert all(after == 2 * before for before, after in itertools.pairwise(rates))
    assert found["backbone.pos_embed"][0] == found["backbone.cls_token"][0] == rates[0] / 2
    assert found["neck.weight"][0] == 1
    stages = by_name(net_of("resnet18"), layer_decay=0.5)
    assert [
        stages[f"backbone.{name}"][0] for name in ("conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias")
    ] == [
        0.5**5,
        0.5**4,
        0.5,
    ]


@pytest.mark.usefixtures("tiny_backbone")
def test_a_network_without_layers_says_so() -> None:
    with pytest.raises(UsageError, match="--layer-decay"):
        by_name(net_of("resnet18"), layer_decay=0.5)


def test_a_vision_transformer_goes_on_after_a_kill_with_the_same_bytes(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(**VIT, pooling="cls+gap", drop_path=0.3, layer_decay=0.8, optimiser="adamw", lr=1e-3)
    fit(settings, [tiny], tmp_path / "whole", device="cpu", workers=1)
    save = training.save_state

    def killed(path: Path, state: dict[str, object]) -> None:
        save(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_state", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(settings, [tiny], tmp_path / "cut", device="cpu", workers=1)
    torch.manual_seed(7)
    fit(settings, [tiny], tmp_path / "cut", device="cpu", workers=1)
    for name in (MODEL_FILE, STATE_FILE):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
