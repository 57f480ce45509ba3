"""`reid-train` commands about a trained model: evaluate, extract; and fetch-weights."""

import json
from pathlib import Path
from typing import Any

import click

from reid_data.errors import InputError, UsageError
from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings

from .fit import device_option, epoch_lines, finish, run_tests, runs_option, tell_unreadable, test_sets
from .options import Progress, data_root_option, json_option, workers_option
from .sets import notice
from .settings import settings_options


@click.command()
@click.argument("run", metavar="RUN", required=False)
@click.option("--test", "test_spec", metavar="SET,...", help="Sets to test on, by name or path; or diagnostics of one.")
@click.option("--features", type=click.Path(path_type=Path), help="A feature file to judge instead of a run.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --features: folder for result.json and per_query.npz."
)
@runs_option
@data_root_option
@settings_options("test")
@device_option
@workers_option
@json_option
def evaluate(
    run: str | None, test_spec: str | None, features: Path | None, out: Path | None, runs: Path, data_root: Path,
    device: str, workers: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    """Test a trained run (a name below --runs, or a folder) on query and gallery of data sets, or judge a feature file.

    \b
    Example:
      reid-train evaluate base --test market,duke
      reid-train evaluate base --test market --test-feature before --flip-test --rerank 20,6,0.3
      reid-train evaluate --features market.npz
    """
    changes = {name: value for name, value in flags.items() if value is not None}
    if features is not None:
        return _judge_file(features, out, run, test_spec, device, as_json, changes)
    tests = test_sets(test_spec, data_root)
    if run is None or not tests or out is not None:
        raise UsageError("expected RUN and --test SET,..., or --features FILE (with --out FOLDER if you like).")
    folder = run_folder(run, runs)
    from reid_train.runs.result import read_result

    result = read_result(folder)
    if result is None:
        raise InputError(f"the run '{folder}' has no finished training: run its fit command first.")
    result = run_tests(result, folder, tests, device, workers, changes)
    return finish(result, folder, [dataset.name for dataset in tests], as_json)


def _judge_file(
    features: Path,
    out: Path | None,
    run: str | None,
    test_spec: str | None,
    device: str,
    as_json: bool,
    changes: dict[str, Any],
) -> int:
    from reid_train.processes.group import pick_device

    from .judge import evaluate_features, print_evaluation

    wrong = [name for name, value in (("RUN", run), ("--test", test_spec)) if value]
    wrong += [flag(name) for name in ("test_feature", "flip_test") if name in changes]
    if wrong:
        raise UsageError(f"{wrong[0]} says how features are made: it cannot be combined with --features.")
    settings = TrainSettings().replace(**changes)
    document = evaluate_features(
        features,
        metric=settings.metric,
        protocol=settings.protocol,
        ap=settings.ap,
        rerank=settings.rerank_numbers,
        expand=settings.expand_numbers,
        device=str(pick_device(device)),
        out=out,
    )
    print_evaluation(document, as_json)
    return 0


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="SET|FOLDER")
@click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    default="test",
    show_default=True,
    help="Query and gallery, or train.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="A .npz or .safetensors file.  [default: in the run]"
)
@runs_option
@data_root_option
@settings_options("test")
@device_option
@workers_option
@json_option
def extract(
    run: str, source: str, split: str, out: Path | None, runs: Path, data_root: Path,
    device: str, workers: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    """Write the features of a set's query and gallery images, in data-set order, to a feature file.

    Images of a set without query and gallery, or of `--split train`, become the gallery, with no query. By default the
    file is tests/SET/features.safetensors in the run's folder, where `reid-train rank` finds it.

    \b
    Example:
      reid-train extract base market --out market.npz
      reid-train extract base ./my-photos --out mine.safetensors
    """
    from reid_data.datasets import load_dataset
    from reid_data.files import make_folder
    from reid_train.features.files import write_features
    from reid_train.testing import feature_arrays, load_trained

    folder = run_folder(run, runs)
    dataset = load_dataset(source, data_root)
    notice(dataset)
    changes = {name: value for name, value in flags.items() if value is not None}
    target = out or folder / "tests" / dataset.name / "features.safetensors"
    if target.suffix not in (".npz", ".safetensors"):
        raise UsageError(f"--out '{target}': a feature file ends in .npz or .safetensors.")
    with epoch_lines(), Progress(f"features of {dataset.name}") as progress:
        model = load_trained(folder, device=device, changes=changes)
        arrays, unreadable = feature_arrays(model, dataset, split, workers=workers, progress=progress)
    make_folder(target.parent)
    write_features(target, arrays)
    counts = {f"num_{side}": len(arrays[f"{side}_pids"]) for side in ("query", "gallery")}
    if as_json:
        rows = [row._asdict() for row in unreadable]
        click.echo(json.dumps({"file": str(target), **counts, "unreadable": rows}, indent=2))
    else:
        click.echo(f"{target}: {counts['num_query']} query and {counts['num_gallery']} gallery features")
    return tell_unreadable([row._asdict() for row in unreadable])


def run_folder(run: str, runs: Path) -> Path:
    """The folder that RUN means: a path with a slash, else a name below `runs`. InputError lists the runs there are."""
    folder = Path(run) if "/" in run else runs / run
    if not folder.is_dir():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        raise InputError(f"there is no run '{folder}'. Below '{runs}': {', '.join(there) or 'none'}.")
    return folder


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.csv", help="Write to a file instead of stdout.")
@runs_option
def temperatures(run: str, out: Path | None, runs: Path) -> None:
    """Print the effective temperature (T over the median class-weight norm) of each epoch of a run, as CSV.

    The file can be replayed in another training: --temperature-schedule file:FILE.csv

    \b
    Example:
      reid-train temperatures base --out base.csv
      reid-train fit --train market --classifier-norm project --temperature-schedule file:base.csv --name replay
    """
    from reid_data.files import write_atomic
    from reid_train.runs.folder import effective_temperatures

    text = effective_temperatures(run_folder(run, runs))
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomic(out, text.encode("ascii"))


@click.command("fetch-weights")
@click.argument("backbones", nargs=-1, metavar="[BACKBONE]...")
def fetch_weights(backbones: tuple[str, ...]) -> None:
    """Download ImageNet weights (torchvision, IMAGENET1K_V1) into the cache; nothing else in reid-train downloads.

    \b
    Example:
      reid-train fetch-weights resnet50
    """
    from reid_train.model.weights import fetch_imagenet

    for backbone in backbones or (TrainSettings().backbone,):
        with Progress(f"fetching {backbone} (bytes)") as progress:
            click.echo(str(fetch_imagenet(backbone, progress)))
