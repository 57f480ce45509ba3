"""The settings of an adaptation out of the run that it starts from: one recipe, whatever is switched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid_data.errors import InputError, UsageError
from reid_data.files import printable
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, read_metadata
from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings, fields

ROUNDS, ITERATIONS = 50, 400
"""How long an adaptation lasts if nothing is said."""
FREE = ("weights", "classifier_init", "temperature", "temperature_schedule", "seed", "centre", "drop_path")
"""Settings of the network that an adaptation may choose anew: what it starts from and how it is trained."""


def settings_of_start(run_folder: Path) -> TrainSettings:
    """The run's settings for ROUNDS rounds of ITERATIONS steps, which start from its model and read pictures as it does.

    Left out: a warm-up, another background, the centre loss. Raises InputError if the run has no model.
    """
    run_folder = runs.run_of(run_folder)
    settings = runs.read_settings(run_folder)
    model = run_folder / MODEL_FILE
    if not model.is_file():
        raise InputError(
            f"the run '{printable(run_folder)}' has no {MODEL_FILE} yet: its training has not come to a checkpoint."
        )
    changes: dict[str, Any] = {"weights": str(model), "epochs": ROUNDS, "iterations": ITERATIONS}
    changes |= {"warmup_epochs": 0, "background_swap": 0.0, "bg": "none", "centre": 0.0}
    if settings.norm_numbers is None:
        norm = read_metadata(model).get("norm", {})
        changes["norm"] = "/".join(",".join(repr(float(value)) for value in norm[name]) for name in ("mean", "std"))
    return settings.replace(**changes)


def refuse_other_network(base: TrainSettings, settings: TrainSettings) -> None:
    """Raise UsageError where `settings` describe another network, or another input, than the run of `base` has."""
    for name in fields():
        if network_is_fixed(name) and getattr(base, name) != getattr(settings, name):
            raise UsageError(
                f"{flag(name)} {getattr(settings, name)}: the run behind --from has {getattr(base, name)}, and an adaptation goes on "
                "with its network. Leave it out, or start from another run."
            )


def network_is_fixed(name: str) -> bool:
    """Whether a setting is the start's alone: part of the network, or of what it is shown."""
    words = set(fields()[name].metadata["changes"])
    return name == "size" or (bool(words & {"network", "input"}) and name not in FREE)


def with_rounds(values: Mapping[str, Any], rounds: int | None) -> dict[str, Any]:
    """Settings with `rounds` under their name in a training, epochs. Raises UsageError if both are given."""
    if rounds is not None and values.get("epochs") is not None:
        raise UsageError("--rounds and --epochs are the same here: give one of them.")
    return {**values, **({} if rounds is None else {"epochs": rounds})}
