"""Learning rate and temperature as pure functions of how far the training is.

`progress` counts finished epochs as a real number: 0 at the first step, 1 after the first epoch. `epoch` counts 1, 2, ...
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reid_data.errors import InputError, unknown_name
from reid_data.text_files import read_table

VERSIONS = {"rate-schedules": 1, "temperature-schedules": 1}  # DECAYS and warmup; TEMPERATURES


def step_decay(progress: float, epochs: int, steps: Sequence[int], gamma: float) -> float:
    """1, multiplied by `gamma` after each of the epochs `steps`."""
    return float(gamma ** sum(progress >= step for step in steps))


def cosine_decay(progress: float, epochs: int, steps: Sequence[int], gamma: float) -> float:
    """From 1 to 0 along half a cosine over `epochs` (Loshchilov & Hutter, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress / epochs, 1)))


def no_decay(progress: float, epochs: int, steps: Sequence[int], gamma: float) -> float:
    """1."""
    return 1.0


DECAYS: dict[str, Callable[[float, int, Sequence[int], float], float]] = {
    "step": step_decay,
    "cosine": cosine_decay,
    "constant": no_decay,
}


def warmup(progress: float, warmup_epochs: int, warmup_factor: float) -> float:
    """From `warmup_factor` to 1 in a straight line over `warmup_epochs`; 1 afterwards."""
    if progress >= warmup_epochs:
        return 1.0
    return warmup_factor + (1 - warmup_factor) * progress / warmup_epochs


def constant_temperature(epoch: int, epochs: int, start: float, end: float) -> float:
    """T."""
    return start


def log_up(epoch: int, epochs: int, start: float, end: float) -> float:
    """T (1 + ln e)."""
    return start * (1 + math.log(epoch))


def log_down(epoch: int, epochs: int, start: float, end: float) -> float:
    """T / (1 + ln e)."""
    return start / (1 + math.log(epoch))


def linear_temperature(epoch: int, epochs: int, start: float, end: float) -> float:
    """From `start` in the first epoch to `end` in the last, in a straight line."""
    return start + (end - start) * _part(epoch, epochs)


def cosine_temperature(epoch: int, epochs: int, start: float, end: float) -> float:
    """From `start` in the first epoch to `end` in the last, along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * _part(epoch, epochs)))


def _part(epoch: int, epochs: int) -> float:
    return (epoch - 1) / (epochs - 1) if epochs > 1 else 0.0


TEMPERATURES: dict[str, Callable[[int, int, float, float], float]] = {
    "constant": constant_temperature,
    "log-up": log_up,
    "log-down": log_down,
    "linear": linear_temperature,
    "cosine": cosine_temperature,
}
"""name -> function of (epoch, epochs, start, end). `learned` and `file`
are no functions of the epoch alone: see parts.temperatures."""


def temperature_at(kind: str, epoch: int, epochs: int, start: float, end: float) -> float:
    """The temperature in force in `epoch` = 1, 2, ... under the schedule `kind`."""
    if kind not in TEMPERATURES:
        raise unknown_name("temperature schedule", kind, TEMPERATURES)
    return TEMPERATURES[kind](epoch, epochs, start, end)


def _temperature_row(path: Path, line: int, row: Mapping[str, str]) -> tuple[int, float]:
    try:
        return int(row["epoch"]), float(row["temperature"].replace(",", "."))  # 0,07 as some spreadsheets write it
    except ValueError as error:
        raise InputError(
            f"'{path}' line {line}: expected an epoch and a temperature, such as 1 and 0.07 ({error})."
        ) from error


def read_temperatures(path: Path, epochs: int) -> Mapping[int, float]:
    """epoch -> temperature from a CSV with the header `epoch,temperature` and a row for each of 1 .. `epochs`.

    Raises InputError if the file is unreadable, or an epoch is missing, doubled or not above 0.
    """
    if not path.is_file():
        raise InputError(f"--temperature-schedule file:{path}: no such file.")
    rows = [_temperature_row(path, line, row) for line, row in read_table(path, ("epoch", "temperature"))]
    values = dict(rows)
    missing = [epoch for epoch in range(1, epochs + 1) if epoch not in values]
    if missing or len(values) != len(rows):
        what = f"epoch {missing[0]} is missing" if missing else "an epoch comes twice"
        raise InputError(f"'{path}': {what}; expected one row for each epoch from 1 to {epochs}.")
    wrong = [epoch for epoch, value in rows if not (value > 0 and math.isfinite(value))]
    if wrong:
        raise InputError(
            f"'{path}': the temperature of epoch {wrong[0]} is {values[wrong[0]]}; expected a number above 0."
        )
    return values
