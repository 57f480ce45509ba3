"""Option decorators that commands share, and the reading of what is typed in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from reid_data.errors import unknown_name

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
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")


def limit_option(help_text: str) -> Decorator:
    """`--limit N`."""
    return click.option("--limit", type=click.IntRange(min=1), default=None, help=help_text)


def names_list(value: str | None) -> list[str]:
    """`a,b , c` -> ["a", "b", "c"]."""
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def choose(kind: str, got: str, choices: list[str]) -> str:
    """`got` if it is one of `choices`; else the error with the nearest match."""
    if got not in choices:
        raise unknown_name(kind, got, choices)
    return got
