"""Option decorators that commands share, and the reading of what is typed in them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reid_data.errors import unknown_name
from reid_data.records import Colour, read_colour

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="REID_DATA",
    default=Path("data"),
    show_default="$REID_DATA, else ./data",
    help="Folder that holds the data sets.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=None,
    show_default="all processors",
    help="Processes (0 or 1: this one alone); never changes a result.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")


def _colour(_: click.Context, __: click.Parameter, value: str | None) -> Colour | None:
    return None if value is None else read_colour(value)


matte_option = click.option(
    "--matte",
    callback=_colour,
    metavar="R,G,B",
    help="Read pictures with transparent pixels over this colour, e.g. 255,255,255; without it they are refused.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")


def limit_option(help_text: str) -> Decorator:
    """`--limit N`."""
    return click.option("--limit", type=click.IntRange(min=1), default=None, help=help_text)


def names_list(value: str | None) -> list[str]:
    """`a,b , c` -> ["a", "b", "c"]; a comma that belongs to a name stands behind a backslash."""
    parts = [part.strip() for part in re.split(r"(?<!\\),", value or "")]
    return [part.replace("\\,", ",") for part in parts if part]


def set_names(value: str | None) -> list[str]:
    """The sets of a list that has no unions; a plus may stand behind a backslash there, too, as `typed` writes it."""
    return [name.replace("\\+", "+") for name in names_list(value)]


def typed(name: str) -> str:
    """A set's name as `--train` and `--test` take it, where a comma or a plus would stand between names."""
    return re.sub(r"([,+])", r"\\\1", name)


def choose(kind: str, got: str, choices: list[str]) -> str:
    """`got` if it is one of `choices`; else the error with the nearest match."""
    if got not in choices:
        raise unknown_name(kind, got, choices)
    return got
