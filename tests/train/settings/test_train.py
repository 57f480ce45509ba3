"""Settings: declared once, checked where they are made, hashed for the keys."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from reid_data.errors import InputError, UsageError
from reid_train.arithmetic import DTYPES
from reid_train.model.backbones import BACKBONES
from reid_train.model.classifiers import CLASSIFIERS, NORMS
from reid_train.model.poolings import POOLINGS
from reid_train.settings.adaptation import AdaptSettings, divided
from reid_train.settings.setting import default_text, differences, flag
from reid_train.settings.train import (
    TEMPERATURE_SCHEDULES,
    TrainSettings,
    fields,
    from_assignments,
    from_toml,
    read_recipe,
)
from reid_train.training.schedules import DECAYS, TEMPERATURES

RECIPES = Path(__file__).parents[3] / "assets" / "recipes"
OTHER_VALUES: dict[str, Any] = {
    "weights": "none",
    "bg": "duke",
    "temperature_schedule": "log-up",
    "size": "64x32",
    "norm": "market",
    "matte": "255,255,255",
    "triplet_margin": "soft",
    "lr_step": "40,70",
    "rerank": "20,6,0.3",
    "expand": "5,3",
}


def other_value(name: str) -> Any:
    """A valid value of the setting `name` that is not its default."""
    field = fields()[name]
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != field.default)
    if isinstance(field.default, bool):
        return not field.default
    if name == "last_stride":
        return 2
    return field.default + 1 if isinstance(field.default, int) else field.default / 2 + 0.1


def test_defaults_are_the_base_of_the_experiments() -> None:
    base = TrainSettings()
    assert (base.temperature, base.optimiser, base.lr, base.weight_decay) == (0.1, "adam", 3.5e-4, 5e-4)
    assert (base.batch_ids, base.batch_images, base.epochs, base.iterations) == (16, 4, 50, 400)
    assert base.lr_steps == (20, 40)
    assert (base.embedding, base.neck, base.normalize, base.classifier_init) == (0, "bn", True, "normal")
    assert base.norm_numbers == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_choices_are_those_of_the_tables() -> None:
    assert set(fields()["backbone"].metadata["choices"]) == set(BACKBONES)
    assert set(fields()["head"].metadata["choices"]) == set(CLASSIFIERS)
    assert set(fields()["classifier_norm"].metadata["choices"]) == set(NORMS)
    assert set(fields()["pooling"].metadata["choices"]) == set(POOLINGS)
    assert set(fields()["lr_schedule"].metadata["choices"]) == set(DECAYS)
    assert set(fields()["amp"].metadata["choices"]) == {"auto", *DTYPES}
    assert set(TEMPERATURE_SCHEDULES) == {*TEMPERATURES, "learned", "file"}


@pytest.mark.parametrize("name", list(fields()))
def test_every_setting_is_described_and_enters_the_key_of_its_stage(name: str) -> None:
    field = fields()[name]
    assert field.metadata["help"].endswith(".")
    assert field.metadata["source"]
    assert default_text(name, fields()[name])
    changed = TrainSettings().replace(**{name: other_value(name)})
    assert getattr(changed, name) != field.default
    for stage in ("train", "test", "run"):
        same = changed.key(stage) == TrainSettings().key(stage)
        assert same == (stage != field.metadata["stage"])


@pytest.mark.parametrize("name", list(fields()))
def test_toml_round_trip(name: str, tmp_path: Path) -> None:
    changed = TrainSettings().replace(**{name: other_value(name)})
    path = tmp_path / "settings.toml"
    path.write_text(changed.to_toml(), encoding="utf-8")
    assert from_toml(path) == changed


def test_toml_strings_survive_awkward_characters(tmp_path: Path) -> None:
    settings = TrainSettings(weights='C:\\models\\"new"\u200b\n.pth')
    (tmp_path / "s.toml").write_text(settings.to_toml(), encoding="utf-8")
    assert from_toml(tmp_path / "s.toml") == settings


def test_a_recipe_lists_only_differences(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('classifier-norm = "project"\nembedding = "none"\nlr = 1\n')
    assert from_toml(path) == TrainSettings(classifier_norm="project", lr=1.0)
    assert from_toml(path, TrainSettings(epochs=3)).epochs == 3


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_bundled_recipes_are_valid(path: Path) -> None:
    for_training, own = divided(read_recipe(path))
    settings, choices = TrainSettings().replace(**for_training), AdaptSettings().replace(**own)
    assert (settings, choices) != (TrainSettings(), AdaptSettings())
    if own:
        choices.check_training(settings, 1)
    assert bool(own) == (path.stem in ("spcl", "cluster-contrast", "strong-baseline", "study"))


def test_the_bag_of_tricks_lists_only_differences() -> None:
    text = tomllib.loads((RECIPES / "bag-of-tricks.toml").read_text(encoding="utf-8"))
    settings = from_toml(RECIPES / "bag-of-tricks.toml")
    assert [name for name in text if getattr(settings, name) == fields()[name].default] == []
    assert settings.lr_steps == (40, 70)
    assert (settings.triplet_margin, settings.random_erasing, settings.last_stride) == ("0.3", 0.5, 1)


def test_unknown_keys_are_errors_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("temprature = 0.2\n")
    with pytest.raises(UsageError, match=r"'temperature'.*weight_decay"):
        from_toml(path)
    with pytest.raises(UsageError, match="Did you mean 'lr'"):
        from_assignments(["lrr=1"])
    with pytest.raises(UsageError, match="KEY=VALUE"):
        from_assignments(["lr"])


def test_an_unreadable_recipe_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("lr = = 1")
    for name in ("bad.toml", "absent.toml"):
        with pytest.raises(InputError, match=name):
            from_toml(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0}, "--temperature 0: expected above 0"),
        ({"temperature": float("nan")}, "--temperature 'nan': expected a number"),
        ({"epochs": 2.5}, "--epochs '2.5': expected a whole number"),
        ({"epochs": True}, "--epochs 'True'"),
        ({"flip": 1.5}, "--flip 1.5: expected at least 0 and at most 1"),
        ({"neck": "bm"}, "--neck 'bm': expected one of bn, none. Did you mean 'bn'"),
        ({"size": "64"}, "--size '64': expected HEIGHTxWIDTH"),
        ({"size": "8x8"}, "--size 8x8"),
        ({"temperature_schedule": "log_up"}, "log-up"),
        ({"head": "arcface", "normalize": False}, "--no-normalize"),
        ({"triplet": 1.0, "batch_images": 1}, "--batch-images of at least 2"),
        ({"triplet_margin": "hard"}, "--triplet-margin 'hard'"),
        ({"lr_step": "40,20"}, "--lr-step '40,20'"),
        ({"norm": "0.4,0.4/0.2,0.2"}, "--norm"),
        ({"norm": "0.4,0.4,0.4/0.2,0.2,0"}, "--norm"),
        ({"batch_ids": 1, "batch_images": 1}, "at least 2 images"),
        ({"rerank": "20,6"}, "--rerank '20,6': expected none or K1,K2,LAMBDA"),
        ({"expand": "x,1"}, "--expand 'x': expected a whole number"),
        ({"normalize": "maybe"}, "--normalize 'maybe': expected true or false"),
    ],
)
def test_wrong_values_name_the_flag(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainSettings(**changes)
    assert message in str(caught.value)


def test_texts_become_values() -> None:
    settings = TrainSettings().replace(
        **from_assignments(["lr=1e-3", "normalize=false", "embedding=1024", "batch-ids=8"])
    )
    assert (settings.lr, settings.normalize, settings.embedding, settings.batch_ids) == (1e-3, False, 1024, 8)
    assert TrainSettings(norm="0.415,0.389,0.384/0.196,0.190,0.188").norm_numbers == (
        (0.415, 0.389, 0.384),
        (0.196, 0.190, 0.188),
    )
    assert TrainSettings(norm="./some/folder").norm_numbers is None


def test_differences_are_told_by_flag() -> None:
    old, new = TrainSettings().as_dict(), TrainSettings(batch_ids=8).as_dict()
    assert differences(old, new) == ["--batch-ids: 16 -> 8"]
    assert differences(old, old) == []
    assert flag("test_feature") == "--test-feature"
