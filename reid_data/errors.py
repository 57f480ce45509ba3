"""What a user can be told: the few kinds of error, each with its exit code."""

import difflib
import os
from collections.abc import Iterable


class ReidError(Exception):
    """An error in the user's words: what was wrong, expected against got, what to do. `exit_code` ends the process."""

    exit_code = 3


class UsageError(ReidError):
    """A name, flag or setting that cannot be meant (exit code 2)."""

    exit_code = 2


class InputError(ReidError):
    """Input that cannot be used as a whole: no images, wrong layout, empty split (exit code 3)."""

    exit_code = 3


class EnvironmentFault(ReidError):
    """Space, permission, missing weights, an output held by another process, something refused (exit code 4)."""

    exit_code = 4


class ImageError(ReidError):
    """One image that cannot be used. Becomes one status row; never stops a run."""


def unknown_name(kind: str, got: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that is in no table: the sorted choices and the nearest match."""
    names = sorted(map(printable, choices))
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UsageError(f"unknown {kind} '{printable(got)}'.{hint} Choose one of: {', '.join(names) or '(none)'}.")


def printable(name: str | os.PathLike[str]) -> str:
    """A file name fit for a terminal or a log: bytes that are not UTF-8, and control characters, as escapes."""
    text = os.fspath(name).encode("utf-8", "backslashreplace").decode("utf-8")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay."""
    return "\n".join(map(printable, text.split("\n")))
