"""`reid-train` commands about one model: fit, evaluate, extract, options, fetch-weights."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import InputError, UsageError
from reid_train.config import TrainSettings, default_text, fields, flag, from_assignments, from_toml

from .errors import EXIT_FAILED_ITEMS
from .options import (
    Decorator,
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

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.results import RunResult

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
recipe_option = click.option(
    "--recipe", help="A TOML file that lists the settings that differ from the defaults, or the name of a bundled one."
)
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated."
)


def settings_options(*stages: str) -> Decorator:
    """A flag for every setting of `stages` (none: of all), in the order of their declaration."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(fields().items()):
            if stages and field.metadata["stage"] not in stages:
                continue
            kind = type(field.default)
            spelling = f"{flag(name)}/{flag('no_' + name)}" if kind is bool else flag(name)
            metavar = None if kind is bool else value_form(name)
            shown = f"{field.metadata['help']}  [default: {default_text(name)}]"
            command = click.option(spelling, name, default=None, help=shown, metavar=metavar)(command)
        return command

    return decorate


def value_form(name: str) -> str:
    """What a flag takes, for its help: `pk|random`, `INT`, `HxW`."""
    field = fields()[name]
    return field.metadata["form"] or "|".join(field.metadata["choices"]) or type(field.default).__name__.upper()


def collect_settings(
    flags: dict[str, Any], recipe: Path | None, assignments: tuple[str, ...], base: TrainSettings | None = None
) -> TrainSettings:
    """Settings from, in rising precedence: the defaults, the recipe, `--set`, the flags."""
    settings = from_toml(recipe, base) if recipe is not None else base or TrainSettings()
    given = {name: value for name, value in flags.items() if value is not None}
    return settings.replace(**{**from_assignments(assignments), **given})


def training_sets(spec: str, data_root: Path, seed: int, limit: int | None) -> "list[ReidDataset]":
    """The sets of `--train A,B:0.3`: a part after a colon takes that share of the training images."""
    from reid_data.datasets import load_dataset
    from reid_train.data import take_first, take_part

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
@click.option("--test", "test_spec", metavar="SET,...", help="Sets to test on afterwards.")
@click.option("--name", help="Name of the run.  [default: the training sets' names]")
@runs_option
@data_root_option
@recipe_option
@set_option
@settings_options()
@device_option
@workers_option
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
    tests = _test_sets(test_spec, data_root)
    from reid_train import train

    if dry_run:
        return _show_plan(train.plan(settings, sets, folder, device=device, data_root=data_root), as_json)
    with epoch_lines(), Progress("training") as progress:
        result = train.fit(
            settings, sets, folder, device=device, workers=workers, progress=progress, data_root=data_root
        )
    result = _run_tests(result, folder, tests, device, workers, settings.as_dict("test"))
    return _finish(result, folder, [dataset.name for dataset in tests], as_json)


def _test_sets(spec: str | None, data_root: Path) -> "list[ReidDataset]":
    from reid_data.datasets import load_dataset

    sets = [load_dataset(entry, data_root) for entry in names_list(spec)]
    for dataset in sets:
        notice(dataset)
        if not dataset.query or not dataset.gallery:
            raise InputError(
                f"{dataset.name} has {len(dataset.query)} query and {len(dataset.gallery)} gallery images: it cannot be a test set."
            )
    return sets


def _run_tests(
    result: "RunResult",
    folder: Path,
    tests: "list[ReidDataset]",
    device: str,
    workers: int | None,
    changes: dict[str, Any],
) -> "RunResult":
    from reid_train import train

    for dataset in tests:
        with epoch_lines(), Progress(f"testing on {dataset.name}") as progress:
            result = train.test(folder, dataset, device=device, workers=workers, progress=progress, changes=changes)
    return result


def _show_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(plan, indent=2))
        return 0
    for key, value in plan.items():
        click.echo(f"{key.replace('_', ' ')}: {value}")
    return 0


def _finish(result: "RunResult", folder: Path, tested: list[str], as_json: bool) -> int:
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
    if result.num_failed:
        rows = [*result.unreadable, *(row for test in result.tests.values() for row in test["unreadable"])]
        say(
            f"{result.num_failed} images could not be read and were left out; the first: {rows[0]['name']} {rows[0]['reason']}"
        )
        return EXIT_FAILED_ITEMS
    return 0


def metrics_line(metrics: dict[str, float]) -> str:
    """`mAP 83.5, rank-1 93.1, ...` in percent."""
    shown = [name for name in metrics if name.startswith(("mAP", "mINP", "rank-"))]
    return ", ".join(f"{name} {100 * metrics[name]:.1f}" for name in shown)


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--test", "test_spec", required=True, metavar="SET,...", help="Sets to test on, by name or path.")
@runs_option
@data_root_option
@settings_options("test")
@device_option
@workers_option
@json_option
def evaluate(
    run: str, test_spec: str, runs: Path, data_root: Path, device: str, workers: int | None, as_json: bool, **flags: Any
) -> int:
    """Test a trained run (a name below --runs, or a folder) on query and gallery of data sets.

    \b
    Example:
      reid-train evaluate base --test market,duke
      reid-train evaluate base --test market --test-feature before --flip-test
    """
    folder = run_folder(run, runs)
    tests = _test_sets(test_spec, data_root)
    if not tests:
        raise UsageError("--test names no data set.")
    from reid_train.results import read_result

    result = read_result(folder)
    if result is None:
        raise InputError(f"the run '{folder}' has no finished training: run its fit command first.")
    changes = {name: value for name, value in flags.items() if value is not None}
    result = _run_tests(result, folder, tests, device, workers, changes)
    return _finish(result, folder, [dataset.name for dataset in tests], as_json)


def run_folder(run: str, runs: Path) -> Path:
    """The folder that RUN means: a path with a slash, else a name below `runs`. InputError lists the runs there are."""
    folder = Path(run) if "/" in run else runs / run
    if not folder.is_dir():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        raise InputError(f"there is no run '{folder}'. Below '{runs}': {', '.join(there) or 'none'}.")
    return folder


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def options(as_json: bool) -> None:
    """List every setting: flag, values, default, meaning, source.

    \b
    Example:
      reid-train options
    """
    rows = [
        {
            "setting": name,
            "flag": flag(name),
            "values": "yes|no" if isinstance(field.default, bool) else value_form(name),
            "default": default_text(name),
            "meaning": field.metadata["help"],
            "source": field.metadata["source"],
            "changes": {"train": "the training", "test": "tests only", "run": "no result"}[field.metadata["stage"]],
        }
        for name, field in fields().items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['flag']}  {row['values']}  [{row['default']}]")
        click.echo(f"    {row['meaning']} (source: {row['source']}; changes {row['changes']})")


@click.command("fetch-weights")
@click.argument("backbones", nargs=-1, metavar="[BACKBONE]...")
def fetch_weights(backbones: tuple[str, ...]) -> None:
    """Download ImageNet weights (torchvision, IMAGENET1K_V1) into the cache; the only command that downloads anything.

    \b
    Example:
      reid-train fetch-weights resnet50
    """
    from reid_train.model.weights import fetch_imagenet

    for backbone in backbones or (TrainSettings().backbone,):
        with Progress(f"fetching {backbone} (bytes)") as progress:
            click.echo(str(fetch_imagenet(backbone, progress)))


__all__ = ["evaluate", "fetch_weights", "fit", "options"]
