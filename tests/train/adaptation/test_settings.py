"""Every setting of an adaptation matters, and what does not go together is refused."""

from pathlib import Path
from typing import Any

import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import InputError, UsageError
from reid_train.adaptation.adapt import adapt, resolve
from reid_train.adaptation.start import refuse_other_network, settings_of_start
from reid_train.runs.checkpoint import load_model
from reid_train.settings.adaptation import AdaptSettings
from tests.train.adaptation.small_runs import CHOICES, go, of_start
from tests.train.conftest import small

TRIALS: dict[str, tuple[Any, dict[str, Any]]] = {
    "arm": ("independent", {}),
    "classifier": ("mixed", {}),
    "mix_from": (1, {"classifier": "mixed-source"}),
    "target_head": ("memory", {}),
    "memory_momentum": (0.5, {"target_head": "memory"}),
    "target_weight": (0.5, {}),
    "optimiser_state": ("reset", {}),
    "bn": ("shared", {}),
    "bn_group": (3, {}),
    "bn_warm": ("target", {}),
    "eps": ("0.25", {}),
    "min_samples": (2, {}),
    "k1": (4, {}),
    "k2": (1, {}),
    "reliable": (0.2, {}),
    "max_share": (0.01, {}),
    "max_outliers": (0.01, {"min_samples": 5}),
    "target_cameras": ("ignore", {}),
}
"""Another value of every setting that is no file's, and the others under which it matters."""


def outcome(start: Path, root: Path, folder: Path, **way: Any) -> bytes | str:
    """The first weights of the model, or the word refused."""
    try:
        go(start, root, folder, **way)
    except InputError:
        return "refused"
    return load_model(folder / "model.safetensors")[0]["backbone.conv1.weight"].numpy().tobytes()


def test_every_setting_has_a_trial() -> None:
    of_files = [name for name, field in AdaptSettings.declared().items() if field.metadata["stage"] == "run"]
    assert [*TRIALS, *of_files] == list(AdaptSettings.declared())


@pytest.mark.parametrize("name", TRIALS)
def test_every_setting_changes_the_key_and_what_comes_out(
    name: str, start: Path, hard_root: Path, tmp_path: Path
) -> None:
    value, context = TRIALS[name]
    base, changed = {**CHOICES, **context}, {**CHOICES, **context, name: value}
    found = [outcome(start, hard_root, tmp_path / str(number), **way) for number, way in enumerate((base, changed))]
    assert found[0] != found[1]
    given = [load_dataset("tiny", hard_root)], load_dataset("other", hard_root)
    keys = {
        resolve(of_start(start), AdaptSettings(**way), *given).identity("cpu", 1).train_key for way in (base, changed)
    }
    assert len(keys) == 2


def test_other_settings_in_the_same_folder_are_named(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    go(start, tiny_root, tmp_path / "a")
    with pytest.raises(UsageError, match="--arm: joint -> independent"):
        go(start, tiny_root, tmp_path / "a", arm="independent")
    with pytest.raises(UsageError, match="--lr"):
        go(start, tiny_root, tmp_path / "a", {"lr": 0.5})


def test_the_source_must_be_that_of_the_run(start: Path, tiny_root: Path, tmp_path: Path) -> None:
    other = load_dataset("other", tiny_root)
    with pytest.raises(InputError, match="--source must name the training sets of the run"):
        adapt(of_start(start), AdaptSettings(**CHOICES), [other], load_dataset("tiny", tiny_root), tmp_path / "a")
    with pytest.raises(UsageError, match="name it with --source"):
        adapt(of_start(start), AdaptSettings(**CHOICES), [], other, tmp_path / "a")


def test_another_network_than_the_runs_is_refused(start: Path) -> None:
    base = settings_of_start(start)
    refuse_other_network(base, base.replace(lr=0.5, temperature=0.2, epochs=3))
    for change in ({"backbone": "resnet34"}, {"size": "64x32"}, {"norm": "0.5,0.5,0.5/0.2,0.2,0.2"}):
        with pytest.raises(UsageError, match=f"--{next(iter(change))} .*the run behind --from has"):
            refuse_other_network(base, base.replace(**change))


@pytest.mark.parametrize(
    ("choices", "training", "message"),
    [
        ({"target_head": "memory"}, {"head": "arcface"}, "expected --head linear, got arcface"),
        ({"target_head": "hybrid"}, {"normalize": False}, "leave out --no-normalize"),
        ({}, {"centre": 0.1}, "--centre keeps a centre"),
        ({}, {"iterations": 0}, "needs a number of steps"),
        ({"bn_group": 4}, {"batch_ids": 3, "batch_images": 3}, "--bn-group 4 does not divide a batch of 9 images"),
        ({"bn_group": 3, "bn": "shared"}, {"batch_ids": 2, "batch_images": 2}, r"a batch of 4 \+ 4 images"),
        ({"classifier": "mixed-source", "mix_from": 9}, {"epochs": 3}, "there are 3 rounds"),
    ],
)
def test_settings_that_do_not_go_with_the_training(
    choices: dict[str, Any], training: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        AdaptSettings(**choices).check_training(small(**training), 1)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"arm": "independent", "classifier": "mixed"}, "needs --arm joint"),
        ({"arm": "independent", "target_weight": 0.5}, "needs --arm joint"),
        ({"mix_from": 3}, "belongs to --classifier mixed-source"),
        ({"target_weight": 0, "classifier": "mixed"}, "nothing to mix"),
        ({"eps": "often"}, "--eps 'often'"),
        ({"eps": "percentile:2"}, "at most 1"),
    ],
)
def test_choices_that_contradict_each_other(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdaptSettings(**choices)


def test_groups_may_not_follow_from_the_number_of_processes() -> None:
    AdaptSettings(bn_group=0).check_training(small(), 1)
    with pytest.raises(UsageError, match="--bn-group 0 would follow from the number of processes"):
        AdaptSettings(bn_group=0).check_training(small(), 2)
