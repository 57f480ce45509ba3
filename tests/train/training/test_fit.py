"""The training page: whole runs on a tiny set, with a tiny network."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reid_data.datasets import load_dataset
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.records import ReidDataset
from reid_train.model import poolings
from reid_train.runs.checkpoint import load_model, load_state
from reid_train.runs.folder import read_log, train_key
from reid_train.runs.folder import test_key as key_of_test
from reid_train.runs.result import read_result
from reid_train.testing import test as run_test
from reid_train.training.fit import fit, identify, is_finished, plan
from tests.train.conftest import small, write_tiny_set

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def run(folder: Path, *sets: ReidDataset, workers: int = 1, **changes: Any) -> Any:
    return fit(small(**changes), sets, folder, device="cpu", workers=workers)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """All files whose bytes are promised to be a function of the run's inputs."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "costs.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}


def test_fit_and_test_leave_the_promised_files(tiny: ReidDataset, tmp_path: Path) -> None:
    result = run(tmp_path / "a", tiny)
    assert result.metrics == {}
    result = run_test(tmp_path / "a", tiny, device="cpu", workers=1)
    assert result == read_result(tmp_path / "a")
    assert set(folder_bytes(tmp_path / "a")) == {
        "settings.toml",
        "log.jsonl",
        "model.safetensors",
        "state.pt",
        "curves.png",
        "result.json",
        "tests/tiny/per_query.npz",
        "tests/tiny/ranked_lists.json",
    }
    assert result.metrics["tiny"]["mAP"] > 0.5, "colours tell these people apart"
    rows = read_log(tmp_path / "a")
    assert [row["event"] for row in rows] == ["start", "epoch", "epoch"]
    tensors, metadata = load_model(tmp_path / "a" / "model.safetensors")
    assert metadata["classes"] == [["tiny", pid] for pid in range(1, 9)]
    assert metadata["settings"] == small().as_dict("train")
    assert tensors["classifier.weight"].shape == (8, 12)
    assert "train_seconds" in json.loads((tmp_path / "a" / "costs.json").read_text())


