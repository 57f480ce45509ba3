"""The grid as data: which trainings, which tests. Nothing is read or run here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from reid_data.errors import UsageError
from reid_train.runs.matrix_document import row_name, split_union
from reid_train.settings.train import TrainSettings, fields

RUN_PREFIX = "run:"


@dataclass(frozen=True)
class Part:
    """One data set of a training: its name or path, and the share of its images that is used (1: all)."""

    name: str
    share: float = 1.0


@dataclass(frozen=True)
class Training:
    """One training of the grid: the text of its training sets as typed, those sets, and its settings.

    `axes` are the settings that the grid varies, the seed left out. `run`: the finished run below the runs' folder that is a
    row as it is (`run:NAME`); its settings and axes are read when the grid is prepared.
    """

    train: str
    parts: tuple[Part, ...]
    settings: TrainSettings
    axes: tuple[tuple[str, Any], ...] = ()
    run: str = ""

    @property
    def label(self) -> str:
        """What a training is called: its row, then the seed."""
        return f"{row_name(self.row)}, seed {self.settings.seed}"

    @property
    def row(self) -> dict[str, Any]:
        """Which row of the matrix it belongs to, as the document says it."""
        return {"train": self.train, "axes": dict(self.axes)}

    def folder(self, key: str) -> str:
        """The run folder's name: readable, and unique by the training's key."""
        words = re.sub(r"[^A-Za-z0-9+.=-]+", "_", self.train).strip("_.")
        return f"{words[:80]}-seed{self.settings.seed}-{key[:12]}"


@dataclass(frozen=True)
class Plan:
    """All trainings, in the order of the rows, and the test sets, in the order of the columns."""

    trainings: tuple[Training, ...]
    tests: tuple[str, ...]


def make_plan(
    trains: Sequence[str],
    tests: Sequence[str],
    base: TrainSettings,
    seeds: Sequence[int] = (),
    axes: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Every training set (or union) times every combination of `axes` times every seed (default: the base's).

    An entry `run:NAME` is a finished run, of any kind: one row, which is only tested.

    Raises UsageError for an empty axis, a set named twice, a union that cannot be read, or an unknown setting.
    """
    for what, names in (("--train", trains), ("--test", tests)):
        if not names:
            raise UsageError(f"{what} names no data set: give at least one, as in {what} market,duke.")
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        if repeated:
            raise UsageError(f"{what} names {', '.join(repeated)} more than once.")
    axes = dict(axes or {})
    for name, values in axes.items():
        _check_axis(name, [getattr(base.replace(**{name: value}), name) for value in values])
    finished = [train for train in trains if train.startswith(RUN_PREFIX)]
    varied = tuple((name, None) for name in axes)
    trainings = [Training(train, (), base, varied, _run_name(train)) for train in finished]
    trains = [train for train in trains if train not in finished]
    for train, values, seed in product(trains, product(*axes.values()), seeds or [base.seed]):
        changes = dict(zip(axes, values))
        settings = base.replace(**changes, seed=seed)
        varied = tuple((name, getattr(settings, name)) for name in axes)
        trainings.append(Training(train, union_parts(train), settings, varied))
    return Plan(tuple(trainings), tuple(tests))


def _run_name(text: str) -> str:
    """`run:NAME` -> NAME. Raises UsageError."""
    name = text.removeprefix(RUN_PREFIX)
    if not name or "/" in name or name in (".", ".."):
        raise UsageError(f"--train '{text}': expected run:NAME, with the name of a run below --runs.")
    return name


def _check_axis(name: str, values: Sequence[Any]) -> None:
    if not values or len(set(values)) < len(values):
        raise UsageError(f"--set {name}: expected different values, as in --set {name}=A,B.")
    if fields()[name].metadata["stage"] != "train":
        raise UsageError(
            f"--set {name}: an axis of the grid is a setting of the training, and this one is not. Give one value of it, and make a "
            "grid for each (another --runs)."
        )


def union_parts(text: str) -> tuple[Part, ...]:
    """`market+composite:0.3` -> (Part("market"), Part("composite", 0.3)); `\\+` is a plus in a name. Raises UsageError."""
    parts = []
    for piece in split_union(text):
        name, colon, share_text = piece.rpartition(":")
        if not colon:
            name, share_text = piece, "1"
        try:
            share = float(share_text)
        except ValueError:
            share = 0.0
        if not name or not 0 < share <= 1:
            raise UsageError(f"--train '{text}': expected NAME or NAME+NAME:SHARE with a share above 0 and at most 1.")
        parts.append(Part(name, share))
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise UsageError(f"--train '{text}' names a set twice.")
    return tuple(parts)
