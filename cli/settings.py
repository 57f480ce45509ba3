"""Settings on the command line: a flag for each, recipes, and the values that make an axis of a grid."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings, default_text, fields, from_assignments, from_toml

from .options import Decorator, names_list

recipe_option = click.option(
    "--recipe", help="A TOML file that lists the settings that differ from the defaults, or the name of a bundled one."
)
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)


def settings_options(*stages: str) -> Decorator:
    """A flag for every setting of `stages` (none: of all), in the order of their declaration."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(fields().items()):
            if stages and field.metadata["stage"] not in stages:
                continue
            kind = type(field.default)
            spelling = f"{flag(name)}/{flag('no_' + name)}" if kind is bool else flag(name)
            metavar = None if kind is bool else value_form(name)
            shown = f"{field.metadata['help']}  [default: {default_text(name)}]"
            command = click.option(spelling, name, default=None, help=shown, metavar=metavar)(command)
        return command

    return decorate


def value_form(name: str) -> str:
    """What a flag takes, for its help: `pk|random`, `INT`, `HxW`."""
    field = fields()[name]
    return field.metadata["form"] or "|".join(field.metadata["choices"]) or type(field.default).__name__.upper()


def collect_settings(
    flags: dict[str, Any], recipe: Path | None, assignments: tuple[str, ...], base: TrainSettings | None = None
) -> TrainSettings:
    """Settings from, in rising precedence: the defaults, the recipe, `--set`, the flags."""
    settings = from_toml(recipe, base) if recipe is not None else base or TrainSettings()
    given = {name: value for name, value in flags.items() if value is not None}
    return settings.replace(**{**from_assignments(assignments), **given})


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
