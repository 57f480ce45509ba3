"""`reid-train export`, and an exported file in `evaluate` and `extract`, as a user types them."""

import json
from pathlib import Path

import pytest

from tests.cli.train.test_fit import Call, call, data_root, fit  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def _onnx() -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)


def test_a_file_is_exported_tested_and_extracted_with(call: Call, tmp_path: Path) -> None:  # noqa: F811
    fit(call, "--name", "base", "--test", "other")
    code, out, err = call("export", "base", "--test", "other", "--workers", "1")
    assert code == 0
    assert "exported.onnx: 0.0 MB, uint8 RGB (N, 32, 16, 3) -> (N, 12) of length 1" in out
    assert "over 64 pictures of other" in out
    assert "on other: mAP" in out
    assert "Trained on tiny: unknown: ask the owner" in err
    _, out, _ = call("evaluate", "base", "--test", "other", "--device", "cpu", "--json")
    expected = json.loads(out)["metrics"]["other"]
    file = "runs/base/exported.onnx"
    code, out, _ = call("evaluate", file, "--test", "other", "--device", "cpu", "--json", "--out", "judged")
    assert code == 0
    assert json.loads(out)["metrics"]["mAP"] == pytest.approx(expected["mAP"], abs=1e-4)
    assert sorted(path.name for path in (tmp_path / "judged").iterdir()) == ["per_query.npz", "result.json"]
    code, out, _ = call("extract", file, "other", "--device", "cpu", "--out", "f.npz")
    assert (code, out) == (0, "f.npz: 16 query and 48 gallery features\n")
    _, out, _ = call("evaluate", "--features", "f.npz", "--json")
    assert json.loads(out)["metrics"]["mAP"] == pytest.approx(expected["mAP"], abs=1e-4)
    for arguments, message in (
        (["extract", file, "other"], "say where with --out FILE"),
        (["evaluate", file, "--test", "other,tiny", "--out", "x"], "holds one test"),
        (["evaluate", "base", "--test", "other", "--out", "x"], "--out belongs to --features and to a model file"),
        (["evaluate", file, "--test", "other", "--flip-test"], "--flip-test is inside"),
    ):
        code, _, err = call(*arguments)
        assert (code, message in err) == (2, True), err


def test_tensors_alone_as_json(call: Call, tmp_path: Path) -> None:  # noqa: F811
    fit(call, "--name", "base")
    code, out, _ = call(
        "export", "base", "--format", "safetensors", "--fp16", "--out", "m.safetensors", "--workers", "1", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert (document["path"], document["facts"]["half"], document["facts"]["input"]) == ("m.safetensors", True, "")
    assert document["worst_distance"] < 1e-2
    code, out, _ = call("evaluate", "m.safetensors", "--test", "tiny", "--device", "cpu")
    assert (code, out.startswith("m.safetensors")) == (0, True)
