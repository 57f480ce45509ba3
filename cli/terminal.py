"""What a person sees on stderr: lines, progress and errors; drawn with rich on a terminal, else as plain lines.

rich is imported when something is drawn, never for `--help`. Nothing is drawn where TERM is dumb; colours follow NO_COLOR,
FORCE_COLOR, CLICOLOR_FORCE and CLICOLOR. Names are data: neither markup nor control characters in them are obeyed.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from reid_data.errors import printable, printable_lines
from reid_data.records import TRANSPARENT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

QUIET_SECONDS = 10
FRAME_SECONDS = 0.1
MIN_BAR = 6
_shown: "list[Console]" = []


def drawn(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which lines can be drawn over."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def coloured(stream: TextIO) -> bool:
    """Whether to write colours and bold to `stream`."""
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return drawn(stream) and os.environ.get("CLICOLOR") != "0"


def console(stream: TextIO) -> "Console":
    """rich's view of a terminal, which does nothing to text on its own accord."""
    from rich.console import Console

    colours = "auto" if coloured(stream) else None
    return Console(file=stream, force_terminal=True, color_system=colours, markup=False, emoji=False, highlight=False)  # type: ignore[arg-type]


def seen_through(reasons: Iterable[str]) -> str:
    """How many pictures were left out because they are transparent, and the flag to use, as a part of a sentence; or nothing."""
    number = sum(reason == TRANSPARENT for reason in reasons)
    return f" ({number:,} with transparent pixels: --matte R,G,B reads them over that colour)" if number else ""


def show(text: str, *, nl: bool = True) -> None:
    """A result on stdout."""
    click.echo(printable_lines(text), nl=nl)


def say(message: str) -> None:
    """One line for the person, on stderr, above a bar if there is one."""
    if not _shown:
        click.echo(printable_lines(message), err=True)
        return
    from rich.text import Text

    _shown[-1].print(Text(printable_lines(message)), soft_wrap=True)


def tell_failed(failed: Sequence[tuple[str, str]], root: Path) -> None:
    """How many pictures of a set written to `root` could not be used, each a (name, reason), and the first; nothing if none."""
    if failed:
        glass = seen_through(reason for _, reason in failed)
        say(f"{len(failed):,} images could not be used{glass}; the reasons are in '{root / 'manifest.jsonl'}'.")
        say(f"  the first: {printable(failed[0][0])} {failed[0][1]}")


def show_error(message: str, hint: str = "") -> None:
    """An error on stderr: between rules on a terminal, so that commands in it can be copied, else after `Error: `."""
    if not drawn(sys.stderr):
        click.echo((f"{hint}\n\n" if hint else "") + f"Error: {printable_lines(message)}", err=True)
        return
    from rich.rule import Rule
    from rich.text import Text

    screen = console(sys.stderr)
    screen.print(Rule("Error", style="red", align="left"))
    screen.print(Text(printable_lines(message)), soft_wrap=True)
    if hint:
        screen.print(Text(hint, style="dim"), soft_wrap=True)
    screen.print(Rule(style="red"))


class Progress:
    """Progress on stderr with rate and time left: a bar on a terminal, else a plain line every 10 s.

    Call it with (done, total) as often as you like; use it as a context manager. `unit`: "bytes", or "" for a count.
    The bar stays when it ends, whichever way it ends.
    """

    def __init__(self, what: str, unit: str = "") -> None:
        self.what = printable_lines(what)
        self.unit = unit
        self.live = drawn(sys.stderr)
        self.started = time.monotonic()
        self.last = self.started
        self.first: int | None = None
        self.bar: Bar | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
            _shown.pop()

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total`; what was done before the first call (a resumed run) does not count as speed."""
        now = time.monotonic()
        begins = self.first is None
        if self.first is None:
            self.first = done
        since = now - self.last
        if self.live:
            if begins or done >= total or since >= FRAME_SECONDS:
                self.last = now
                self._draw(done, total, now)
        elif since >= QUIET_SECONDS or (done >= total and now - self.started >= QUIET_SECONDS):
            self.last = now
            counts, paces = self._numbers(done, total, now)
            click.echo(f"{self.what}: {counts} ({paces[0]})", err=True)

    def _numbers(self, done: int, total: int, now: float) -> tuple[str, list[str]]:
        """How much of how much; and the pace, at length and shorter."""
        rate = (done - (self.first or 0)) / max(now - self.started, 1e-9)
        left = f"{duration((total - done) / rate)} left" if rate and done < total else ""
        if self.unit == "bytes":
            counts, speed = f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB", f"{rate / 1e6:,.1f} MB/s"
        else:
            counts, speed = f"{done:,} of {total:,}", f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.1f}/s"
        return counts, [", ".join(filter(None, [speed, left])), left, ""]

    def _draw(self, done: int, total: int, now: float) -> None:
        bar = self.bar = self.bar or self._begin()
        counts, paces = self._numbers(done, total, now)
        if done >= total:
            paces.insert(0, f"in {duration(now - self.started)}")
        elif done == self.first:
            paces = [""]
        room = bar.console.width - len(counts) - MIN_BAR - 3
        pace = next(one for one in paces if len(self.what) + len(one) <= room or not one)
        what = self.what if len(self.what) <= room else f"{self.what[: max(room - 1, 0)]}…"
        bar.update(bar.task_ids[0], description=what, completed=done, total=total, counts=counts, pace=pace)
        bar.refresh()

    def _begin(self) -> "Bar":
        """A bar that this process draws when it is told something: no thread that a fork could find half-way."""
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        cells = [
            TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[counts]", "fields[pace]")
        ]
        screen = console(sys.stderr)
        bar = Bar(
            cells[0],
            BarColumn(None),
            *cells[1:],
            console=screen,
            auto_refresh=False,
            redirect_stdout=False,
            expand=True,
        )
        bar.add_task(self.what, counts="", pace="")
        _shown.append(screen)
        bar.start()
        screen.show_cursor(True)  # a process that is killed leaves the terminal with its cursor
        return bar


class Stages:
    """A `Progress` per stage, begun when the stage first reports; call it with (stage, done, total)."""

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


@contextmanager
def announcer() -> Iterator[Callable[[str], Progress]]:
    """A function that says each step and gives it a progress, which ends the one before."""
    current: list[Progress] = []

    def announce(what: str) -> Progress:
        for progress in current:
            progress.__exit__()
        say(what)
        current[:] = [Progress("  ")]
        return current[0]

    try:
        yield announce
    finally:
        for progress in current:
            progress.__exit__()


def duration(seconds: float) -> str:
    """`1:05`, `2:03:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
