"""Settings on the command line: a flag for each, recipes, and the values that make an axis of a grid."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from reid_data.errors import UsageError
from reid_train.settings.adaptation import AdaptSettings, divided
from reid_train.settings.setting import Settings, check_names, default_text, flag, value_form
from reid_train.settings.train import TrainSettings, fields, from_assignments, from_toml, read_recipe

from .options import Decorator, names_list

recipe_option = click.option(
    "--recipe", help="A TOML file that lists the settings that differ from the defaults, or the name of a bundled one."
)
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)


def settings_options(*stages: str, kind: type[Settings] = TrainSettings) -> Decorator:
    """A flag for every setting of `kind` and `stages` (none: of all), in the order of their declaration."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(kind.declared().items()):
            if stages and field.metadata["stage"] not in stages:
                continue
            switch = isinstance(field.default, bool)
            spelling = f"{flag(name)}/{flag('no_' + name)}" if switch else flag(name)
            metavar = None if switch else value_form(field)
            shown = f"{field.metadata['help']}  [default: {default_text(name, field)}]"
            command = click.option(spelling, name, default=None, help=shown, metavar=metavar)(command)
        return command

    return decorate


def collect_settings(
    flags: dict[str, Any], recipe: Path | None, assignments: tuple[str, ...], base: TrainSettings | None = None
) -> TrainSettings:
    """Settings from, in rising precedence: the defaults, the recipe, `--set`, the flags."""
    settings = from_toml(recipe, base) if recipe is not None else base or TrainSettings()
    given = {name: value for name, value in flags.items() if value is not None}
    return settings.replace(**{**from_assignments(assignments), **given})


def collect_adaptation(
    flags: dict[str, Any], recipe: Path | None, assignments: tuple[str, ...], start: Path | None
) -> tuple[TrainSettings, AdaptSettings]:
    """Settings of an adaptation's training and its own, in rising precedence: those of the run `start` (or the defaults), the
    recipe, `--set`, the flags. Raises UsageError where the run and the arm do not go together.
    """
    from reid_train.adaptation.start import (
        ITERATIONS,
        ROUNDS,
        network_is_fixed,
        refuse_other_network,
        settings_of_start,
    )  # fmt: skip

    known = {**fields(), **AdaptSettings.declared()}
    listed = read_recipe(recipe) if recipe is not None else {}
    typed = {
        **from_assignments(assignments, known),
        **{key: value for key, value in flags.items() if value is not None},
    }
    check_names(listed, known)
    (for_training, own), (typed_training, typed_own) = divided(listed), divided(typed)
    choices = AdaptSettings().replace(**{**own, **typed_own})
    if (choices.arm == "target-only") != (start is None):
        raise UsageError(
            "--arm target-only starts from --weights: leave out --from, or choose --arm independent."
            if start is not None
            else f"--arm {choices.arm} starts from a run: name it with --from."
        )
    if start is None:
        base = TrainSettings(epochs=ROUNDS, iterations=ITERATIONS)
        return base.replace(**{**for_training, **typed_training}), choices
    base = settings_of_start(start)
    for_training = {name: value for name, value in for_training.items() if not network_is_fixed(name)}
    settings = base.replace(**{**for_training, **typed_training})
    refuse_other_network(base, settings)
    return settings, choices


def setting_values(assignments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`["lr=0.1,0.2", "neck=none"]` -> {"lr": ("0.1", "0.2"), "neck": ("none",)}.

    Numbers with commas that make one value (`rerank=20,6,0.3`, `lr_step=20,40`) are not taken apart; a key that is
    repeated collects its values.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in assignments:
        for key, value in from_assignments([text]).items():
            whole = "," in fields()[key].metadata["form"] and value[:1].isdigit()
            found[key] = (*found.get(key, ()), *([value] if whole or "," not in value else names_list(value)))
    return found


def recipe_path(value: str | None) -> Path | None:
    """A recipe given as a path, or by the name of a bundled one. Raises UsageError with the bundled names."""
    from importlib.resources import files

    from reid_data.errors import unknown_name

    if value is None or value.endswith(".toml"):
        return None if value is None else Path(value)
    bundled = {Path(entry.name).stem: Path(str(entry)) for entry in files("reid_assets").joinpath("recipes").iterdir()}
    if value not in bundled:
        raise unknown_name("recipe (a name, or a path that ends in .toml)", value, bundled)
    return bundled[value]
