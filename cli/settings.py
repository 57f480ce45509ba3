"""Settings on the command line: a flag for each, recipes, and the command that lists them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings, default_text, fields, from_assignments, from_toml

from .options import Decorator

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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def options(as_json: bool) -> None:
    """List every setting: flag, values, default, meaning, source.

    \b
    Example:
      reid-train options
    """
    rows = [
        {
            "setting": name,
            "flag": flag(name),
            "values": "yes|no" if isinstance(field.default, bool) else value_form(name),
            "default": default_text(name),
            "meaning": field.metadata["help"],
            "source": field.metadata["source"],
            "changes": {"train": "the training", "test": "tests only", "run": "no result"}[field.metadata["stage"]],
        }
        for name, field in fields().items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['flag']}  {row['values']}  [{row['default']}]")
        click.echo(f"    {row['meaning']} (source: {row['source']}; changes {row['changes']})")
