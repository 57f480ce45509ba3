"""What a training reads: found once, digested before anything is decoded, and the key is a function of it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.datasets.digest import dataset_digest
from reid_data.datasets.importer import ImportSettings, import_set
from reid_data.errors import InputError, UsageError
from reid_data.files import sha256_file
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_train.runs.folder import train_key
from reid_train.training import inputs as module
from reid_train.training.fit import fit, identify, plan
from reid_train.training.inputs import Inputs, resolve_inputs
from tests.data.datasets.drawn import draw
from tests.data.people import write_people_set
from tests.train.conftest import small, write_tiny_set

pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture
def root(tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with `tiny`, `other`, and `people`, whose masks lie beside it."""
    for name in ("tiny", "other"):
        shutil.copytree(tiny_root / name, tmp_path / name)
    write_people_set(tmp_path / "people", 3, seed=100, extras=False)
    monkeypatch.setattr(module, "_segmenter", PrecomputedSegmenter)
    return tmp_path


def rich(root: Path) -> dict[str, Any]:
    """Settings that name every kind of input, each with a content of its own."""
    (root / "start.safetensors").write_bytes(b"never read by what only looks for it")
    (root / "heat.csv").write_text("epoch,temperature\n1,0.5\n2,0.25\n")
    return {
        "norm": "other:per-image",
        "background_swap": 0.5,
        "bg": "people",
        "weights": str(root / "start.safetensors"),
        "temperature_schedule": f"file:{root / 'heat.csv'}",
    }


def resolved(root: Path, *names: str, **changes: Any) -> Inputs:
    sets = [load_dataset(name, root) for name in names or ("tiny",)]
    return resolve_inputs(small(**changes), sets, root)


def test_every_input_with_its_digest(root: Path) -> None:
    found = resolved(root, "tiny", **rich(root))
    assert dict(found.digests) == {"tiny": dataset_digest(load_dataset("tiny", root))}
    assert (found.weights, found.weights_sha256) == (
        root / "start.safetensors",
        sha256_file(root / "start.safetensors"),
    )
    assert found.norm_set is not None
    assert found.norm_digest == dataset_digest(load_dataset("other", root)) == dataset_digest(found.norm_set)
    assert found.backgrounds is not None
    assert found.backgrounds.dataset.name == "people"
    assert found.temperatures == {1: 0.5, 2: 0.25}


def test_what_the_settings_do_not_name_is_not_there(root: Path) -> None:
    found = resolved(root)
    absent = (
        found.weights,
        found.weights_sha256,
        found.norm_set,
        found.norm_digest,
        found.backgrounds,
        found.temperatures,
    )
    assert absent == (None,) * 6
    assert found.norm(1) == small().norm_numbers


def test_finding_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = rich(root)
    sets = [load_dataset("tiny", root)]
    for slow in ("load_training_set", "channel_norm", "prepare_swap"):
        monkeypatch.setattr(module, slow, lambda *_, **__: pytest.fail("this is for the training alone"))
    key = identify(small(**changes), sets, device="cpu", data_root=root).train_key
    assert plan(small(**changes), sets, root / "run", device="cpu", data_root=root)["train_key"] == key


def test_a_training_looks_its_inputs_up_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, segmenters = [], []
    load, segmenter = module.load_dataset, module._segmenter
    monkeypatch.setattr(module, "load_dataset", lambda name, *where: loaded.append(name) or load(name, *where))
    monkeypatch.setattr(module, "_segmenter", lambda: segmenters.append(1) or segmenter())
    settings = small(norm="people", background_swap=0.5, bg="people", epochs=1, iterations=1)
    fit(settings, [load("tiny", root)], root / "run", device="cpu", workers=1, data_root=root)
    assert (loaded, len(segmenters)) == (["people"], 1)


def test_a_set_that_is_trained_on_is_not_loaded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_dataset", lambda *_: pytest.fail("loaded again"))
    tiny = load_dataset("tiny", root)
    assert resolve_inputs(small(norm="tiny"), [tiny], Path("nowhere")).norm_set is tiny


