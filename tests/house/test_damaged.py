"""What is kept and damaged afterwards - cut, emptied, one bit flipped - never gives another result: made again, or refused."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reid_data import seals
from reid_data.compose.build import build_composite
from reid_data.compose.settings import CompositeSettings
from reid_data.costs import add_costs, read_costs
from reid_data.datasets import load_dataset
from reid_data.datasets.channel_stats import kept_stats
from reid_data.datasets.digest import file_hashes
from reid_data.errors import InputError
from reid_data.files import cache_folder
from reid_data.plates.crops import Plate, PlateSettings, plates
from reid_data.records import ReidDataset
from reid_data.segment.cache import MaskCache, Masked
from reid_data.segment.grabcut import GrabCutSegmenter
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_train.features.cache import FeatureCache, Part
from reid_train.model import reid_net
from reid_train.runs.checkpoint import METADATA_KEY, load_model, load_state, read_metadata, save_model, save_state
from reid_train.runs.result import read_result, write_result
from reid_train.training.fit import fit
from tests.data.people import tree, write_people_set
from tests.train.conftest import build_tiny_backbone, small, write_tiny_set

Made = Callable[[ReidDataset], Any]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def damages(data: bytes, step: int = 1) -> Iterator[bytes]:
    """The data cut and flipped at every `step`-th byte, and with something behind it."""
    for place in range(0, len(data), step):
        yield data[:place]
        yield flipped(data, place)
    yield data + b"x"


@pytest.fixture
def people(tmp_path: Path) -> ReidDataset:
    return load_dataset(str(write_people_set(tmp_path / "people", num_ids=2)), tmp_path)


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    seals._said.clear()


def test_no_damage_to_a_kept_file_is_taken_for_content(tmp_path: Path) -> None:
    path, content = tmp_path / "kept", b"some content\nof two lines\n"
    seals.keep(path, content)
    good = path.read_bytes()
    assert seals.kept(path, "thing") == content
    for bad in damages(good):
        path.write_bytes(bad)
        assert seals.kept(path, "thing") is None
    assert seals.kept(tmp_path / "absent", "thing") is None


def test_damage_is_said_thrice_and_absence_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5):
        seals.kept(tmp_path / "absent", "thing")
        (tmp_path / f"{number}").write_bytes(b"")
        seals.kept(tmp_path / f"{number}", "thing")
    assert len(caplog.messages) == seals.MOST_SAID
    assert all("a kept thing is damaged and made again" in message for message in caplog.messages)
    assert caplog.messages[-1].endswith("Others like it are made again without a word.")


def masks(people: ReidDataset) -> Any:
    found = MaskCache(GrabCutSegmenter()).masked(people.train)
    return [(one.alpha.tobytes(), one.quality) for one in found if isinstance(one, Masked)]


def filled(people: ReidDataset) -> Any:
    found = plates(people.train, PrecomputedSegmenter(), PlateSettings(), 1)
    return [(Path(one.path).read_bytes(), one.quality) for one in found if isinstance(one, Plate)]


def statistics(people: ReidDataset) -> Any:
    return kept_stats(people, "train", None)


KEPT: dict[str, tuple[Made, int]] = {
    "masks": (masks, 4),
    "plates": (filled, 4),
    "stats": (statistics, 1),
    "digests": (file_hashes, 1),
}


@pytest.mark.parametrize("kind", KEPT)
def test_a_damaged_file_of_a_cache_is_made_again(
    kind: str, people: ReidDataset, caplog: pytest.LogCaptureFixture
) -> None:
    make, number = KEPT[kind]
    good = make(people)
    files = {path: path.read_bytes() for path in sorted(cache_folder(kind).rglob("*")) if path.is_file()}
    assert len(files) == number == (len(good) if number > 1 else 1)
    kinds: list[Callable[[bytes], bytes]] = [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: flipped(data, len(data) // 3),
        lambda data: flipped(data, len(data) - seals.LENGTH - 3),
        lambda data: flipped(data, len(data) - 10),
        lambda data: data[: -seals.LENGTH],  # of before there were seals
        lambda data: b"null",
    ]
    for damage in kinds:
        caplog.clear()
        seals._said.clear()
        for path, data in files.items():
            path.write_bytes(damage(data))
        assert make(people) == good
        assert {path: path.read_bytes() for path in files} == files
        assert sum("is damaged and made again" in message for message in caplog.messages) == min(number, 3)


def test_damaged_features_are_extracted_again(tmp_path: Path) -> None:
    cache = FeatureCache({"of": "this"})
    cache.write(0, Part(np.arange(6, dtype=np.float32).reshape(2, 3), [1], ["is no image"]))
    (path,) = cache.folder.iterdir()
    found = cache.read(0, 3)
    assert found is not None
    assert (found.feats.tolist(), found.bad, found.reasons) == ([[0, 1, 2], [3, 4, 5]], [1], ["is no image"])
    for bad in damages(path.read_bytes(), 7):
        path.write_bytes(bad)
        assert cache.read(0, 3) is None


def model(folder: Path) -> Path:
    path = folder / "model.safetensors"
    tensors = {"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(3), "b": torch.ones(2, dtype=torch.bfloat16)}
    save_model(path, tensors, {"epoch": 2})
    return path


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    path = model(tmp_path)
    tensors, metadata = load_model(path)
    counts = {"refused": 0, "the same": 0}
    for bad in damages(path.read_bytes()):
        path.write_bytes(bad)
        try:
            found, told = load_model(path)
        except InputError:
            counts["refused"] += 1
            continue
        counts["the same"] += 1
        assert told.items() >= metadata.items(), "the checksum may have got another name"
        assert sorted(found) == sorted(tensors)
        assert all(
            found[name].dtype == tensors[name].dtype and torch.equal(found[name], tensors[name]) for name in tensors
        )
    assert counts["the same"] < 0.1 * counts["refused"], "white space and the name of the checksum"


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    state = {"net": {"w": torch.arange(6.0)}, "epoch": 2}
    save_state(path, state)
    good = path.read_bytes()
    for bad in damages(good[: -seals.LENGTH], 5):
        path.write_bytes(bad + good[-seals.LENGTH :])
        with pytest.raises(InputError, match="is damaged"):
            load_state(path)
    path.write_bytes(good)
    found = load_state(path)
    assert found is not None
    assert torch.equal(found["net"]["w"], state["net"]["w"])


def test_what_was_written_before_there_were_checksums_is_read(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors", {METADATA_KEY: json.dumps({"epoch": 2})})
    assert (
        load_model(tmp_path / "model.safetensors")[1] == {"epoch": 2} == read_metadata(tmp_path / "model.safetensors")
    )
    torch.save({"epoch": 2}, tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt") == {"epoch": 2}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ReidDataset, Path]:
    """A finished training."""
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)
    write_tiny_set(tmp_path / "data" / "tiny")
    tiny = load_dataset("tiny", tmp_path / "data")
    fit(small(), [tiny], tmp_path / "run", device="cpu", workers=0)
    return tiny, tmp_path / "run"


def results(folder: Path) -> dict[str, bytes]:
    """What two equal runs have alike."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "costs.json"}