def test_the_same_settings_give_the_same_bytes_for_any_number_of_workers(tiny: ReidDataset, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        run(tmp_path / name / "run", tiny, workers=workers)
        run_test(tmp_path / name / "run", tiny, device="cpu", workers=workers)
    assert folder_bytes(tmp_path / "a" / "run") == folder_bytes(tmp_path / "b" / "run")


def test_a_finished_run_returns_at_once(tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path / "a", tiny)
    key = identify(small(), [tiny], device="cpu").train_key
    assert is_finished(tmp_path / "a", key)
    monkeypatch.setattr("reid_train.training.inputs.load_training_set", lambda *_, **__: pytest.fail("trained again"))
    assert run(tmp_path / "a", tiny) == first


def test_a_changed_setting_in_an_existing_run_is_named(tiny: ReidDataset, tmp_path: Path) -> None:
    run(tmp_path / "a", tiny)
    with pytest.raises(UsageError, match=r"--lr: 0.01 -> 0.02\n.*--name"):
        run(tmp_path / "a", tiny, lr=0.02)
    assert run(tmp_path / "a", tiny, checkpoint_every=2).train_key, "what changes no result may differ"


def test_changed_training_images_are_named(tiny: ReidDataset, tiny_root: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_root / "tiny", tmp_path / "data" / "tiny")
    run(tmp_path / "a", tiny)
    same = load_dataset("tiny", tmp_path / "data")
    assert run(tmp_path / "a", same).train_sets == ["tiny"], "the place of a set does not matter"
    victim = sorted((copy / "bounding_box_train").iterdir())[0]
    victim.write_bytes(sorted((copy / "bounding_box_train").iterdir())[1].read_bytes())
    with pytest.raises(UsageError, match="digests"):
        run(tmp_path / "a", load_dataset("tiny", tmp_path / "data"))


@pytest.mark.parametrize(
    "changes", [{}, {"optimiser": "sgd"}, {"centre": 0.1, "triplet": 1.0}, {"temperature_schedule": "learned"}]
)
def test_a_run_stopped_between_epochs_ends_with_the_same_bytes(
    changes: dict[str, Any], tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole" / "r", tiny, epochs=3, **changes)
    folder = tmp_path / "stopped" / "r"
    from reid_train.training import training

    real = training.train_epoch
    calls = []

    def stops(*args: Any, **kwargs: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(training, "train_epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tiny, epochs=3, **changes)
    state = load_state(folder / "state.pt")
    assert state is not None
    assert state["epoch"] == 2
    monkeypatch.setattr(training, "train_epoch", real)
    run(folder, tiny, epochs=3, **changes)
    assert folder_bytes(folder) == folder_bytes(tmp_path / "whole" / "r")


def test_tensorboard_holds_each_epoch_once_also_after_a_resume(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from reid_train.training import training

    run(tmp_path / "plain" / "r", tiny, epochs=3)
    folder, real = tmp_path / "events" / "r", training.save_state

    def stops(path: Path, state: dict[str, Any]) -> None:
        if state["epoch"] == 2:  # the second epoch is in the events, but not in the checkpoint
            raise KeyboardInterrupt
        real(path, state)

    monkeypatch.setattr(training, "save_state", stops)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tiny, epochs=3, tensorboard=True)
    monkeypatch.setattr(training, "save_state", real)
    run(folder, tiny, epochs=3, tensorboard=True)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    rows = [row for row in read_log(folder) if row["event"] == "epoch"]
    scalars = events.Scalars("loss")
    assert [scalar.step for scalar in scalars] == [1, 2, 3]
    assert [scalar.value for scalar in scalars] == pytest.approx([row["loss"] for row in rows])
    name = "model.safetensors"
    assert (folder / name).read_bytes() == (tmp_path / "plain" / "r" / name).read_bytes(), "it changes no result"


def test_unreadable_training_images_are_rows_and_the_run_goes_on(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "data" / "tiny")
    victim = sorted((root / "bounding_box_train").iterdir())[3]
    victim.write_bytes(b"")
    result = run(tmp_path / "a", load_dataset("tiny", tmp_path / "data"))
    assert result.num_images == 47
    assert result.num_failed == 1
    row = {"name": f"bounding_box_train/{victim.name}", "reason": "is empty (0 bytes)"}
    assert result.unreadable == [row]
    assert {"event": "unreadable", **row} in read_log(tmp_path / "a")


def test_a_set_without_usable_images_is_an_error(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "data" / "tiny", num_ids=2)
    for path in (root / "bounding_box_train").iterdir():
        path.write_bytes(b"")
    dataset = load_dataset("tiny", tmp_path / "data")
    with pytest.raises(
        InputError, match=r"no training image of tiny can be used \(12 unreadable; the first: .*is empty"
    ):
        run(tmp_path / "a", dataset)
    (root / "query").rename(root / "elsewhere")
    (root / "query").mkdir()


def test_a_single_identity_is_an_error(tmp_path: Path) -> None:
    write_tiny_set(tmp_path / "data" / "tiny", num_ids=1)
    with pytest.raises(InputError, match="show 1 identity, a classifier needs at least 2"):
        run(tmp_path / "a", load_dataset("tiny", tmp_path / "data"))


def test_fewer_identities_than_a_batch_needs(tiny: ReidDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a batch needs 16 identities, the training set has 8"):
        run(tmp_path / "a", tiny, batch_ids=16)


@pytest.mark.parametrize("changes", [{"batch_images": 16}, {"sampler": "random", "batch_ids": 40}])
def test_a_set_smaller_than_a_batch_repeats_its_images(
    changes: dict[str, Any], tiny: ReidDataset, tmp_path: Path
) -> None:
    assert run(tmp_path / "a", tiny, epochs=1, iterations=1, **changes).training["epoch"] == 1


def test_temperature_from_a_file(tiny: ReidDataset, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("epoch,temperature\n1,0.5\n2,0.25\n")
    run(tmp_path / "a", tiny, temperature_schedule=f"file:{path}")
    assert [row["temperature"] for row in read_log(tmp_path / "a")[1:]] == pytest.approx([0.5, 0.25])
    key = identify(small(temperature_schedule=f"file:{path}"), [tiny], device="cpu").train_key
    moved = path.rename(tmp_path / "moved.csv")
    settings = small(temperature_schedule=f"file:{moved}")
    assert identify(settings, [tiny], device="cpu").train_key == key, "the path does not count"
    moved.write_text("epoch,temperature\n1,0.5\n2,0.3\n")
    assert identify(settings, [tiny], device="cpu").train_key != key, "the content does"


@pytest.mark.parametrize(("warm", "said"), [(1, False), (2, False), (3, True), (40, True)])
def test_a_warm_up_that_never_ends_is_remarked(
    warm: int, said: bool, tiny: ReidDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = small(epochs=2, warmup_epochs=warm, warmup_factor=0.1)
    plan(settings, [tiny], tmp_path / "a", device="cpu")
    assert ("warm-up" in caplog.text) == said
    if warm == 3:
        assert "3 epochs is not over when the training of 2 ends: at most 70 % of --lr is reached" in caplog.text
        caplog.clear()
        fit(settings, [tiny], tmp_path / "a", device="cpu", workers=0)
        assert caplog.text.count("warm-up") == 1


def test_weights_from_another_run(tiny: ReidDataset, tmp_path: Path) -> None:
    run(tmp_path / "first", tiny)
    path = tmp_path / "first" / "model.safetensors"
    result = run(tmp_path / "second", tiny, weights=str(path), lr=1e-12, epochs=1)
    before, after = load_model(path)[0], load_model(tmp_path / "second" / "model.safetensors")[0]
    torch.testing.assert_close(before["backbone.conv1.weight"], after["backbone.conv1.weight"], atol=1e-9, rtol=0)
    assert not torch.allclose(before["classifier.weight"], after["classifier.weight"])
    assert result.weights_sha256 is not None


def test_missing_imagenet_weights_stop_before_anything_is_written(tiny: ReidDataset, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="fetch-weights"):
        run(tmp_path / "a", tiny, weights="imagenet")
    assert not (tmp_path / "a").exists()


def test_keys() -> None:
    base = train_key(small(), ["d1"], None, "cpu")
    assert base == train_key(small(test_feature="before", checkpoint_every=7), ["d1"], None, "cpu")
    others = [
        train_key(small(lr=0.5), ["d1"], None, "cpu"),
        train_key(small(), ["d2"], None, "cpu"),
        train_key(small(), ["d1"], "w", "cpu"),
        train_key(small(), ["d1"], None, "cuda"),
        train_key(small(norm="d"), ["d1"], None, "cpu", norm_digest="n1"),
        train_key(small(norm="d"), ["d1"], None, "cpu", norm_digest="n2"),
        train_key(small(norm="d:per-image"), ["d1"], None, "cpu", norm_digest="n2"),
    ]
    assert len({base, *others}) == 8
    by_file = [train_key(small(weights=path), ["d1"], "w", "cpu") for path in ("a.pth", "b.pth")]
    assert by_file[0] == by_file[1]
    assert key_of_test(base, small(), "t", versions={}) != key_of_test(base, small(flip_test=True), "t", versions={})
    assert key_of_test(base, small(), "t", versions={}) != key_of_test(base, small(), "u", versions={})


def test_a_plan_writes_nothing(tiny: ReidDataset, tmp_path: Path) -> None:
    found = plan(small(), [tiny], tmp_path / "a", device="cpu")
    assert (found["state"], found["images"], found["identities"], found["steps"]) == ("new", 48, 8, 6)
    assert not (tmp_path / "a").exists()
    run(tmp_path / "a", tiny)
    assert plan(small(), [tiny], tmp_path / "a", device="cpu")["state"] == "done"


def test_out_of_memory_names_the_batch_that_fits(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = poolings.AveragePool.forward

    def limited(self: poolings.AveragePool, maps: torch.Tensor) -> torch.Tensor:
        if len(maps) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, maps)

    monkeypatch.setattr(poolings.AveragePool, "forward", limited)
    with pytest.raises(EnvironmentFault, match=r"out of memory on cpu with 8 images of 32x16 .*: --batch-ids 2 fits"):
        run(tmp_path / "a", tiny)
    with pytest.raises(EnvironmentFault, match=r"not even 6 images fit: lower --batch-images"):
        run(tmp_path / "b", tiny, batch_images=6)


def test_devices() -> None:
    from reid_train.processes.group import pick_device

    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="--device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        assert pick_device("auto").type == "cpu"
        with pytest.raises(EnvironmentFault, match="0 usable CUDA devices"):
            pick_device("cuda:0")
