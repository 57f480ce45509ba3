"""Networks of the package timm as backbones."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from reid_data.errors import EnvironmentFault, UsageError
from reid_train.model.backbones import build_backbone
from reid_train.model.poolings import POOLINGS, build_pooling
from reid_train.model.reid_net import NetSpec, build_net
from reid_train.model.trunk import Output
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
        stride: build_backbone("timm:resnet10t", last_stride=stride, seed=0).network(images).shape[2:]
        for stride in (1, 2)
    }
    assert sizes == {1: (4, 2), 2: (2, 1)}


def test_the_weights_are_a_function_of_the_seed():
    first, again, other = (build_backbone("timm:resnet10t", last_stride=2, seed=seed).network for seed in (1, 1, 2))
    name = "layer1.0.conv1.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_a_state_dict_of_the_backbone_alone_loads(tmp_path):
    source = build_backbone("timm:resnet10t", last_stride=2, seed=3).network
    save_file({name: value.contiguous() for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    net = build_net(NetSpec(backbone="timm:resnet10t", last_stride=2), 5, seed=0)
    load_start(net, tmp_path / "w.safetensors")
    for name, value in source.state_dict().items():
        assert torch.equal(net.backbone.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("name", "stride", "words"),
    [
        ("resnet10", 2, "resnet10t"),
        ("vit_tiny_patch16_224", 1, "last-stride 2"),
        ("nest_tiny", 2, "square"),
        ("edgenext_xx_small", 1, "last-stride 2"),
    ],
)
def test_what_cannot_be_a_backbone_says_so(name, stride, words):
    with pytest.raises(UsageError, match=words):
        build_backbone(f"timm:{name}", last_stride=stride, seed=0)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EnvironmentFault, match=r"person-reid-toolkit\[timm\]"):
        build_backbone("timm:resnet10t", last_stride=2, seed=0)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("test_vit", Output("NLC", 1, True)),
        ("test_vit2", Output("NLC", 1)),
        ("swin_tiny_patch4_window7_224", Output("NHWC")),
        ("deit_tiny_distilled_patch16_224", Output("NLC", 2, True, "forward_features")),
        ("vit_small_patch14_reg4_dinov2", Output("NLC", 5, True)),
        ("eva02_tiny_patch14_224", Output("NLC", 1, True)),
    ],
)
def test_tokens_and_maps_of_any_size_are_pooled_by_their_places(name, output):
    net = build_net(NetSpec(backbone=f"timm:{name}", last_stride=2, size=(96, 40)), 5, seed=0).eval()
    assert net.output == output
    found = getattr(net.backbone, net.output.method)(torch.randn(2, 3, 96, 40))
    places = [found[0, row, column] for row in range(found.shape[1]) for column in range(found.shape[2])]
    if net.output.axes == "NLC":
        assert net.output.num_prefix == net.backbone.num_prefix_tokens
        places = list(found[0, net.output.num_prefix :])
    expected = torch.stack(places).mean(0)
    assert torch.allclose(net.pooling(found)[0], expected, atol=1e-5)
    assert net(torch.randn(2, 3, 96, 40)).before.shape == (2, len(expected))


def test_the_class_token_alone_and_beside_the_patches():
    tokens = torch.randn(2, 7, 5)
    pooled = {name: build_pooling(name, Output("NLC", 3, True), 5) for name in POOLINGS}
    assert {name: width for name, (_, width) in pooled.items()} == {"gap": 5, "gem": 5, "cls": 5, "cls+gap": 10}
    assert torch.equal(pooled["cls"][0](tokens), tokens[:, 0])
    assert torch.equal(pooled["cls+gap"][0](tokens), torch.cat([tokens[:, 0], tokens[:, 3:].mean(1)], 1))
    clamped = tokens[:, 3:].clamp_min(1e-6)
    assert torch.allclose(pooled["gem"][0](tokens), (clamped**3).mean(1) ** (1 / 3), atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet18", "timm:swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("pooling", ["cls", "cls+gap"])
def test_there_is_no_class_token_in_maps(backbone, pooling):
    with pytest.raises(UsageError, match=r"this backbone has none.*gap or gem"):
        build_net(NetSpec(backbone=backbone, last_stride=2, pooling=pooling, size=(64, 32)), 5, seed=0)


def test_overlapping_patches_are_those_that_fit_and_what_has_none_says_so():
    spec = {"last_stride": 2, "size": (64, 32), "patch_stride": 12}
    net = build_net(NetSpec(backbone="timm:vit_tiny_patch16_224", pooling="cls", **spec), 5, seed=0)
    corners = [(top, left) for top in range(0, 64 - 15, 12) for left in range(0, 32 - 15, 12)]
    assert net.backbone.pos_embed.shape[1] == len(corners) + 1
    images = torch.randn(1, 3, 64, 32)
    embedded = net.backbone.patch_embed(images)[0]
    for place, (top, left) in enumerate(corners):
        patch = images[0, :, top : top + 16, left : left + 16]
        weight, bias = net.backbone.patch_embed.proj.weight, net.backbone.patch_embed.proj.bias
        assert torch.allclose(embedded[place], (weight * patch).sum((1, 2, 3)) + bias, atol=1e-4)
    for name in ("resnet18", "timm:resnet10t", "timm:swin_tiny_patch4_window7_224"):
        with pytest.raises(UsageError, match="--patch-stride"):
            build_net(NetSpec(backbone=name, **spec), 5, seed=0)


def test_drop_path_is_drawn_in_training_alone_and_what_has_none_says_so():
    net = build_net(NetSpec(backbone="timm:test_vit", last_stride=2, size=(64, 32), drop_path=0.5), 5, seed=0)
    images = torch.randn(8, 3, 64, 32)
    assert not torch.equal(net(images).before, net(images).before)
    net.eval()
    assert torch.equal(net(images).before, net(images).before)
    for name in ("resnet18", "timm:vgg11"):
        with pytest.raises(UsageError, match="--drop-path"):
            build_net(NetSpec(backbone=name, last_stride=2, drop_path=0.5), 5, seed=0)
