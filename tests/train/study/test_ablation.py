"""The study's experiments: what each variant changes, that arms follow others, that nothing is trained twice."""

import csv
import io
import json
import tomllib
from importlib.resources import files

import pytest

from reid_data.errors import UsageError
from reid_train.matrix.cells import Machine
from reid_train.runs.folder import read_log
from reid_train.settings.train import TrainSettings
from reid_train.study import ablation
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
    scale = ablation.Scale("tiny", TINY, 1.0)
    base = TrainSettings().replace(**TINY)
    said = [] if said is None else said
    return ablation.run_experiment(
        ablation.find_experiment(name), base, scale, (tiny, tiny), seeds, machine, lambda what: said.append(what)
    )


def test_every_variant_is_settings_that_exist_and_changes_one_thing():
    study = tomllib.loads(files("reid_assets").joinpath("study.toml").read_text())
    for name, experiment in ablation.experiments().items():
        ids = [variant.id for variant in experiment.variants]
        assert len(ids) == len(set(ids))
        assert not experiment.variants[0].changes, "the first variant is the base"
        for variant in experiment.variants:
            TrainSettings().replace(**variant.changes)
        reported = {row["id"]: row["runs"] for row in study.get(name, {}).get("variants", [])}
        assert set(reported) <= set(ids)
        for variant in experiment.variants:
            assert [list(row) for row in variant.study] == reported.get(variant.id, [])
    for scale in ("small", "full"):
        TrainSettings().replace(**ablation.find_scale(scale).settings)
    assert set(study) - {"composite"} <= set(ablation.experiments())


def test_an_unknown_experiment_names_the_known_ones():
    with pytest.raises(UsageError, match="temperature-schedule"):
        ablation.find_experiment("temprature-schedule")


def test_a_choice_of_variants_keeps_the_base_and_who_is_followed():
    chosen = ablation.find_experiment("effective-temperature").only(["project-replay"])
    assert [variant.id for variant in chosen.variants] == ["free-0.1", "project-replay"]
    with pytest.raises(UsageError, match=r"project-0\.05"):
        ablation.find_experiment("effective-temperature").only(["project-0.5"])


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
    head, rows = ablation.table(document)
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
    (line,) = ablation.agreement({"variants": variants})
    assert words in line
    assert "study -6.0" in line
