"""The study's experiments: what each variant changes, that arms follow others, that nothing is trained twice."""

import csv
import io
import json
import tomllib
from importlib.resources import files

import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import InputError, UsageError
from reid_train.features.files import read_npz
from reid_train.matrix.cells import Machine
from reid_train.runs.folder import read_log
from reid_train.settings.adaptation import AdaptSettings, divided
from reid_train.settings.train import TrainSettings
from reid_train.study.ablation import Trainings, run_experiment
from reid_train.study.adaptations import Adaptations
from reid_train.study.experiments import Experiment, Scale, Variant, experiments, find_experiment, find_scale
from reid_train.study.tables import agreement, table
from reid_train.training.batches import take_identities

TINY = {
    "backbone": "resnet18", "weights": "none", "last_stride": 2, "size": "32x16", "pad_crop": 2, "batch_ids": 4,
    "batch_images": 2, "epochs": 2, "iterations": 3, "lr": 0.01,
}  # fmt: skip


@pytest.fixture
def machine(tmp_path, tiny_backbone):
    """Runs below the test's own folder."""
    return Machine(tmp_path / "runs", tmp_path, "cpu", 1)


def run(name, tiny, machine, seeds=(0,), said=None):
    """One experiment on the tiny set with the tiny network."""
    said = [] if said is None else said
    arms = Trainings(TrainSettings().replace(**TINY), tiny, tiny, machine, lambda what: said.append(what))
    return run_experiment(find_experiment(name), arms, Scale("tiny", TINY, 1.0), seeds, machine.runs)


def test_every_variant_is_settings_that_exist_and_changes_one_thing():
    study = tomllib.loads(files("reid_assets").joinpath("study.toml").read_text())
    for name, experiment in experiments().items():
        ids = [variant.id for variant in experiment.variants]
        assert len(ids) == len(set(ids))
        assert not experiment.variants[0].changes, "the first variant is the base"
        for variant in experiment.variants:
            for_training, own = divided(variant.changes)
            TrainSettings().replace(**for_training)
            AdaptSettings().replace(**own)
            assert not own or experiment.kind == "adapt"
        reported = {row["id"]: row["runs"] for row in study.get(name, {}).get("variants", [])}
        assert set(reported) <= set(ids)
        for variant in experiment.variants:
            assert [list(row) for row in variant.study] == reported.get(variant.id, [])
    for scale in ("small", "full"):
        TrainSettings().replace(**find_scale(scale).settings)
    assert set(study) - {"composite"} <= set(experiments())


def test_an_unknown_experiment_names_the_known_ones():
    with pytest.raises(UsageError, match="temperature-schedule"):
        find_experiment("temprature-schedule")


def test_a_choice_of_variants_keeps_the_base_and_who_is_followed():
    chosen = find_experiment("effective-temperature").only(["project-replay"])
    assert [variant.id for variant in chosen.variants] == ["free-0.1", "project-replay"]
    with pytest.raises(UsageError, match=r"project-0\.05"):
        find_experiment("effective-temperature").only(["project-0.5"])


def test_half_of_the_identities_is_spread_over_all(tiny):
    half = take_identities(tiny, 0.5)
    assert sorted({record.pid for record in half.train}) == [2, 4, 6, 8]
    assert len(half.train) == len(tiny.train) / 2
    assert (half.query, half.gallery) == (tiny.query, tiny.gallery)
    assert take_identities(tiny, 1.0) is tiny


def test_arms_follow_the_free_run(tiny, machine):
    document = run("effective-temperature", tiny, machine)
    logs = {
        row["id"]: [line for line in read_log(machine.runs / row["runs"][0]) if line["event"] == "epoch"]
        for row in document["variants"]
    }
    free = [row["effective_temperature"] for row in logs["free-0.1"]]
    assert [row["temperature"] for row in logs["project-replay"]] == pytest.approx(free, rel=1e-6)
    expected = sum(value / 0.1 for value in free) / len(free)
    settings = tomllib.loads((machine.runs / document["variants"][5]["runs"][0] / "settings.toml").read_text())
    assert settings["classifier_lr_mult"] == pytest.approx(expected, abs=1e-4)
    assert [row["class_norm_median"] for row in logs["project-0.1"]] == pytest.approx([1.0, 1.0], abs=1e-2)


def test_nothing_is_trained_twice_and_experiments_share_their_base(tiny, machine):
    said = []
    first = run("classifier-unit", tiny, machine, said=said)
    assert sum("training" in line for line in said) == 3
    files_before = {path: path.stat().st_mtime_ns for path in machine.runs.rglob("model.safetensors")}
    again = []
    assert run("classifier-unit", tiny, machine, said=again) == first
    assert sum("already trained" in line for line in again) == 3
    shared = []
    run("temperature", tiny, machine, said=shared)
    assert sum("already trained" in line for line in shared) == 1, "0.1 is the base of both"
    assert files_before.items() <= {p: p.stat().st_mtime_ns for p in machine.runs.rglob("model.safetensors")}.items()


