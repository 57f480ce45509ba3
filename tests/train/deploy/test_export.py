"""An exported file says what the run says, whatever its form, and is not written where it does not."""

import dataclasses
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.images import read_record
from reid_data.records import ReidDataset
from reid_data.tensors import read_header
from reid_train import Extractor
from reid_train.deploy import export as module
from reid_train.deploy.export import DRAWN, Exported, export, worst_distance
from reid_train.deploy.formats import FACTS_FILE, FORMATS
from reid_train.deploy.sources import open_source
from reid_train.runs.checkpoint import read_metadata
from reid_train.scoring import score
from reid_train.trained import load_trained
from tests.data.test_onnx_networks import tiny_onnx
from tests.train.conftest import TINY_WIDTH

MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])


@pytest.fixture(autouse=True)
def _onnx() -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)


def pixels(dataset: ReidDataset) -> np.ndarray:
    return np.stack([read_record(record) for record in dataset.gallery[:7]])


def normalised(images: np.ndarray) -> np.ndarray:
    return ((torch.from_numpy(images).float() / 255 - MEAN) / STD).permute(0, 3, 1, 2).contiguous().numpy()


@torch.no_grad()
def slow_features(run: Path, images: np.ndarray) -> np.ndarray:
    """One image at a time: the mean of it and its mirror image, at length 1."""
    net = load_trained(run, device="cpu").net
    rows = []
    for one in torch.from_numpy(normalised(images)):
        mean = (net(one[None]).classified[0] + net(one.flip(2)[None]).classified[0]) / 2
        rows.append(F.normalize(mean, dim=0))
    return torch.stack(rows).numpy()


def facts_in(done: Exported) -> dict[str, Any]:
    """The facts, by the means of each format alone."""
    if done.path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(done.path)
        return dict(json.loads(session.get_modelmeta().custom_metadata_map["reid"]))
    if done.path.suffix == ".safetensors":
        return read_metadata(done.path)
    with zipfile.ZipFile(done.path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(FACTS_FILE))
        return dict(json.loads(archive.read(name)))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("format", "raw"), [("onnx", False), ("onnx", True), ("torchscript", False), ("torchscript", True),
    ("pt2", False), ("pt2", True), ("safetensors", False)])  # fmt: skip
def test_every_form_gives_the_features_of_the_run(
    format: str, raw: bool, half: bool, run: Path, tiny: ReidDataset, tiny_root: Path, tmp_path: Path
) -> None:
    done = export(
        run,
        tmp_path / "out" / f"net{FORMATS[format].suffix}",
        format=format,
        raw=raw,
        half=half,
        data_root=tiny_root,
        workers=1,
    )
    assert done.worst_distance <= (1e-3 if half else 1e-10)
    assert (done.checked_on, done.num_checked) == ("tiny", 64)
    images = pixels(tiny)
    network = FORMATS[format].read(done.path)
    for count in (1, 2, 7):
        batch = normalised(images[:count]) if raw else images[:count]
        found = network(batch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, slow_features(run, images[:count]), atol=2e-3 if half else 2e-6)
    facts = facts_in(done)
    assert facts == done.facts
    assert (facts["size"], facts["features"], facts["raw"], facts["half"]) == ([32, 16], TINY_WIDTH, raw, half)
    assert facts["sha256"] == load_trained(run, device="cpu").sha256
    assert [path.name for path in done.path.parent.iterdir()] == [done.path.name]


def test_nobody_and_no_folder_is_in_a_file(run: Path, tiny_root: Path, tmp_path: Path) -> None:
    for format in ("onnx", "pt2", "safetensors"):
        done = export(run, tmp_path / format, format=format, data_root=tiny_root, workers=1)
        data = done.path.read_bytes()
        assert b"site-packages" not in data
        assert str(tmp_path).encode() not in data
        assert done.facts["classes"] == []
        assert format == "safetensors" or b"classifier.weight" not in data
    assert read_header(done.path).tensors["classifier.weight"].shape == (0, TINY_WIDTH)
    assert [card["name"] for card in done.facts["sets"]] == ["tiny"]
    assert done.facts["sets"][0]["terms"] == "unknown: ask the owner of the images"


def test_the_same_run_gives_the_same_bytes(run: Path, tiny_root: Path) -> None:
    first = export(run, data_root=tiny_root, workers=1)
    before = first.path.read_bytes()
    assert first.path == run / "exported.onnx"
    assert export(run, data_root=tiny_root, workers=1).path.read_bytes() == before


