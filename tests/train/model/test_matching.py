"""Files as other programs lay them out: drawn, with the wrappers and tensor names of their published code.

torchreid: utils/torchtools.py `save_checkpoint` (KaiyangZhou/deep-person-reid). fast-reid: utils/checkpoint.py and
modeling/meta_arch/baseline.py (JDAI-CV/fast-reid). TransReID: model/make_model.py `build_transformer_local` (damo-cv/TransReID).
MoCo, which LUPerson is trained by: moco/builder.py (facebookresearch/moco). DINO: main_dino.py `save_dict` (facebookresearch/dino).
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from reid_data.errors import InputError
from reid_train.model.matching import match, resample, trunk_prefix
from reid_train.model.reid_net import NetSpec, build_net
from reid_train.model.weight_files import read_weight_file
from reid_train.model.weights import load_start

Tensors = dict[str, Tensor]


def convolutional(seed: int = 1) -> Tensors:
    return dict(build_net(NetSpec(backbone="resnet18", last_stride=2), 4, seed).backbone.state_dict())


def vit(height: int, width: int) -> Tensors:
    net = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=(height, width), num_classes=0)
    return dict(net.state_dict())


def below(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


HEAD = {"classifier.weight": torch.zeros(9, 4)}
NECK = {"bottleneck.weight": torch.zeros(4), "bottleneck.running_mean": torch.zeros(4)}
FASTREID = {
    "heads.weight": torch.zeros(9, 4),
    "pixel_mean": torch.zeros(1, 3, 1, 1),
    "pixel_std": torch.ones(1, 3, 1, 1),
}
CONVOLUTIONAL: dict[str, Any] = {
    "torchreid": lambda net: {"state_dict": below("module.", net | HEAD), "epoch": 3, "optimizer": {"state": {}}},
    "fast-reid": lambda net: {"model": below("backbone.", net) | FASTREID, "iteration": 3},
    "LUPerson": lambda net: {
        "arch": "resnet50",
        "state_dict": below("module.encoder_q.", net)
        | below("module.encoder_k.", convolutional(2))
        | {"module.queue": torch.zeros(4, 9)},
    },
}
TOKENS: dict[str, Any] = {
    "TransReID": lambda net: (
        below("base.", net)
        | {
            f"b1.0.{name.removeprefix('blocks.0.')}": value
            for name, value in net.items()
            if name.startswith("blocks.0.")
        }
        | NECK
        | HEAD
    ),
    "DINO": lambda net: {
        "student": below("module.backbone.", {name: value + 1 for name, value in net.items()}),
        "teacher": below("backbone.", net) | {"head.mlp.0.weight": torch.zeros(4, 4)},
        "args": Namespace(arch="vit_tiny", lr=0.1),
    },
}


@pytest.mark.parametrize("program", sorted(CONVOLUTIONAL))
def test_convolutional_files_of_other_programs(program: str, tmp_path: Path) -> None:
    torch.save(CONVOLUTIONAL[program](convolutional()), tmp_path / "w.pth")
    net = build_net(NetSpec(backbone="resnet18", last_stride=2), 4, 0)
    assert all(name.startswith("neck.") for name in load_start(net, tmp_path / "w.pth"))
    expected = convolutional()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in net.backbone.state_dict().items())


@pytest.mark.parametrize("program", sorted(TOKENS))
def test_files_of_transformers_of_other_programs(program: str, tmp_path: Path) -> None:
    source, wanted = vit(64, 64), vit(128, 64)
    torch.save(TOKENS[program](source), tmp_path / "w.pth")
    held = read_weight_file(tmp_path / "w.pth")
    found = match(held, wanted, trunk_prefix(held, wanted, "it"), (8, 4))
    assert (found.missing, found.resampled) == ([], ["pos_embed"])
    assert all(torch.equal(found.taken[name], source[name]) for name in wanted if name != "pos_embed")


def test_position_embeddings_are_resampled_as_timm_does() -> None:
    from timm.layers import resample_abs_pos_embed

    source, target = torch.randn(1, 1 + 8 * 4, 6), torch.zeros(1, 1 + 16 * 8, 6)
    expected = resample_abs_pos_embed(source, [16, 8], [8, 4])
    found = resample(source, target, (16, 8))
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[:, 0], source[:, 0])
    square = resample(torch.randn(1, 197, 6), target, (16, 8))
    assert square is not None
    assert square.shape == target.shape


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((1, 33, 6), None), ((1, 34, 6), (16, 8)), ((1, 33, 5), (16, 8)), ((33, 6), (16, 8)), ((1, 1, 6), (16, 8))],
)
def test_position_embeddings_of_an_unclear_grid_are_not_guessed(
    shape: tuple[int, ...], grid: tuple[int, int] | None
) -> None:
    assert resample(torch.zeros(shape), torch.zeros(1, 129, 6), grid) is None


def test_a_part_is_refused_with_the_closest_names_and_taken_if_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = {name.replace("layer4", "stage4"): value for name, value in convolutional().items()}
    part["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(part, tmp_path / "w.pth")
    net = build_net(NetSpec(backbone="resnet18", last_stride=2), 4, 0)
    before = net.backbone.state_dict()["layer4.0.conv1.weight"].clone()
    with pytest.raises(InputError, match=r"layer4.0.conv1.weight \('stage4.0.conv1.weight'\?\).*--allow-partial"):
        load_start(net, tmp_path / "w.pth")
    with caplog.at_level("INFO", "reid_train"):
        missing = load_start(net, tmp_path / "w.pth", allow_partial=True)
    assert {name.split(".")[1] for name in missing if name.startswith("backbone.")} == {"conv1", "layer4"}
    assert torch.equal(net.backbone.state_dict()["layer4.0.conv1.weight"], before)
    assert torch.equal(net.backbone.state_dict()["layer1.0.conv1.weight"], part["layer1.0.conv1.weight"])
    assert "1 of shape (64, 1, 7, 7), expected (64, 3, 7, 7); 30 of no such name" in caplog.text


def test_a_file_with_nothing_for_the_network_is_refused_also_where_a_part_is_allowed(tmp_path: Path) -> None:
    torch.save({f"blocks.{number}.bn1.weight": torch.zeros(4) for number in range(9)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="another --backbone"):
        load_start(build_net(NetSpec(backbone="resnet18"), 4, 0), tmp_path / "w.pth", allow_partial=True)
