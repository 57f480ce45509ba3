"""Whole adaptations on tiny sets with a tiny network: every arm, no leak of truth, the same bytes after any kill."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from reid_data.datasets import load_dataset
from reid_data.errors import InputError
from reid_data.records import UNLABELLED_PID, ReidDataset
from reid_train.adaptation.adapt import adapt, plan, resolve
from reid_train.adaptation.labels import LABELS_FILE, Clustering, Found, write_labels
from reid_train.adaptation.target import load_unlabelled, unlabelled
from reid_train.features.files import read_npz
from reid_train.model import reid_net
from reid_train.processes.launch import launch
from reid_train.runs.checkpoint import load_model
from reid_train.runs.folder import read_log
from reid_train.runs.result import read_result
from reid_train.settings.adaptation import AdaptSettings
from reid_train.testing import test as run_test
from reid_train.training.fit import fit
from tests.killed import killed
from tests.train.adaptation.small_runs import CHOICES, go, of_start, promised
from tests.train.conftest import build_tiny_backbone, small

WAYS = [
    {},
    {"arm": "independent"},
    {"arm": "independent", "target_head": "memory", "bn": "shared"},
    {"arm": "independent", "target_head": "hybrid", "memory_momentum": 0.2},
    {"classifier": "mixed", "bn": "shared"},
    {"classifier": "mixed-source", "target_head": "memory-hard", "optimiser_state": "reset"},
    {"classifier": "mixed", "target_head": "hybrid", "reliable": 0.02},
    {"target_head": "normal", "target_weight": 0.5, "bn_group": 0, "bn_warm": "target", "target_cameras": "ignore"},
    {"target_weight": 0.0},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())) or "default")
def test_every_way_leaves_a_plain_network_that_tests_take(
    way: dict[str, Any], start: Path, tiny_root: Path, tmp_path: Path
) -> None:
    result = go(start, tiny_root, tmp_path / "a", **way)
    joint = way.get("arm", "joint") == "joint"
    assert result == read_result(tmp_path / "a")
    assert result.kind == "adapt"
    tensors, metadata = load_model(tmp_path / "a" / "model.safetensors")
    before, _ = load_model(start / "model.safetensors")
    assert list(tensors) == list(before)
    people = 8 if joint and not (way.get("target_head") == "hybrid" and way.get("classifier") == "mixed") else 0
    assert tensors["classifier.weight"].shape == (people, 12)
    assert len(metadata["classes"]) == people
    assert not torch.equal(tensors["backbone.conv1.weight"], before["backbone.conv1.weight"])
    events = [row["event"] for row in read_log(tmp_path / "a")]
    assert events == (
        ["start", "epoch", "epoch"] if way.get("target_weight") == 0 else ["start", *["round", "epoch"] * 2]
    )
    assert result.train_sets == [*(["tiny"] if joint else []), "other:unlabelled"]
    steps = 2 * 3 * 3 * 2
    assert result.adaptation["target_images"] == (0 if way.get("target_weight") == 0 else steps)
    assert result.adaptation["all_images"] == steps * (2 if joint and way.get("target_weight") != 0 else 1)
    tested = run_test(tmp_path / "a", load_dataset("other", tiny_root), device="cpu", workers=1)
    assert tested.metrics["other"]["mAP"] > 0.4
    assert tested.kind == "adapt"


def test_truth_does_not_leak(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    """Shuffled target identities, junk and distractors among them, leave every byte as it is."""
    target = load_dataset("other", tiny_root)
    pids = np.random.default_rng(0).permutation([record.pid for record in target.train])
    pids[:3] = -1, 0, -1
    shuffled = replace(target, train=[replace(one, pid=int(pid)) for one, pid in zip(target.train, pids)])
    source = [load_dataset("tiny", tiny_root)]
    for name, dataset in (("a", target), ("b", replace(shuffled, query=[], gallery=[]))):
        folder = tmp_path / name / "run"
        adapt(of_start(start), AdaptSettings(**CHOICES), source, dataset, folder, device="cpu", workers=1)
    assert promised(tmp_path / "a" / "run") == promised(tmp_path / "b" / "run")


def test_a_target_keeps_its_junk_and_loses_its_identities(tiny_root: Path) -> None:
    dataset = load_dataset("other", tiny_root)
    junk = replace(dataset, train=[replace(record, pid=-1) for record in reversed(dataset.train)])
    erased = unlabelled(junk)
    assert [record.name for record in erased.train] == sorted(record.name for record in dataset.train)
    assert {record.pid for record in erased.train} == {UNLABELLED_PID}
    assert erased.records == list(erased.train)
    images = load_unlabelled(junk, (32, 16))
    assert len(images.records) == len(dataset.train)
    assert set(images.labels) == {-1}


def test_equal_inputs_give_equal_bytes_and_a_finished_run_returns_at_once(
    start: Path, tiny_root: Path, tmp_path: Path
) -> None:
    first = go(start, tiny_root, tmp_path / "a" / "run")
    (tmp_path / "a" / "run" / "state.pt").unlink()
    assert go(start, tiny_root, tmp_path / "a" / "run") == first
    assert not (tmp_path / "a" / "run" / "state.pt").exists()
    go(start, tiny_root, tmp_path / "b" / "run")
    both = [{k: v for k, v in promised(tmp_path / name / "run").items() if k != "state.pt"} for name in "ab"]
    assert both[0] == both[1]


def work(start: str, root: str, folder: str, way: dict[str, Any]) -> None:
    """An adaptation in a process of its own."""
    torch.set_num_threads(1)
    reid_net.build_backbone = build_tiny_backbone
    go(Path(start), Path(root), Path(folder), **way)


@pytest.mark.parametrize("way", [{}, WAYS[6]], ids=["default", "hybrid"])
def test_killed_at_any_write_the_same_command_gives_the_same_bytes(
    way: dict[str, Any], start: Path, tiny_root: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole" / "run"
    go(start, tiny_root, whole, **way)
    dead = True
    for failpoint in range(4, 80, 5 if way else 3):
        folder = tmp_path / str(failpoint) / "run"
        dead = killed(failpoint, work, str(start), str(tiny_root), str(folder), way)
        go(start, tiny_root, folder, **way)
        assert promised(folder) == promised(whole), f"killed at {failpoint}"
        if not dead:
            break
    assert not dead, "the range of failpoints ends before the run does"


def test_the_labels_of_another_run_are_taken_round_by_round(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    go(start, tiny_root, tmp_path / "joint")
    how = {"labels_from": tmp_path / "joint"}
    replayed = go(start, tiny_root, tmp_path / "replayed", how=how, arm="independent")
    own = go(start, tiny_root, tmp_path / "own", arm="independent")
    labels = [read_npz(tmp_path / name / LABELS_FILE)["labels"] for name in ("joint", "replayed", "own")]
    assert labels[0].dtype == np.int32
    assert np.array_equal(labels[0], labels[1])
    assert np.array_equal(labels[0][0], labels[2][0]), "the first round clusters what the source run sees"
    assert replayed.train_key != own.train_key
    with pytest.raises(InputError, match="has 2 rounds, expected 3"):
        go(start, tiny_root, tmp_path / "long", {"epochs": 3}, how, arm="independent")
    with pytest.raises(InputError, match="Expected the run of an adaptation"):
        go(start, tiny_root, tmp_path / "no", how={"labels_from": start})


def test_with_the_truth_for_labels_it_is_as_good_as_supervised_training(
    start: Path, hard_root: Path, tmp_path: Path
) -> None:
    other = load_dataset("other", hard_root)
    truth = np.unique([record.pid for record in other.train], return_inverse=True)[1].astype(np.int32)
    (tmp_path / "truth").mkdir()
    write_labels(tmp_path / "truth", np.tile(truth, (4, 1)), [record.name for record in other.train])
    steps = {"epochs": 4, "iterations": 10, "batch_ids": 4, "batch_images": 4}
    go(start, hard_root, tmp_path / "told", steps, {"labels_from": tmp_path / "truth"}, arm="independent", bn_group=0)
    weights = str(start / "model.safetensors")
    fit(small(**steps, weights=weights), [other], tmp_path / "supervised", device="cpu", workers=1)
    told, supervised = (
        run_test(tmp_path / name, other, device="cpu", workers=1).metrics["other"]["mAP"]
        for name in ("told", "supervised")
    )
    assert told > supervised - 0.05


def test_features_that_are_no_numbers_or_all_alike_are_refused_before_any_graph() -> None:
    clustering = Clustering(AdaptSettings(), 4, torch.device("cpu"))
    with pytest.raises(InputError, match="3 of 20000 images have features that are no numbers"):
        clustering(
            2, np.vstack([np.full((3, 8), np.nan, np.float32), np.eye(8, dtype=np.float32)[np.arange(19997) % 8]])
        )
    alike = np.full((20000, 8), np.sqrt(1 / 8), np.float32) + np.linspace(0, 1e-5, 20000, dtype=np.float32)[:, None]
    found = clustering(2, alike)
    assert found.refused is not None
    assert "alike" in found.refused
    assert (found.labels < 0).all()


def test_a_collapse_in_the_first_round_is_refused_with_a_table(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the largest cluster holds") as stop:
        go(start, tiny_root, tmp_path / "a", max_share=0.01)
    assert "clusters  outliers  largest" in str(stop.value)
    assert not (tmp_path / "a" / "model.safetensors").exists()
    assert go(start, tiny_root, tmp_path / "a").adaptation["rounds"], "the folder is free for other settings"


def test_a_later_collapse_keeps_the_labels_once_and_then_stops(
    start: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reid_train.adaptation import adapt as page

    class Failing(page.Clustering):  # type: ignore[name-defined]
        bad: ClassVar[set[int]] = set()

        def __call__(self, number: int, feats_TD: np.ndarray | None) -> Found:
            found = super().__call__(number, feats_TD)
            return replace(found, refused="a collapse\nits table") if number in self.bad else found

    monkeypatch.setattr(page, "Clustering", Failing)
    monkeypatch.setattr(Failing, "bad", {2})
    go(start, tiny_root, tmp_path / "once", {"epochs": 3})
    rows = read_log(tmp_path / "once")
    assert [row["event"] for row in rows] == [
        "start",
        "round",
        "epoch",
        "kept-labels",
        "round",
        "epoch",
        "round",
        "epoch",
    ]
    labels = read_npz(tmp_path / "once" / LABELS_FILE)["labels"]
    assert np.array_equal(labels[0], labels[1])
    assert rows[4]["changed"] == 0
    monkeypatch.setattr(Failing, "bad", {2, 3})
    with pytest.raises(InputError, match=r"round 3, the second in a row: a collapse\nits table\nThe model of round 2"):
        go(start, tiny_root, tmp_path / "twice", {"epochs": 3})
    assert load_model(tmp_path / "twice" / "model.safetensors")[1]["epoch"] == 2


def in_processes(start: str, root: str, folder: str, way: dict[str, Any]) -> list[float]:
    """What an adaptation of two processes comes to."""
    torch.set_num_threads(1)
    reid_net.build_backbone = build_tiny_backbone
    go(Path(start), Path(root), Path(folder), {"batch_ids": 4}, **way)
    tensors, _ = load_model(Path(folder) / "model.safetensors")
    return torch.cat([tensor.double().flatten() for tensor in tensors.values()]).tolist()


@pytest.mark.parametrize("way", [{}, {"target_head": "memory", "bn": "shared"}], ids=["default", "memory"])
def test_two_processes_do_what_one_does(way: dict[str, Any], start: Path, tiny_root: Path, tmp_path: Path) -> None:
    """Weights, running statistics and all: the groups of batch normalisation are the same images in both."""
    given = str(start), str(tiny_root)
    together = launch(in_processes, (*given, str(tmp_path / "two"), way), 2)
    alone = in_processes(*given, str(tmp_path / "one"), way)
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)
    assert read_result(tmp_path / "two").device_type == "cpu x 2"  # type: ignore[union-attr]


def test_a_plan_writes_nothing_and_knows_how_far_a_run_is(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    given = [load_dataset("tiny", tiny_root)], load_dataset("other", tiny_root)
    inputs = resolve(of_start(start), AdaptSettings(**CHOICES), *given)
    told = plan(inputs, tmp_path / "a", device="cpu")
    assert not (tmp_path / "a").exists()
    assert (told["state"], told["steps"], told["target_images"], told["batch"]) == ("new", 6, 48, "2 x 6")
    assert go(start, tiny_root, tmp_path / "a").train_key == told["train_key"]
    assert plan(inputs, tmp_path / "a", device="cpu")["state"] == "done"


def test_unreadable_target_images_are_rows(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_root, tmp_path / "data")
    victim = sorted((tmp_path / "data" / "other" / "bounding_box_train").iterdir())[3]
    victim.write_bytes(b"no picture")
    result = go(start, tmp_path / "data", tmp_path / "a")
    assert [Path(row["name"]).name for row in result.unreadable] == [victim.name]
    assert read_npz(tmp_path / "a" / LABELS_FILE)["labels"].shape == (2, 47)


def test_costs_tell_the_stages(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    go(start, tiny_root, tmp_path / "a")
    costs = json.loads((tmp_path / "a" / "costs.json").read_text())
    assert set(costs["seconds_by_stage"]) == {"extract", "graph", "dbscan", "train"}
    assert costs["train_seconds"] == pytest.approx(sum(costs["seconds_by_stage"].values()), abs=0.01)


def test_a_set_without_training_images_is_no_target(start: Path, tiny: ReidDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no training image to adapt to"):
        adapt(of_start(start), AdaptSettings(**CHOICES), [tiny], replace(tiny, train=[]), tmp_path / "a")