def test_the_tables_hold_the_studys_figures_and_ours(tiny, machine):
    document = run("embedding", tiny, machine, seeds=(0, 1))
    base, linear = document["variants"]
    assert base["study"]["mAP"] == pytest.approx((83.5 + 83.2) / 2)
    assert "difference" not in base
    assert base["ours"]["mAP"]["num_seeds"] == 2
    assert linear["difference"]["value"] == pytest.approx(linear["ours"]["mAP"]["mean"] - base["ours"]["mAP"]["mean"])
    head, rows = table(document)
    assert len(rows) == 2
    assert all(len(row) == len(head) for row in rows)
    kept = json.loads((machine.runs / "ablations" / "embedding" / "ablation.json").read_text())
    assert kept == json.loads(json.dumps(document))
    lines = list(csv.DictReader(io.StringIO((machine.runs / "ablations" / "embedding" / "ablation.csv").read_text())))
    assert float(lines[1]["mAP mean"]) == linear["ours"]["mAP"]["mean"]


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [
        (-0.06, "worse", "the same direction"),
        (0.06, "better", "the other direction"),
        (-0.01, "undecided", "no difference"),
    ],
)
def test_agreement_in_words(value, verdict, words):
    variants = [
        {"id": "a", "study": {"mAP": 80.0}},
        {"id": "b", "study": {"mAP": 74.0}, "difference": {"value": value}, "verdict": verdict},
        {"id": "c", "study": {}, "difference": {"value": value}, "verdict": verdict},
    ]
    (line,) = agreement({"variants": variants})
    assert words in line
    assert "study -6.0" in line


ADAPT = {"epochs": 2, "iterations": 3, "batch_ids": 3, "bn_group": 2, "max_share": 1.0, "k1": 6, "k2": 2}


def adaptations(tiny, tiny_root, machine, said=None):
    """Arms that adapt the tiny set to the other one."""
    said = [] if said is None else said
    source = Trainings(TrainSettings().replace(**TINY), tiny, tiny, machine, lambda what: said.append(what))
    other = load_dataset("other", tiny_root)
    return Adaptations(source, other, other, ADAPT)


def test_adaptations_go_on_from_one_source_run_and_replay_labels(tiny, tiny_root, machine):
    said = []
    experiment = find_experiment("uda-joint").only(["direct", "independent-replayed", "independent-2b"])
    arms = adaptations(tiny, tiny_root, machine, said)
    document = run_experiment(experiment, arms, Scale("tiny", TINY, 1.0), [0], machine.runs)
    rows = {row["id"]: row for row in document["variants"]}
    labels = [
        read_npz(machine.runs / rows[id_]["runs"][0] / "labels.npz")["labels"]
        for id_ in ("joint", "independent-replayed")
    ]
    assert np.array_equal(*labels)
    assert sum("seed 0: training" in line for line in said) == 1, "one source run for all"
    spent = {id_: (row["final"]["target_images"], row["final"]["all_images"]) for id_, row in rows.items()}
    steps = 2 * 3 * 3 * 2
    assert spent == {
        "joint": (steps, 2 * steps), "direct": (0, 0),
        "independent-replayed": (steps, steps), "independent-2b": (2 * steps, 2 * steps),
    }  # fmt: skip
    assert document["target"] == document["test"] == "other"
    head, cells = table(document)
    assert all(len(row) == len(head) for row in cells)
    again = []
    arms = adaptations(tiny, tiny_root, machine, again)
    assert run_experiment(experiment, arms, Scale("tiny", TINY, 1.0), [0], machine.runs) == document
    assert not any(line.endswith((": training", ": adapting")) for line in again)


def test_an_arm_that_collapses_is_a_row_and_the_others_go_on(tiny, tiny_root, machine):
    joint, other = Variant("joint"), Variant("narrow", {"max_share": 0.01})
    arms, scale = adaptations(tiny, tiny_root, machine), Scale("tiny", TINY, 1.0)
    experiment = Experiment("x", "x", "", (joint, other, Variant("direct", batches=0)), "adapt")
    document = run_experiment(experiment, arms, scale, [0], machine.runs)
    assert "the largest cluster holds" in document["variants"][1]["refused"]
    assert [row[0:2] for row in table(document)[1]][1] == ["narrow", "refused"]
    assert (machine.runs / "ablations" / "x" / "ablation.csv").read_text().splitlines()[2] == "narrow"
    with pytest.raises(InputError, match="the largest cluster holds"):
        run_experiment(Experiment("y", "y", "", (other,), "adapt"), arms, scale, [0], machine.runs)
