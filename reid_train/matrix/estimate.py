"""How long a grid will take, from runs that are there, else from a step or two of the very network."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from reid_data.costs import COSTS_FILE, read_costs
from reid_data.errors import InputError
from reid_train.arithmetic import Arithmetic
from reid_train.matrix.cells import Cell, Column, Machine
from reid_train.processes.group import pick_device
from reid_train.runs.folder import read_settings
from reid_train.settings.train import TrainSettings
from reid_train.training.parts import make_net, steps_an_epoch

ALIKE = ("backbone", "size", "last_stride", "patch_stride", "amp")
TRIAL_IMAGES = {"cpu": 4, "cuda": 64}
FORWARD_SHARE = 1 / 3


@dataclass(frozen=True)
class Speed:
    """Images a second in training; `source` says where the figure is from."""

    images_per_second: float
    source: str


def estimate_seconds(cells: Sequence[Cell], tests: Sequence[Column], machine: Machine, jobs: int) -> tuple[float, str]:
    """About how long what is missing will take with `jobs` at once, and what the estimate rests on.

    A test is taken as a third of a training step per image (the forward pass); reading images and making masks is not
    counted.
    """
    device = pick_device(machine.device)
    speeds: dict[tuple[Any, ...], Speed] = {}
    total = 0.0
    for cell in cells:
        missing = cell.missing_tests(tests)
        if cell.done and not missing:
            continue
        settings = cell.training.settings
        kind = tuple(getattr(settings, name) for name in ALIKE)
        if kind not in speeds:
            speeds[kind] = _known_speed(settings, machine.runs, device) or _trial(settings, device)
        images = 0.0 if cell.done else float(_images_seen(cell))
        images += FORWARD_SHARE * sum(len(test.dataset.query) + len(test.dataset.gallery) for test in missing)
        total += images / speeds[kind].images_per_second
    return total / jobs, "; ".join(sorted({speed.source for speed in speeds.values()}))


def _images_seen(cell: Cell) -> int:
    settings = cell.training.settings
    records = sum(len(dataset.train) for dataset in cell.datasets)
    return settings.epochs * steps_an_epoch(settings, records) * settings.batch_size * settings.accumulation


def _known_speed(settings: TrainSettings, runs: Path, device: torch.device) -> Speed | None:
    """The median speed of finished runs below `runs` with a network, input and kind of device like this."""
    found = []
    for path in sorted([*runs.glob(f"*/{COSTS_FILE}"), *runs.glob(f"*/*/{COSTS_FILE}")]):
        try:
            costs, other = read_costs(path.parent), read_settings(path.parent)
        except InputError:
            continue  # a run that cannot be read is none to learn from
        same_device = (costs.get("device") == "cpu") == (device.type == "cpu")
        if same_device and all(getattr(settings, name) == getattr(other, name) for name in ALIKE):
            found.append(costs.get("train_images_per_second", 0))
    speeds = [speed for speed in found if speed > 0]
    return Speed(median(speeds), f"{len(speeds)} finished runs like these") if speeds else None


def _trial(settings: TrainSettings, device: torch.device) -> Speed:
    """Time one training step after another that warms up, on a few images of noise."""
    number = TRIAL_IMAGES.get(device.type, TRIAL_IMAGES["cpu"])
    net = make_net(settings, 8).to(device).train()
    arithmetic = Arithmetic(device, "none", *(settings.norm_numbers or ((0.5,) * 3, (0.25,) * 3)))
    images = torch.zeros((number, *settings.height_width, 3), dtype=torch.uint8)
    seconds = 0.0
    for _ in range(2):
        before = time.monotonic()
        net(arithmetic.to_input(images)).classified.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.monotonic() - before
    return Speed(number / seconds, "a trial step, which is rough")
