"""Sessions of onnxruntime: which providers a device means, and what is said of files that are none."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.onnx_networks import CPU, CUDA, choose_providers, open_network


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("auto", [CPU], [CPU]),
        ("auto", ["Tensor", CUDA, CPU], [(CUDA, {"device_id": 0}), CPU]),
        ("cpu", [CUDA, CPU], [CPU]),
        ("cuda", [CUDA, CPU], [(CUDA, {"device_id": 0}), CPU]),
        ("cuda:3", [CUDA, CPU], [(CUDA, {"device_id": 3}), CPU]),
    ],
)
def test_providers(device: str, available: list[str], expected: list[Any]) -> None:
    assert choose_providers(device, available) == expected


def test_devices_that_are_not_there() -> None:
    with pytest.raises(EnvironmentFault, match=f"computes with {CPU} only"):
        choose_providers("cuda:0", [CPU])
    for word in ("gpu", "cuda:", "cuda:x", "cpu:0"):
        with pytest.raises(UsageError, match="expected auto, cpu, cuda or cuda:N"):
            choose_providers(word, [CUDA, CPU])


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'person-reid-toolkit\[onnx\]'"):
        open_network(tmp_path / "x.onnx")


def test_files_that_are_no_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="there is no file"):
        open_network(tmp_path / "x.onnx")
    for data in (b"", b"no network", b"\x08\x07" * 1000):
        (tmp_path / "x.onnx").write_bytes(data)
        with pytest.raises(InputError, match="cannot be opened as an ONNX network"):
            open_network(tmp_path / "x.onnx")


def tiny_onnx(path: Path, num_inputs: int = 1) -> Path:
    """The sum of its inputs (N, 2) float32 and 1."""
    onnx = pytest.importorskip("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [make.make_tensor_value_info(f"x{number}", kind, ["N", 2]) for number in range(num_inputs)]
    one = make.make_tensor("one", kind, [1], [1.0])
    node = make.make_node("Sum", [*(value.name for value in inputs), "one"], ["y"])
    graph = make.make_graph([node], "g", inputs, [make.make_tensor_value_info("y", kind, ["N", 2])], [one])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    model.metadata_props.add(key="who", value="a test")
    path.write_bytes(model.SerializeToString())
    return path


def test_a_network_is_run_and_tells_what_it_takes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = open_network(tiny_onnx(tmp_path / "x.onnx"), "cpu")
    np.testing.assert_array_equal(network(np.array([[1, 2], [3, 4]], np.float32)), [[2, 3], [4, 5]])
    assert (network.metadata, network.device) == ({"who": "a test"}, "cpu")
    assert (network.input_type, network.input_shape, network.output_shape) == ("tensor(float)", ["N", 2], ["N", 2])
    with pytest.raises(InputError, match="has 2 inputs and 1 outputs"):
        open_network(tiny_onnx(tmp_path / "x.onnx", 2), "cpu")
