"""Run a plan: every training once, every test of it, then the tables. The same call again does only what is missing."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.datasets import load_dataset
from reid_data.datasets.card import card_as_parent
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import InputError, ReidError
from reid_data.files import make_folder, only_writer, require_space, write_json
from reid_data.records import ReidDataset, count_split
from reid_train import train
from reid_train.data import take_part
from reid_train.evaluate.protocol import chance_map
from reid_train.matrix.plan import Plan, Training
from reid_train.run_folder import finished

logger = logging.getLogger("reid_train")
SCHEMA = "reid-matrix/1"
CELLS_FOLDER = "cells"
# A run folder by backbone: float32 weights in the model file, and again in the state file with two Adam moments.
BYTES_PER_RUN = {"resnet18": 190_000_000, "resnet34": 350_000_000, "resnet50": 400_000_000, "resnet101": 710_000_000}

Progress = Callable[[int, int], None]
Announce = Callable[[str], Progress | None]


@dataclass(frozen=True)
class Machine:
    """Where and how the grid runs; nothing here changes a result but the device type."""

    runs: Path
    data_root: Path
    device: str = "auto"
    workers: int | None = None


@dataclass(frozen=True)
class Cell:
    """One training with what it needs: its sets, its key and its run folder; `done` if it is finished already."""

    training: Training
    datasets: tuple[ReidDataset, ...]
    key: str
    folder: Path
    done: bool


def prepare(plan: Plan, machine: Machine) -> tuple[list[Cell], dict[str, ReidDataset]]:
    """Load and check everything before the first epoch: sets, weights, settings, space. Raises ReidError.

    Returns the trainings with their keys, and the test sets by name as typed.
    """
    loaded: dict[str, ReidDataset] = {}

    def load(name: str) -> ReidDataset:
        if name not in loaded:
            loaded[name] = load_dataset(name, machine.data_root)
        return loaded[name]

    tests = {name: load(name) for name in plan.tests}
    for name, dataset in tests.items():
        _chance(name, dataset)
    cells = [_prepare_cell(training, load, machine) for training in plan.trainings]
    require_space(machine.runs, sum(BYTES_PER_RUN[cell.training.settings.backbone] for cell in cells if not cell.done))
    return cells, tests


def _prepare_cell(training: Training, load: Callable[[str], ReidDataset], machine: Machine) -> Cell:
    settings = training.settings
    datasets = tuple(_part(load(part.name), part.share, settings.seed) for part in training.parts)
    for dataset in datasets:
        if count_split(dataset.train)["ids"] < 2:
            raise InputError(f"'{dataset.name}' cannot be trained on: its train split has fewer than 2 identities.")
    place = machine.runs / CELLS_FOLDER
    key = train.plan(settings, datasets, place, device=machine.device, data_root=machine.data_root)["train_key"]
    folder = place / training.folder(key)
    return Cell(training, datasets, key, folder, finished(folder, key) is not None)


def _part(dataset: ReidDataset, share: float, seed: int) -> ReidDataset:
    return dataset if share == 1 else take_part(dataset, share, seed)


def run_matrix(plan: Plan, folder: Path, machine: Machine, announce: Announce) -> dict[str, Any]:
    """Run what is missing of `plan` and write `results.json` into `folder`; returns that document.

    `announce(what)` is called before each training and test and returns where its progress goes. A cell that fails with
    a ReidError is recorded with its reason and the grid goes on.
    """
    cells, tests = prepare(plan, machine)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "axes": [name for name, _ in plan.trainings[0].axes],
        "tests": {name: _test_facts(name, dataset) for name, dataset in tests.items()},
        "trainings": [],
        "cells": [],
    }
    with only_writer(make_folder(folder)):
        for number, cell in enumerate(cells, 1):
            row, squares = _run_cell(cell, tests, machine, partial(_numbered, announce, f"[{number}/{len(cells)}]"))
            document["trainings"].append(row)
            document["cells"] += squares
        write_json(folder / "results.json", document)
    return document


def _numbered(announce: Announce, place: str, what: str) -> Progress | None:
    return announce(f"{place} {what}")


def _run_cell(
    cell: Cell, tests: Mapping[str, ReidDataset], machine: Machine, announce: Announce
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train and test one row of the grid; its entry under `trainings` and its entries under `cells`."""
    training = cell.training
    how: dict[str, Any] = {"device": machine.device, "workers": machine.workers}
    common = {"train": training.train, "seed": training.settings.seed, "axes": dict(training.axes)}
    row: dict[str, Any] = {
        **common,
        "key": cell.key,
        "run": f"{CELLS_FOLDER}/{cell.folder.name}",
        "status": "ok",
        "reason": "",
    }
    row["sets"] = [card_as_parent(dataset.card) for dataset in cell.datasets]
    try:
        progress = announce(f"{training.label}: {'already trained' if cell.done else 'training'}")
        result = train.fit(
            training.settings, cell.datasets, cell.folder, progress=progress, data_root=machine.data_root, **how
        )
        row["unreadable"] = len(result.unreadable)
    except ReidError as error:
        row.update(status="failed", reason=str(error))
    squares = []
    for name, dataset in tests.items():
        square: dict[str, Any] = {
            **common,
            "test": name,
            "status": row["status"],
            "reason": row["reason"],
            "metrics": {},
        }
        if row["status"] == "ok":
            try:
                result = train.test(
                    cell.folder, dataset, progress=announce(f"{training.label}: testing on {name}"), **how
                )
                square["metrics"] = result.metrics[dataset.name]
                square["unreadable"] = len(result.tests[dataset.name]["unreadable"])
            except ReidError as error:
                square.update(status="failed", reason=str(error))
        squares.append(square)
    return row, squares


def _test_facts(name: str, dataset: ReidDataset) -> dict[str, Any]:
    card = {key: value for key, value in asdict(dataset.card).items() if key != "parents"}
    counts = {split: count_split(dataset.split(split)) for split in ("query", "gallery")}
    return {"digest": dataset_digest(dataset), "chance_mAP": _chance(name, dataset), "counts": counts, "card": card}


def _chance(name: str, dataset: ReidDataset) -> float:
    """The mAP of random rankings on a test set. Raises InputError if it cannot be a test set."""
    if not dataset.query or not dataset.gallery:
        raise InputError(
            f"'{name}' cannot be tested on: it has {len(dataset.query)} query and {len(dataset.gallery)} gallery images."
        )
    ids = [np.array([(record.pid, record.camid) for record in part]).T for part in (dataset.query, dataset.gallery)]
    try:
        return chance_map(ids[0][0], ids[0][1], ids[1][0], ids[1][1])
    except ReidError as error:
        raise InputError(f"'{name}' cannot be tested on: {error}") from error


def num_failed(document: Mapping[str, Any]) -> int:
    """Failed cells and unreadable images of a finished matrix: anything above 0 is exit code 1."""
    failed = sum(cell["status"] != "ok" for cell in document["cells"])
    return failed + sum(row.get("unreadable", 0) for row in (*document["trainings"], *document["cells"]))
