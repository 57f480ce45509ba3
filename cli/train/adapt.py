"""`reid-train adapt`: go on with a trained model on a site without labels."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError
from reid_train.settings.adaptation import AdaptSettings

from ..options import data_root_option, dry_run_option, json_option, workers_option
from ..runs import device_option, epoch_lines, finish, run_folder, run_tests, runs_option
from ..sets import notice, test_sets, training_sets
from ..settings import collect_adaptation, recipe_option, recipe_path, set_option, settings_options
from ..terminal import Progress, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.runs.result import RunResult
    from reid_train.settings.train import TrainSettings


@click.command()
@click.option(
    "--source", metavar="SET[:SHARE],...", help="The labelled sets that the run behind --from was trained on."
)
@click.option(
    "--target", "target_name", required=True, metavar="SET", help="The set to adapt to; its labels are not looked at."
)
@click.option(
    "--from", "start", metavar="RUN", help="The run to start from; not for --arm target-only, which has --weights."
)
@click.option("--labels-from", metavar="RUN", help="Take the clusters of every round from this run.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds of clustering and training.  [default: 50]")
@click.option("--test", "test_spec", metavar="SET,...", help="Sets to test on afterwards.")
@click.option("--name", help="Name of the run.  [default: SOURCE-to-TARGET-ARM]")
@runs_option
@data_root_option
@recipe_option
@set_option
@settings_options(kind=AdaptSettings)
@settings_options()
@device_option
@workers_option
@click.option("--nproc", type=click.IntRange(min=1), help="Processes that share each batch, one per GPU.")
@dry_run_option
@json_option
def adapt(
    source: str | None,
    target_name: str,
    start: str | None,
    labels_from: str | None,
    rounds: int | None,
    test_spec: str | None,
    name: str | None,
    runs: Path,
    data_root: Path,
    recipe: str | None,
    assignments: tuple[str, ...],
    device: str,
    workers: int | None,
    nproc: int | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Adapt a model to a site without labels: in rounds, cluster its images and train on the clusters.

    The same command again continues an interrupted run, or says that it is done. The last round is the result.

    \b
    Example:
      reid-train adapt --source market --target duke --from base --test duke
      reid-train adapt --source market --target duke --from base --arm independent --test duke
      reid-train adapt --target duke --arm target-only --recipe cluster-contrast --test duke
    """
    from reid_data.datasets import load_dataset
    from reid_train.adaptation.adapt import plan, resolve
    from reid_train.adaptation.start import with_rounds

    folder = None if start is None else run_folder(start, runs)
    flags = with_rounds(flags, rounds)
    settings, choices = collect_adaptation(flags, recipe_path(recipe), assignments, folder)
    sources = training_sets(source, data_root, settings.seed, None) if source else []
    target = load_dataset(target_name, data_root)
    notice(target)
    names = "+".join(dataset.name.replace(":", "-") for dataset in sources) or "start"
    place = runs / (name or f"{names}-to-{target.name}-{choices.arm}")
    tests = test_sets(test_spec, data_root, None)
    labels = None if labels_from is None else run_folder(labels_from, runs)
    if dry_run:
        inputs = resolve(settings, choices, sources, target, labels_from=labels, data_root=data_root, processes=nproc)
        return _show_plan(plan(inputs, place, device=device, processes=nproc), as_json)
    how = {"labels_from": labels, "device": device, "workers": workers, "data_root": data_root}
    result = _adapt(settings, choices, sources, target, place, how, nproc)
    if int(os.environ.get("RANK", "0")) > 0:
        return 0
    if choices.diagnose:
        from reid_train.adaptation.diagnostics import diagnose

        diagnose(place, target)
    result = run_tests(result, place, tests, device, workers, settings.as_dict("test"))
    return finish(result, place, [dataset.name for dataset in tests], as_json)


def _adapt(
    settings: "TrainSettings",
    choices: AdaptSettings,
    sources: "list[ReidDataset]",
    target: "ReidDataset",
    place: Path,
    how: dict[str, Any],
    nproc: int | None,
) -> "RunResult":
    """Adapt in this process (one of several, if torchrun started it), or in `nproc` new ones."""
    if nproc is None or nproc == 1:
        return adapt_here(settings, choices, sources, target, place, how)
    from reid_train.processes.launch import launch

    if "RANK" in os.environ:
        raise UsageError("--nproc starts the processes itself: leave it out under torchrun.")
    return launch(adapt_here, (settings, choices, sources, target, place, how), nproc)


def adapt_here(
    settings: "TrainSettings",
    choices: AdaptSettings,
    sources: "list[ReidDataset]",
    target: "ReidDataset",
    place: Path,
    how: dict[str, Any],
) -> "RunResult":
    """Adapt in this process; the first of several shows the progress."""
    from reid_train.adaptation.adapt import adapt as run

    if int(os.environ.get("RANK", "0")) > 0:
        return run(settings, choices, sources, target, place, **how)
    with epoch_lines(), Progress("adapting") as progress:
        return run(settings, choices, sources, target, place, progress=progress, **how)


def _show_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        show(json.dumps(plan, indent=2))
        return 0
    for key, value in plan.items():
        show(f"{key.replace('_', ' ')}: {value}")
    return 0