def test_a_run_is_mended_or_refused(run: tuple[ReidDataset, Path], caplog: pytest.LogCaptureFixture) -> None:
    tiny, folder = run
    good = results(folder)
    caplog.set_level(logging.WARNING)

    def again() -> None:
        fit(small(), [tiny], folder, device="cpu", workers=0)

    def flip(name: str) -> None:
        (folder / name).write_bytes(flipped(good[name], len(good[name]) // 2))

    for remove in (None, "state.pt"):  # out of the state, or trained again
        flip("model.safetensors")
        if remove is not None:
            (folder / remove).unlink()
        caplog.clear()
        again()
        assert results(folder) == good
        assert any("is missing or damaged: it is made again" in message for message in caplog.messages)
    (folder / "result.json").unlink()
    flip("state.pt")
    with pytest.raises(InputError, match=r"state\.pt' is damaged"):
        again()
    (folder / "state.pt").write_bytes(good["state.pt"])
    (folder / "costs.json").write_bytes(b'{"train_seconds": "many"')
    again()
    assert results(folder) == good


def test_a_damaged_result_is_refused(run: tuple[ReidDataset, Path]) -> None:
    folder = run[1]
    path, result = folder / "result.json", read_result(folder)
    assert result is not None
    good = path.read_bytes()
    for bad in damages(good, 11):
        path.write_bytes(bad)
        with suppress(InputError):
            assert read_result(folder) == result, "what was flipped says nothing"
    document = json.loads(good)
    del document["sha256"]
    path.write_text(json.dumps(document))
    assert read_result(folder) == result, "of before there were checksums"
    document["num_classes"] += 1
    path.write_text(json.dumps({**document, "sha256": json.loads(good)["sha256"]}))
    with pytest.raises(InputError, match="its checksum differs"):
        read_result(folder)
    write_result(folder, result)
    assert path.read_bytes() == good
    assert asdict(result).keys() >= {"train_key", "metrics"}


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"train_seconds": null}', b"\xff", b"[" * 100_000])
def test_damaged_costs_are_begun_anew(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "costs.json").write_bytes(content)
    assert read_costs(tmp_path) == {}
    assert "is damaged and begun anew" in caplog.text
    add_costs(tmp_path, train_seconds=1.5)
    assert read_costs(tmp_path) == {"train_seconds": 1.5}


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-9], lambda data: flipped(data, len(data) // 2)]
)
def test_an_unfinished_composite_makes_damaged_images_again(
    damage: Callable[[bytes], bytes], people: ReidDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    streets = load_dataset(str(write_people_set(tmp_path / "streets", num_ids=2)), tmp_path)
    out = tmp_path / "out"
    build_composite(people, streets, out, PrecomputedSegmenter(), CompositeSettings())
    good = tree(out)
    (out / "dataset.json").unlink()
    picture = sorted(out.rglob("*.jpg"))[1]
    picture.write_bytes(damage(picture.read_bytes()))
    build_composite(people, streets, out, PrecomputedSegmenter(), CompositeSettings())
    assert tree(out) == good
    assert f"{picture.name}' is not as it was written" in caplog.text
