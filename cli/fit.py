"""`reid-train fit`: train a model and test it; and what the other commands about runs share."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import InputError, UsageError

from .errors import EXIT_FAILED_ITEMS
from .options import (
    Progress,
    data_root_option,
    dry_run_option,
    json_option,
    limit_option,
    names_list,
    say,
    workers_option,
)
from .sets import notice
from .settings import collect_settings, recipe_option, set_option, settings_options

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.runs.result import RunResult
    from reid_train.settings.train import TrainSettings

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that holds the runs.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where to compute."
)


def training_sets(spec: str, data_root: Path, seed: int, limit: int | None) -> "list[ReidDataset]":
    """The sets of `--train A,B:0.3`: a part after a colon takes that share of the training images."""
    from reid_data.datasets import load_dataset
    from reid_train.training.batches import take_first, take_part

    sets = []
    for entry in names_list(spec):
        name, colon, part = entry.rpartition(":")
        fraction = _fraction(part) if colon else None
        dataset = load_dataset(entry if fraction is None else name, data_root)
        notice(dataset)
        dataset = dataset if fraction is None else take_part(dataset, fraction, seed)
        sets.append(dataset if limit is None else take_first(dataset, limit))
    if not sets:
        raise UsageError("--train names no data set.")
    return sets


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 < value <= 1:
        raise UsageError(f"--train ...:{text}: expected a share above 0 and at most 1.")
    return value


@contextmanager
def epoch_lines() -> Iterator[None]:
    """Show the training's log lines on stderr while the block runs."""
    logger = logging.getLogger("reid_train")
    handler = logging.Handler()
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@click.command()
@click.option("--train", "train_spec", required=True, metavar="SET[:SHARE],...", help="Training sets, by name or path.")
@click.option(
    "--test", "test_spec", metavar="SET,...", help="Sets to test on afterwards; SET@foreground and others: diagnostics."
)
@click.option("--name", help="Name of the run.  [default: the training sets' names]")
@runs_option
@data_root_option
@recipe_option
@set_option
@settings_options()
@device_option
@workers_option
@click.option(
    "--nproc",
    type=click.IntRange(min=1),
    help="Processes that share each batch, one per GPU.",
)
@limit_option("Train on at most N images of each set, those of its first identities: for trying things out.")
@dry_run_option
@json_option
def fit(
    train_spec: str,
    test_spec: str | None,
    name: str | None,
    runs: Path,
    data_root: Path,
    recipe: str | None,
    assignments: tuple[str, ...],
    device: str,
    workers: int | None,
    nproc: int | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Train a model, then test it. The same command again continues an interrupted run, or says that it is done.

    \b
    Example:
      reid-train fit --train market --test market,duke --name base
      reid-train fit --train market --backbone resnet18 --size 64x32 --epochs 5 --weights none
      reid-train fit --train market,composite:0.3 --recipe my.toml --set lr=1e-3
    """
    from .grid import recipe_path

    settings = collect_settings(flags, recipe_path(recipe), assignments)
    sets = training_sets(train_spec, data_root, settings.seed, limit)
    folder = runs / (name or "+".join(dataset.name.replace(":", "-") for dataset in sets))
    tests = test_sets(test_spec, data_root)
    if dry_run:
        from reid_train.training.fit import plan

        return _show_plan(plan(settings, sets, folder, device=device, data_root=data_root, processes=nproc), as_json)
    result = _train(settings, sets, folder, {"device": device, "workers": workers, "data_root": data_root}, nproc)
    if int(os.environ.get("RANK", "0")) > 0:
        return 0
    result = run_tests(result, folder, tests, device, workers, settings.as_dict("test"))
    return finish(result, folder, [dataset.name for dataset in tests], as_json)


def _train(
    settings: "TrainSettings", sets: "list[ReidDataset]", folder: Path, how: dict[str, Any], nproc: int | None
) -> "RunResult":
    """Train in this process (one of several, if torchrun started it), or in `nproc` new ones."""
    if nproc is None or nproc == 1:
        return train_here(settings, sets, folder, how)
    from reid_train.processes.launch import launch

    if "RANK" in os.environ:
        raise UsageError("--nproc starts the processes itself: leave it out under torchrun.")
    return launch(train_here, (settings, sets, folder, how), nproc)


def train_here(settings: "TrainSettings", sets: "list[ReidDataset]", folder: Path, how: dict[str, Any]) -> "RunResult":
    """Train in this process; the first of several shows the progress."""
    from reid_train.training.fit import fit as train

    if int(os.environ.get("RANK", "0")) > 0:
        return train(settings, sets, folder, **how)
    with epoch_lines(), Progress("training") as progress:
        return train(settings, sets, folder, progress=progress, **how)


def test_sets(spec: str | None, data_root: Path) -> "list[ReidDataset]":
    """The sets of `--test A,B@background`, loaded. Raises InputError for one without query or gallery."""
    from reid_data.compose.views import load_test_set

    sets = [load_test_set(entry, data_root) for entry in names_list(spec)]
    for dataset in sets:
        notice(dataset)
        if not dataset.query or not dataset.gallery:
            raise InputError(
                f"{dataset.name} has {len(dataset.query)} query and {len(dataset.gallery)} gallery images: it cannot be a test set."
            )
    return sets


def run_tests(
    result: "RunResult",
    folder: Path,
    tests: "list[ReidDataset]",
    device: str,
    workers: int | None,
    changes: dict[str, Any],
) -> "RunResult":
    """Test the run on each set, with progress; `changes`: test settings that replace the run's own."""
    from reid_train.testing import test as run_test

    for dataset in tests:
        with epoch_lines(), Progress(f"testing on {dataset.name}") as progress:
            result = run_test(folder, dataset, device=device, workers=workers, progress=progress, changes=changes)
    return result


def _show_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(plan, indent=2))
        return 0
    for key, value in plan.items():
        click.echo(f"{key.replace('_', ' ')}: {value}")
    return 0


def finish(result: "RunResult", folder: Path, tested: list[str], as_json: bool) -> int:
    """Print the result; exit code 1 if images were left out."""
    from dataclasses import asdict

    if as_json:
        click.echo(json.dumps({"folder": str(folder), **asdict(result)}, indent=2, sort_keys=True))
    else:
        last = result.training
        trained_on = f"{result.num_images} images of {result.num_classes} identities"
        click.echo(f"{folder}: {trained_on}, {last['epoch']:.0f} epochs, loss {last['loss']:.3f}")
        for name in tested:
            click.echo(f"  on {name}: {metrics_line(result.metrics[name])}")
    rows = [row for name in tested for row in result.tests[name]["unreadable"]]
    return tell_unreadable([*result.unreadable, *rows])


def tell_unreadable(rows: list[dict[str, str]]) -> int:
    """Say that images were left out; the exit code."""
    if not rows:
        return 0
    say(f"{len(rows)} images could not be read and were left out; the first: {rows[0]['name']} {rows[0]['reason']}")
    return EXIT_FAILED_ITEMS


def metrics_line(metrics: dict[str, float]) -> str:
    """`mAP 83.5, rank-1 93.1, ...` in percent."""
    ranks = sorted(
        (name for name in metrics if name.startswith("rank-")), key=lambda name: int(name.removeprefix("rank-"))
    )
    shown = [name for name in ("mAP", "mINP", *ranks) if name in metrics]
    return ", ".join(f"{name} {100 * metrics[name]:.1f}" for name in shown)
