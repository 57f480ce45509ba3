"""The trainings of a plan as cells: their data, keys and folders, and what of them is there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from reid_data.compose.views import content_digest, load_test_set, read_over
from reid_data.datasets import load_dataset
from reid_data.errors import InputError, ReidError, UsageError
from reid_data.files import AnyPath, require_space
from reid_data.records import Card, ReidDataset, count_split
from reid_train.evaluation.protocol import chance_map
from reid_train.matrix.plan import Plan, Training
from reid_train.runs.folder import finished, read_settings, test_key
from reid_train.runs.result import RunResult, read_result
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import take_part
from reid_train.training.fit import identify
from reid_train.training.versions import score_versions

CELLS_FOLDER = "cells"
# A run folder by backbone: float32 weights in the model file, and again in the state file with two Adam moments.
BYTES_PER_RUN = {"resnet18": 190_000_000, "resnet34": 350_000_000, "resnet50": 400_000_000, "resnet101": 710_000_000}
OTHER_BYTES = 400_000_000


@dataclass(frozen=True, init=False)
class Machine:
    """Where and how the grid runs; nothing here changes a result but the device type."""

    runs: Path
    data_root: Path
    device: str
    workers: int | None

    def __init__(self, runs: AnyPath, data_root: AnyPath, device: str = "auto", workers: int | None = None) -> None:
        vars(self).update(runs=Path(runs), data_root=Path(data_root), device=device, workers=workers)


@dataclass(frozen=True)
class Column:
    """A column: the set's name as typed, the set, the digest of all that its pictures depend on, the chance level."""

    name: str
    dataset: ReidDataset
    digest: str
    chance: float


@dataclass(frozen=True)
class Cell:
    """One training with what it needs: its sets, its key and its run folder, the digest of each set that is whole.

    `test_keys`: the key of its test on each column, by the column's name.
    """

    training: Training
    datasets: tuple[ReidDataset, ...]
    key: str
    folder: Path
    digests: Mapping[str, str]
    test_keys: Mapping[str, str]

    @property
    def place(self) -> str:
        """The run folder below the folder of all runs."""
        return self.training.run or f"{CELLS_FOLDER}/{self.folder.name}"

    def result(self) -> RunResult | None:
        """The result of this very training, None if it is not finished."""
        return finished(self.folder, self.key)

    @property
    def done(self) -> bool:
        """Whether the training is finished."""
        return self.result() is not None

    def missing_tests(self, tests: Sequence[Column]) -> list[Column]:
        """The columns on which this training has not been tested yet, or not as the set is now."""
        result = self.result()
        if result is None:
            return list(tests)
        keys = {name: entry["test_key"] for name, entry in result.tests.items()}
        return [test for test in tests if keys.get(test.dataset.name) != self.test_keys[test.name]]


Work = tuple[Cell, list[Column]]
"""A cell with something to do, and the columns that it still needs."""


def prepare(plan: Plan, machine: Machine, *, need_space: bool = True) -> tuple[list[Cell], list[Column]]:
    """Load and check everything before the first epoch: sets, weights, settings, space. Raises ReidError."""

    @cache
    def load(name: str) -> tuple[ReidDataset, str]:
        dataset = load_test_set(name, machine.data_root)
        return dataset, content_digest(dataset)

    tests = [Column(name, *load(name), _chance(name, load(name)[0])) for name in plan.tests]
    _refuse_twins("--test", [test.dataset.name for test in tests])
    cells = [_prepare_cell(training, load, machine, tests) for training in plan.trainings]
    _refuse_twins("--train", [cell.folder.name for cell in cells])
    if need_space:
        require_space(machine.runs, space(cells))
    return cells, tests


def space(cells: Sequence[Cell]) -> int:
    """About how many bytes the trainings that are still to come will take."""
    return sum(BYTES_PER_RUN.get(cell.training.settings.backbone, OTHER_BYTES) for cell in cells if not cell.done)


def _refuse_twins(flag: str, names: Sequence[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(f"{flag}: two entries come to the same, {', '.join(twins)}. Leave one out.")


def _prepare_cell(
    training: Training, load: Callable[[str], tuple[ReidDataset, str]], machine: Machine, tests: Sequence[Column]
) -> Cell:
    if training.run:
        return _finished_cell(training, machine, tests)
    settings = training.settings
    datasets = tuple(take_part(load(part.name)[0], part.share, settings.seed) for part in training.parts)
    for dataset in datasets:
        if count_split(dataset.train)["ids"] < 2:
            raise InputError(f"'{dataset.name}' cannot be trained on: its train split has fewer than 2 identities.")
    place = machine.runs / CELLS_FOLDER
    key = identify(settings, datasets, device=machine.device, data_root=machine.data_root).train_key
    digests = {part.name: load(part.name)[1] for part in training.parts}
    return Cell(training, datasets, key, place / training.folder(key), digests, _test_keys(key, settings, tests))


def _finished_cell(training: Training, machine: Machine, tests: Sequence[Column]) -> Cell:
    """A finished run as a cell: its own training settings, the grid's settings of tests, its sets where they are found."""
    folder = machine.runs / training.run
    result = read_result(folder) if folder.is_dir() else None
    if result is None:
        raise InputError(
            f"--train {training.train}: '{folder}' is no finished run. Expected the name of one below --runs."
        )
    settings = read_settings(folder).replace(**training.settings.as_dict("test"))
    axes = tuple((name, getattr(settings, name)) for name, _ in training.axes)
    datasets = tuple(_known_set(name, machine.data_root) for name in result.train_sets)
    keys = _test_keys(result.train_key, settings, tests)
    return Cell(replace(training, settings=settings, axes=axes), datasets, result.train_key, folder, {}, keys)


def _known_set(name: str, data_root: Path) -> ReidDataset:
    """A set that a finished run was trained on, without its part; one that is not here any more is known by its name alone."""
    whole = name.partition(":")[0]
    try:
        return load_dataset(whole, data_root)
    except ReidError:
        return ReidDataset(Card(name=whole), data_root / whole, [], [], [])


def _test_keys(key: str, settings: TrainSettings, tests: Sequence[Column]) -> dict[str, str]:
    """The key of each test, by the column's name."""
    return {test.name: test_key(key, settings, _digest(test, settings), versions=score_versions()) for test in tests}


def _digest(test: Column, settings: TrainSettings) -> str:
    """The digest of a column as a test under these settings sees it (see `testing.test`)."""
    if settings.matte_colour is None:
        return test.digest
    return content_digest(read_over(test.dataset, settings.matte_colour))


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