def test_an_exported_file_is_a_source_of_features(
    run: Path, tiny: ReidDataset, tiny_root: Path, tmp_path: Path
) -> None:
    paths = [record.path for record in tiny.gallery]
    expected = Extractor(run, "cpu", batch=4)(paths)
    for format, raw in (("onnx", False), ("onnx", True), ("safetensors", False)):
        file = tmp_path / f"net{raw}{FORMATS[format].suffix}"
        done = export(run, file, format=format, raw=raw, datasets=[tiny], data_root=tiny_root, workers=1)
        assert done.scores["tiny"][0] == pytest.approx(done.scores["tiny"][1], abs=1e-4)
        extractor = Extractor(file, "cpu", batch=4)
        assert (extractor.size, extractor.num_features) == ((32, 16), TINY_WIDTH)
        np.testing.assert_allclose(extractor(paths), expected, atol=2e-6)
        mine = score(open_source(file, "cpu"), tiny, workers=1).ranking.metrics()
        assert mine["mAP"] == pytest.approx(done.scores["tiny"][0], abs=1e-4)
    with pytest.raises(UsageError, match="--flip-test is inside"):
        Extractor(tmp_path / "netFalse.onnx", "cpu", changes={"flip_test": False})
    assert open_source(tmp_path / "netFalse.onnx", "cpu", {"metric": "euclidean"}).settings.metric == "euclidean"


def test_without_a_set_at_hand_people_are_drawn(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_DRAWN", 4)
    done = export(run, format="safetensors", data_root=tmp_path, workers=1)
    assert (done.checked_on, done.num_checked, done.worst_distance) == (DRAWN, 4, 0)


@pytest.mark.parametrize("fault", [lambda rows: rows[::-1], lambda rows: rows * np.nan])
def test_a_file_that_says_something_else_is_not_written(
    fault: Any, run: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMATS["safetensors"]
    wrong = lambda path: lambda images: fault(form.read(path)(images))  # noqa: E731
    monkeypatch.setitem(module.FORMATS, "safetensors", dataclasses.replace(form, read=wrong))
    out = tmp_path / "out" / "net.safetensors"
    out.parent.mkdir()
    out.write_bytes(b"before")
    with pytest.raises(EnvironmentFault, match="was not written: over 64 pictures of tiny the cosine distance"):
        export(run, out, format="safetensors", data_root=tiny_root, workers=1)
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("net.safetensors", b"before")]


def test_other_scores_are_refused(
    run: Path, tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "worst_distance", lambda *_: 0.0)
    form = FORMATS["safetensors"]
    wrong = lambda path: lambda images: np.eye(len(images), TINY_WIDTH, dtype=np.float32)  # noqa: E731
    monkeypatch.setitem(module.FORMATS, "safetensors", dataclasses.replace(form, read=wrong))
    with pytest.raises(EnvironmentFault, match=r"on tiny the file has mAP \d"):
        export(run, tmp_path / "x.safetensors", format="safetensors", datasets=[tiny], workers=1)
    assert not (tmp_path / "x.safetensors").exists()


def test_the_distance_is_the_cosines() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 70, 5))
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    places = np.arange(70)
    sizes: list[int] = []
    for count in (1, 2, 3, 4, 32, 33, 61, 70):
        found = worst_distance(lambda at: sizes.append(len(at)) or one[at], lambda at: other[at], places[:count])
        assert found == pytest.approx((1 - cosines[:count]).max(), abs=1e-12)
    assert sizes[-5:] == [1, 2, 29, 29, 9]
    assert worst_distance(lambda at: one[at], lambda at: 7 * one[at], places) < 1e-15


def test_what_cannot_be_exported(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown format 'tensorrt'"):
        export(run, format="tensorrt")
    with pytest.raises(UsageError, match="--raw says what a program takes"):
        export(run, format="safetensors", raw=True)
    with pytest.raises(UsageError, match="is the model of a run itself"):
        export(run, run / "model.safetensors", format="safetensors")
    with pytest.raises(InputError, match="is no run"):
        export(tmp_path / "absent")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        EnvironmentFault, match=r"needs the package onnxscript: pip install 'person-reid-toolkit\[onnx\]'"
    ):
        export(run, data_root=tmp_path, workers=1)


def test_onnx_files_of_others_are_no_source(run: Path, tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not exported by this tool: it carries no facts"):
        open_source(tiny_onnx(tmp_path / "other.onnx"), "cpu")
    import onnx

    done = export(run, data_root=tiny_root, workers=1)
    for key, value, message in (
        ("size", [32], None),
        ("features", 5, "which is not what it says of itself"),
        ("schema", "reid-export/9", "schema is"),
        ("norm", {}, "mean is missing"),
        ("settings", {"bckbone": "x"}, "unknown setting 'bckbone'"),
    ):
        model = onnx.load(io.BytesIO(done.path.read_bytes()))
        model.metadata_props[0].value = json.dumps({**done.facts, key: value})
        (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
        if message is None:
            open_source(tmp_path / "changed.onnx", "cpu")
            continue
        with pytest.raises(InputError, match=message):
            open_source(tmp_path / "changed.onnx", "cpu")