@pytest.mark.parametrize("what", ["tiny", "other", "people", "start.safetensors", "heat.csv"])
def test_the_key_follows_the_content_of_every_input(what: str, root: Path) -> None:
    changes = rich(root)
    first = resolved(root, **changes).identity("cpu", 1).train_key
    assert resolved(root, **changes).identity("cpu", 1).train_key == first
    if what == "start.safetensors":
        (root / what).write_bytes(b"other bytes")
    elif what == "heat.csv":
        (root / what).write_text("epoch,temperature\n1,0.5\n2,0.3\n")
    elif what == "people":
        write_people_set(root / what, 4, seed=7, extras=False)
    else:
        write_tiny_set(root / what, seed=9)
    assert resolved(root, **changes).identity("cpu", 1).train_key != first


def test_the_identity_is_made_of_the_digests(root: Path) -> None:
    found = resolved(root, "other", "tiny", norm="tiny")
    identity = found.identity("cpu", 2)
    assert identity.train_sets == ["other", "tiny"], "in the order in which they were given"
    assert identity.digests == {name: dataset_digest(load_dataset(name, root)) for name in ("tiny", "other")}
    assert (identity.device_type, identity.weights_sha256) == ("cpu x 2", None)
    digests = [identity.digests["other"], identity.digests["tiny"]]
    key = train_key(small(norm="tiny"), digests, None, "cpu x 2", norm_digest=digests[1])
    assert identity.train_key == key
    assert found.identity("cpu", 1).device_type == "cpu"
    assert found.identity("cpu", 1).train_key != key


def test_the_statistics_are_measured_at_the_input_size(root: Path) -> None:
    """Against a plain mean over pixels and a mean over the images' own statistics."""
    tiny = load_dataset("tiny", root)
    pixels = module.load_training_set([tiny], (32, 16)).pixels
    assert pixels is not None
    pixels = pixels / 255.0
    mean, std = resolve_inputs(small(norm="tiny"), [tiny], root).norm(1)
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(std, pixels.std((0, 1, 2)), atol=1e-9)
    _, std = resolve_inputs(small(norm="tiny:per-image"), [tiny], root).norm(1)
    np.testing.assert_allclose(std, pixels.std((1, 2)).mean(0), atol=1e-9)


def test_the_training_set_swaps_only_if_asked(root: Path) -> None:
    people = load_dataset("people", root)
    plain = resolve_inputs(small(), [people], root).training_set(1)
    swapped = resolve_inputs(small(background_swap=1.0, bg="people"), [people], root).training_set(1)
    assert plain.swapped(0, 1) is None
    other = swapped.swapped(0, 1)
    assert other is not None
    assert other.shape == (32, 16, 3)
    assert not np.array_equal(other, swapped.image(0))
    assert replace(swapped, swap=None, pixels=None) == replace(plain, pixels=None)


@pytest.mark.parametrize("names", [[], ["tiny", "tiny"]])
def test_sets_must_be_named_once(names: list[str], root: Path) -> None:
    sets: list[ReidDataset] = [load_dataset(name, root) for name in names]
    with pytest.raises(UsageError, match="each once"):
        resolve_inputs(small(), sets, root)


def test_a_missing_schedule_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"--temperature-schedule file:no.csv: no such file"):
        resolved(root, temperature_schedule="file:no.csv")


def test_training_images_of_nobody_are_said_and_the_remedy_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{pid}_c{camera}.jpg" for pid in range(4) for camera in (1, 2)]
    draw(tmp_path / "in", names)
    table = "".join(f"in/{name},{name[0]},{name[3]},train\n" for name in names)
    (tmp_path / "t.csv").write_text("path,pid,camid,split\n" + table)
    resolve_inputs(small(), [load_dataset(tmp_path / "t.csv", tmp_path)], tmp_path).training_set(1)
    assert "2 training images of t have pid 0, which means distractor (nobody)" in caplog.text
    caplog.clear()
    mended = import_set(tmp_path / "t.csv", tmp_path / "mended", ImportSettings(ids_from_zero=True))
    images = resolve_inputs(small(), [mended], tmp_path).training_set(1)
    assert "pid 0" not in caplog.text
    assert len(images.classes) == 4
