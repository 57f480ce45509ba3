"""Weight files of other programs: taken where they can be, else the person is told what is in them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from reid_data.errors import InputError
from reid_train.model.reid_net import NetSpec, build_net
from reid_train.model.weight_files import WRAPPERS, read_weight_file
from reid_train.model.weights import load_start

pytestmark = pytest.mark.usefixtures("tiny_backbone")
UNSAFE = ("weights_only", "safe_globals", "pytorch.org", "operand", "trust")


def trunk(seed: int = 1) -> dict[str, torch.Tensor]:
    """The backbone of another network, by its own names, with a classifier as torchvision's."""
    tensors = dict(build_net(NetSpec(), 9, seed).backbone.state_dict())
    return tensors | {"fc.weight": torch.zeros(9, 12), "fc.bias": torch.zeros(9)}


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def assert_loads(path: Path) -> None:
    net = build_net(NetSpec(), 4, 0)
    missing = load_start(net, path)
    assert all(name.startswith("neck.") for name in missing)
    for name, value in net.backbone.state_dict().items():
        assert torch.equal(value, trunk()[name]), name


def message(path: Path) -> str:
    """What is said of a file that is refused."""
    with pytest.raises(InputError) as caught:
        load_start(build_net(NetSpec(), 4, 0), path)
    assert path.name in str(caught.value)
    assert not any(word in str(caught.value) for word in UNSAFE)
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.backbone.", "encoder_q.", "backbone."])
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
def test_prefixes_and_wrappers_are_looked_through(prefix: str, wrapper: str | None, tmp_path: Path) -> None:
    tensors = prefixed(prefix, trunk())
    torch.save(
        tensors if wrapper is None else {"epoch": 3, wrapper: tensors, "optimizer": {"state": {}}}, tmp_path / "w.pth"
    )
    assert_loads(tmp_path / "w.pth")


def test_a_wrapper_in_a_wrapper_in_the_old_format(tmp_path: Path) -> None:
    whole = {"params": {"net": prefixed("module.", trunk())}}
    torch.save(whole, tmp_path / "w.pth.tar", _use_new_zipfile_serialization=False)
    assert_loads(tmp_path / "w.pth.tar")


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_by_content(name: str, prefix: str, tmp_path: Path) -> None:
    save_file(prefixed(prefix, trunk()), tmp_path / name)
    assert_loads(tmp_path / name)


def test_it_says_from_where_it_took_the_backbone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(prefixed("module.", trunk()), tmp_path / "w.pth")
    with caplog.at_level("INFO", "reid_train"):
        assert_loads(tmp_path / "w.pth")
    assert "renamed (below 'module.')" in caplog.text


def test_two_backbones_in_one_file_are_not_guessed_between(tmp_path: Path) -> None:
    torch.save(prefixed("first.", trunk()) | prefixed("second.", trunk(2)), tmp_path / "w.pth")
    assert "2 times, below 'first.', 'second.'" in message(tmp_path / "w.pth")


def test_what_is_in_the_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    contents: list[tuple[Any, list[str]]] = [
        (
            {"stem.0.weight": torch.zeros(8, 3, 3, 3)},
            ["another --backbone", "It holds 1 tensor: stem.0.weight (8, 3, 3, 3)"],
        ),
        (
            {"epoch": 3, "optimizer": {"lr": 0.1}},
            ["a table of 'epoch', 'optimizer'", "below one of teacher, state_dict"],
        ),
        ({"state_dict": {}}, ["a table of 'state_dict'"]),
        ([torch.zeros(2)], ["one list"]),
        (torch.zeros(2), ["one Tensor"]),
        (
            {"state_dict": trunk(), "rank1": np.float64(0.5)},
            ["an object (numpy", "could run code", "torch.save(model.state"],
        ),
        (torch.nn.Linear(2, 2), ["an object (torch.nn.modules.linear.Linear)", "could run code"]),
    ]
    for content, words in contents:
        torch.save(content, path)
        assert [word for word in words if word not in message(path)] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n <!DOCTYPE html><title>404</title>", "is a web page"),
        (b"<HTML>Not found</HTML>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "begins with b'\\x89HDF"),
        (b"PK\x03\x04" + bytes(99), "cut off"),
        (b"\x80\x02}q\x00.", "damaged, or not of torch.save"),
        (bytes(99), "is no weight file"),
    ],
)
def test_what_is_no_weight_file(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    assert words in message(tmp_path / "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_went_wrong(value: float, tmp_path: Path) -> None:
    """They are told before any image is blamed for the loss; what is not taken from the file does not count."""
    tensors = trunk()
    tensors["fc.weight"] = torch.full((9, 12), value)
    torch.save(tensors, tmp_path / "w.pth")
    assert_loads(tmp_path / "w.pth")
    tensors["conv1.weight"] = tensors["conv1.weight"].clone()
    tensors["conv1.weight"].view(-1)[5] = value
    torch.save(tensors, tmp_path / "w.pth")
    said = message(tmp_path / "w.pth")
    assert "backbone.conv1.weight holds NaN or infinite numbers (1 of" in said
    assert "went wrong" in said


def test_a_cut_off_file(tmp_path: Path) -> None:
    torch.save(trunk(), tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(data[: len(data) // 2])
    assert "cut off" in message(tmp_path / "w.pth")


@settings(
    max_examples=2000 if os.environ.get("REID_FUZZ") else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good.pth"
    if not good.exists():
        torch.save({"module.a": torch.arange(6.0)}, good)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    bad = tmp_path / "bad.pth"
    bad.write_bytes(data.draw(st.one_of(st.just(bytes(content)), st.binary(max_size=200))))
    try:
        said, values = "", list(read_weight_file(bad).values())
    except InputError as error:
        said, values = str(error), []
    assert not any(word in said for word in UNSAFE)
    assert bool(said) != bool(values)
    assert all(isinstance(value, torch.Tensor) for value in values)
