"""`reid-train evaluate`: a trained run, or a feature file, judged on test sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import InputError, UsageError
from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings

from ..feature_evaluation import evaluate_features, evaluate_model, print_evaluation
from ..options import data_root_option, json_option, matte_option, workers_option
from ..runs import device_option, finish, model_file, run_folder, run_tests, runs_option, tell_unreadable
from ..sets import test_sets
from ..settings import settings_options

if TYPE_CHECKING:
    from reid_data.records import Colour, ReidDataset


@click.command()
@click.argument("run", metavar="RUN", required=False)
@click.option("--test", "test_spec", metavar="SET,...", help="Sets to test on, by name or path; or diagnostics of one.")
@click.option("--features", type=click.Path(path_type=Path), help="A feature file to judge instead of a run.")
@click.option("--out", type=click.Path(path_type=Path), help="Of a file: folder for result.json and per_query.npz.")
@runs_option
@data_root_option
@matte_option
@settings_options("test")
@device_option
@workers_option
@json_option
def evaluate(
    run: str | None, test_spec: str | None, features: Path | None, out: Path | None, runs: Path, data_root: Path,
    matte: "Colour | None", device: str, workers: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    """Test a trained run (a name below --runs, its folder or its model file) on data sets, or judge a feature file.

    An exported .onnx or .safetensors file is tested as a run is; nothing is written of it but to --out.

    \b
    Example:
      reid-train evaluate base --test market,duke
      reid-train evaluate base --test market --test-feature before --flip-test --rerank 20,6,0.3
      reid-train evaluate base.onnx --test market
      reid-train evaluate --features market.npz
    """
    changes = {name: value for name, value in flags.items() if value is not None}
    if features is not None:
        if matte is not None:
            raise UsageError("--matte says how features are made: it cannot be combined with --features.")
        return _judge_file(features, out, run, test_spec, device, as_json, changes)
    tests = test_sets(test_spec, data_root, matte)
    if run is None or not tests:
        raise UsageError("expected RUN and --test SET,..., or --features FILE (with --out FOLDER if you like).")
    file = model_file(run)
    if file is not None:
        return _test_file(file, tests, out, device, workers, as_json, changes)
    if out is not None:
        raise UsageError("--out belongs to --features and to a model file: what is found of a run is written into it.")
    folder = run_folder(run, runs)
    from reid_train.runs.result import read_result

    result = read_result(folder)
    if result is None:
        raise InputError(f"the run '{folder}' has no finished training: run its fit command first.")
    result = run_tests(result, folder, tests, device, workers, changes)
    return finish(result, folder, [dataset.name for dataset in tests], as_json)


def _test_file(
    file: Path,
    tests: "list[ReidDataset]",
    out: Path | None,
    device: str,
    workers: int | None,
    as_json: bool,
    changes: dict[str, Any],
) -> int:
    if out is not None and len(tests) > 1:
        raise UsageError("--out FOLDER holds one test: name one set with --test.")
    unreadable = []
    for dataset in tests:
        document = evaluate_model(file, dataset, device=device, workers=workers, changes=changes, out=out)
        print_evaluation(document, as_json)
        unreadable += document["unreadable"]
    return tell_unreadable(unreadable)


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
