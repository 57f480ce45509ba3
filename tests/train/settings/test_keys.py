"""Keys that live longer than a version: they hold what differs from the defaults, so the defaults are held here."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import UsageError
from reid_data.records import ReidDataset
from reid_train.runs.folder import LOG_FILE, RunIdentity, check_run, open_run, train_key, write_log
from reid_train.runs.folder import test_key as key_of_test
from reid_train.runs.result import RESULT_FILE, read_result
from reid_train.settings import train
from reid_train.settings.adaptation import divided
from reid_train.settings.train import SETTINGS_SCHEMA, TrainSettings, from_toml, read_recipe
from reid_train.testing import test as run_test
from reid_train.training.fit import fit
from tests.train.conftest import small

DEFAULTS = {
    2: {
        "backbone": "resnet50",
        "weights": "imagenet",
        "last_stride": 1,
        "patch_stride": 0,
        "drop_path": 0.0,
        "pooling": "gap",
        "embedding": 0,
        "neck": "bn",
        "normalize": True,
        "classifier_init": "normal",
        "classifier_norm": "free",
        "head": "linear",
        "margin": 0.35,
        "classifier_lr_mult": 1.0,
        "temperature": 0.1,
        "temperature_schedule": "constant",
        "temperature_end": 0.05,
        "size": "256x128",
        "norm": "imagenet",
        "flip": 0.5,
        "pad_crop": 10,
        "random_erasing": 0.5,
        "background_swap": 0.0,
        "bg": "none",
        "matte": "none",
        "sampler": "pk",
        "batch_ids": 16,
        "batch_images": 4,
        "epochs": 50,
        "iterations": 400,
        "accumulation": 1,
        "label_smoothing": 0.0,
        "triplet": 0.0,
        "triplet_margin": "0.3",
        "centre": 0.0,
        "centre_rate": 0.5,
        "optimiser": "adam",
        "lr": 0.00035,
        "weight_decay": 0.0005,
        "decay_on": "auto",
        "layer_decay": 1.0,
        "momentum": 0.9,
        "lr_schedule": "step",
        "lr_step": "20",
        "lr_gamma": 0.1,
        "warmup_epochs": 0,
        "warmup_factor": 0.01,
        "amp": "auto",
        "seed": 0,
        "tensorboard": False,
        "checkpoint_every": 1,
        "test_feature": "after",
        "flip_test": False,
        "metric": "cosine",
        "protocol": "standard",
        "ap": "step",
        "rerank": "none",
        "expand": "none",
    }
}
"""The defaults of each schema of the settings. A changed default, or another meaning of a setting, needs a new number in
`settings/train.py` and a new entry here; a new setting needs only a line here."""

KEYS = {
    "bag-of-tricks": "ea610069d8fbae1820cb152ae548ac8c22df7d299dcbf6fcc976a5b93e0fe676",
    "demo": "233b07683cdf1fd449ed5d8f22cb2b5b649aa00f0ed73586a36a811ab6cbce02",
    "small": "ce2643092bcc84d2ebf39af4f41b768c08d34489782b5cad72d5bfd5464f3d9c",
}
"""The key of each bundled recipe, trained on one set with the digest `d` from ImageNet weights `w` on a processor."""


def key(settings: TrainSettings) -> str:
    return train_key(settings, ["d"], "w", "cpu")


def recipe(name: str) -> TrainSettings:
    return from_toml(Path(str(files("reid_assets"))) / "recipes" / f"{name}.toml")


def test_no_default_changes_under_the_same_schema() -> None:
    assert TrainSettings().as_dict() == DEFAULTS[SETTINGS_SCHEMA]


def test_the_keys_of_the_recipes_stay() -> None:
    recipes = [Path(str(path)) for path in files("reid_assets").joinpath("recipes").iterdir()]
    bundled = sorted(path.stem for path in recipes if not divided(read_recipe(path))[1])
    assert {name: key(recipe(name)) for name in bundled} == KEYS


def test_a_key_holds_the_schema_and_what_differs_from_the_defaults() -> None:
    assert TrainSettings().key("train") == {"schema": SETTINGS_SCHEMA}
    assert TrainSettings(lr=0.1, rerank="20,6,0.3").key("train") == {"schema": SETTINGS_SCHEMA, "lr": 0.1}
    assert TrainSettings(lr=0.1, rerank="20,6,0.3").key("test") == {"schema": SETTINGS_SCHEMA, "rerank": "20,6,0.3"}


def test_raised_steps_enter_and_a_new_schema_changes_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = {"versions": {"augmentation": 2}}
    assert train_key(small(), ["d"], "w", "cpu", versions={}) == key(small())
    assert train_key(small(), ["d"], "w", "cpu", versions=raised) != key(small())
    assert key_of_test("k", small(), "d", versions={}) != key_of_test("k", small(), "d", versions=raised)
    before = key(small()), key_of_test("k", small(), "d", versions={})
    monkeypatch.setattr(train, "SETTINGS_SCHEMA", SETTINGS_SCHEMA + 1)
    assert not {key(small()), key_of_test("k", small(), "d", versions={})} & set(before)


def test_a_run_that_lacks_a_setting_is_read_with_its_default(tmp_path: Path) -> None:
    identity = RunIdentity(key(small()), ["d"], {"d": "d"}, "w", "cpu")
    open_run(tmp_path, small(), identity)
    path = tmp_path / "settings.toml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("centre_rate")))
    check_run(tmp_path, small(), identity)


def test_a_run_of_before_is_told_from_one_with_other_settings_and_can_be_tested(
    tiny_backbone: None, tiny: ReidDataset, tiny_root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(small(), [tiny], run, device="cpu", workers=1)
    rows = [json.loads(line) for line in (run / LOG_FILE).read_text().splitlines()]
    assert rows[0].pop("settings_schema") == SETTINGS_SCHEMA
    write_log(run, [rows[0] | {"train_key": "of before"}, *rows[1:]])
    document = json.loads((run / RESULT_FILE).read_text())
    del document["settings_schema"], document["sha256"]
    (run / RESULT_FILE).write_text(json.dumps(document | {"train_key": "of before"}))
    with pytest.raises(UsageError, match=r"another version of this tool.*evaluate.*choose another --name"):
        fit(small(), [tiny], run, device="cpu", workers=1)
    result = read_result(run)
    assert result is not None
    assert result.settings_schema == 1
    other = load_dataset("other", tiny_root)
    assert run_test(run, other, device="cpu", workers=1).metrics["other"]["mAP"] > 0
