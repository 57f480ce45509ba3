"""Networks of the package timm as backbones."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from reid_data.errors import EnvironmentFault, UsageError
from reid_train.model.backbones import build_backbone
from reid_train.model.reid_net import NetSpec, build_net
from reid_train.model.weights import load_start


def test_a_network_of_timm_gives_maps_and_trains():
    net = build_net(NetSpec(backbone="timm:resnet10t", last_stride=2), 5, seed=0)
    images = torch.randn(2, 3, 64, 32)
    embedded = net(images)
    assert embedded.before.shape == (2, 512)
    embedded.classified[:, 0].sum().backward()
    assert all(weight.grad is not None for weight in net.backbone.parameters())


def test_stride_one_keeps_twice_the_resolution():
    images = torch.randn(1, 3, 64, 32)
    sizes = {
        stride: build_backbone("timm:resnet10t", last_stride=stride, seed=0)[0](images).shape[2:] for stride in (1, 2)
    }
    assert sizes == {1: (4, 2), 2: (2, 1)}


def test_the_weights_are_a_function_of_the_seed():
    first, again, other = (build_backbone("timm:resnet10t", last_stride=2, seed=seed)[0] for seed in (1, 1, 2))
    name = "layer1.0.conv1.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_a_state_dict_of_the_backbone_alone_loads(tmp_path):
    source = build_backbone("timm:resnet10t", last_stride=2, seed=3)[0]
    save_file({name: value.contiguous() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    net = build_net(NetSpec(backbone="timm:resnet10t", last_stride=2), 5, seed=0)
    load_start(net, tmp_path / "w.safetensors")
    for name, value in source.state_dict().items():
        assert torch.equal(net.backbone.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("name", "stride", "words"),
    [("resnet10", 2, "resnet10t"), ("vit_tiny_patch16_224", 2, "vit_tiny"), ("edgenext_xx_small", 1, "last-stride 2")],
)
def test_what_cannot_be_a_backbone_says_so(name, stride, words):
    with pytest.raises(UsageError, match=words):
        build_backbone(f"timm:{name}", last_stride=stride, seed=0)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EnvironmentFault, match=r"person-reid-toolkit\[timm\]"):
        build_backbone("timm:resnet10t", last_stride=2, seed=0)
