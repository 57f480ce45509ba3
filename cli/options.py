"""Option decorators and the progress line that all commands share."""

import sys
import time
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
    help="Processes; never changes a result.",
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


def say(message: str) -> None:
    """One line for the person, on stderr."""
    click.echo(message, err=True)


class Progress:
    """Progress with an estimate of the time left, on stderr: a live line on a terminal, else a plain line every 10 s.

    Call it with (done, total) as often as you like; use it as a context manager.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.live = sys.stderr.isatty()
        self.started = time.monotonic()
        self.last = self.started
        self.first: int | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.live and self.first is not None:
            click.echo("\r\033[K", err=True, nl=False)

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total`; what was done before the first call (a resumed run) does not count as speed."""
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if done < total and now - self.last < (0.1 if self.live else 10):
            return
        if done >= total and not self.live and now - self.started < 10:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        left = f", {duration((total - done) / rate)} left" if rate and done < total else ""
        line = f"{self.what}: {done:,} of {total:,} ({rate:,.0f}/s{left})"
        click.echo(f"\r\033[K{line}" if self.live else line, err=True, nl=not self.live)


def duration(seconds: float) -> str:
    """`1:05`, `2:03:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Stages:
    """A `Progress` per stage, begun when the stage first reports."""

    def __init__(self) -> None:
        self.name = ""
        self.line: Progress | None = None

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *_: object) -> None:
        if self.line is not None:
            self.line.__exit__()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report `done` of `total` in `stage`."""
        if stage != self.name or self.line is None:
            self.__exit__()
            self.name, self.line = stage, Progress(stage)
        self.line(done, total)


def announcer() -> Callable[[str], Progress]:
    """Says each step, and gives it a progress line that ends the one before."""
    current: list[Progress] = []

    def announce(what: str) -> Progress:
        for progress in current:
            progress.__exit__()
        say(what)
        current[:] = [Progress("  ")]
        return current[0]

    return announce
