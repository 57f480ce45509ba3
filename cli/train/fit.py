"""`reid-train fit`: train a model and test it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError

from ..options import data_root_option, dry_run_option, json_option, limit_option, workers_option
from ..runs import device_option, epoch_lines, finish, run_tests, runs_option
from ..sets import test_sets, training_sets
from ..settings import (
    collect_settings,
    recipe_option,
    recipe_path,
    set_option,
    settings_options,
)
from ..terminal import Progress, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.runs.result import RunResult
    from reid_train.settings.train import TrainSettings


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
@click.option(
    "--allow-partial", is_flag=True, help="Take what fits of a --weights file that fills less than all of the backbone."
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
    allow_partial: bool,
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
    settings = collect_settings(flags, recipe_path(recipe), assignments)
    sets = training_sets(train_spec, data_root, settings.seed, limit)
    folder = runs / (name or "+".join(dataset.name.replace(":", "-") for dataset in sets))
    tests = test_sets(test_spec, data_root, None)
    if dry_run:
        from reid_train.training.fit import plan

        return _show_plan(plan(settings, sets, folder, device=device, data_root=data_root, processes=nproc), as_json)
    how = {"device": device, "workers": workers, "data_root": data_root, "allow_partial": allow_partial}
    result = _train(settings, sets, folder, how, nproc)
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


def _show_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        show(json.dumps(plan, indent=2))
        return 0
    for key, value in plan.items():
        show(f"{key.replace('_', ' ')}: {value}")
    return 0
