"""The `reid-train fit` command of a cell: what a child process runs, and what goes into a file for any scheduler."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from reid_train.matrix.cells import Cell, Column, Machine
from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings

PATHS = ("weights", "temperature_schedule")


def fit_command(cell: Cell, tests: Sequence[Column], machine: Machine) -> list[str]:
    """Arguments of `reid-train` that train a cell, unless that is done, and test it on `tests`; paths are absolute.

    A finished run is evaluated.
    """
    if cell.training.run:
        command = ["evaluate", str(cell.folder.absolute()), *_places(tests, machine)]
        settings = cell.training.settings.as_dict("test")
        return command + [part for name, value in settings.items() for part in _flag(name, value)]
    parts = [_absolute(part.name) + ("" if part.share == 1 else f":{part.share!r}") for part in cell.training.parts]
    command = ["fit", "--train", ",".join(parts), "--name", cell.place, *_places(tests, machine)]
    return command + _settings(cell.training.settings)


def _places(tests: Sequence[Column], machine: Machine) -> list[str]:
    """What is tested, and where and how everything runs."""
    command = ["--test", ",".join(_absolute(test.name) for test in tests)] if tests else []
    command += ["--runs", str(machine.runs.absolute()), "--data-root", str(machine.data_root.absolute())]
    command += ["--device", machine.device]
    return command + ([] if machine.workers is None else ["--workers", str(machine.workers)])


def _flag(name: str, value: object) -> list[str]:
    """A setting of the tests as a flag."""
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no_{name}")]
    return [flag(name), _text(name, value)]


def _settings(settings: TrainSettings) -> list[str]:
    """`--set KEY=VALUE` for what differs from the defaults."""
    values, defaults = settings.as_dict(), TrainSettings().as_dict()
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    return [part for name, value in changed.items() for part in ("--set", f"{flag(name)[2:]}={_text(name, value)}")]


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, float) else str(value)
    if name in PATHS:
        kind, colon, path = text.rpartition("file:")
        return f"{kind}{colon}{_absolute(path)}"
    return text


def _absolute(name: str) -> str:
    """A path, if it is one (it has a slash), from the root; a diagnostic's two sets each."""
    base, swap, other = name.partition("@swap:")
    texts = [str(Path(text).expanduser().absolute()) if "/" in text else text for text in (base, other)]
    return texts[0] + swap + texts[1]


def export_commands(cells: Sequence[Cell], tests: Sequence[Column], machine: Machine) -> list[str]:
    """A shell command for each cell that is not done, none of which needs another; in any order, on any machine."""
    lines = []
    for cell in cells:
        missing = cell.missing_tests(tests)
        if missing or not cell.done:
            lines.append(shlex.join(["reid-train", *fit_command(cell, missing, machine)]))
    return lines
