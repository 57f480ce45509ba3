"""Tests of a finished run, what is written of them, and the features of a set as a file holds them."""
# ruff: noqa: PT028 - `test` is a command of this package, not a test case

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from reid_data.claims import only_writer
from reid_data.compose.views import content_digest, read_over
from reid_data.costs import add_costs
from reid_data.datasets.digest import dataset_digest
from reid_data.decode import Unreadable
from reid_data.errors import InputError
from reid_data.files import AnyPath, make_folder, printable, write_json
from reid_data.parallel import default_workers
from reid_data.records import ReidDataset, matte_row
from reid_train.evaluation.metrics import RankingResult
from reid_train.evaluation.per_query import PER_QUERY_FILE, write_per_query
from reid_train.evaluation.showcase import SHOWCASE_FILE, write_showcase
from reid_train.features.extract import Features
from reid_train.runs import folder as runs
from reid_train.runs.folder import test_key
from reid_train.runs.result import RunResult, read_result, write_result
from reid_train.scoring import Model, query_and_gallery, rank
from reid_train.settings.train import TrainSettings
from reid_train.trained import load_trained
from reid_train.training.versions import score_versions

MASKS_FILE = "masks.json"
Progress = Callable[[int, int], None]


def test(
    run_folder: AnyPath,
    dataset: ReidDataset,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    changes: dict[str, Any] | None = None,
) -> RunResult:
    """Test a finished run on query and gallery of `dataset`, unless that is done; its result with this test in it.

    Writes `tests/<set>/per_query.npz` and `ranked_lists.json`, then the result. `changes`: test settings that replace
    the run's own. Raises InputError if the run is not finished, or query or gallery are empty.
    """
    run_folder = runs.run_of(run_folder)
    result = read_result(run_folder)
    if result is None:
        raise InputError(f"the run '{printable(run_folder)}' has no finished training: run its fit command first.")
    model = load_trained(run_folder, device=device, changes=changes)
    dataset = read_over(dataset, model.settings.matte_colour)
    digest = content_digest(dataset)
    key = test_key(result.train_key, model.settings, digest, versions=score_versions())
    if result.tests.get(dataset.name, {}).get("test_key") == key:
        return result
    before = time.monotonic()
    workers = default_workers() if workers is None else workers
    view, query, gallery = query_and_gallery(model, dataset, digest, workers, progress)
    ranking = rank(query, gallery, model.settings, model.device)
    entry = {
        "test_key": key,
        "digest": digest,
        "settings": model.settings.as_dict("test"),
        **matte_row(dataset),
        "num_query": len(query.records),
        "num_gallery": len(gallery.records),
        "unreadable": [row._asdict() for row in (*query.unreadable, *gallery.unreadable)],
    }
    if view.facts is not None:
        entry["view"] = view.facts
    with only_writer(run_folder):
        folder = make_folder(run_folder / "tests" / dataset.name)
        write_per_query(folder / PER_QUERY_FILE, ranking, query.names)
        _write_showcase(folder / SHOWCASE_FILE, query, gallery, ranking, model.settings)
        if view.facts is not None:
            write_json(folder / MASKS_FILE, list(view.masks))
        newest = read_result(run_folder) or result
        metrics = {**newest.metrics, dataset.name: ranking.metrics()}
        newest = replace(newest, tests={**newest.tests, dataset.name: entry}, metrics=metrics)
        add_costs(run_folder, **{f"test_seconds_{dataset.name}": round(time.monotonic() - before, 3)})
        write_result(run_folder, newest)
    return newest


def _write_showcase(
    path: Path, query: Features, gallery: Features, ranking: RankingResult, settings: TrainSettings
) -> None:
    arrays = [array for side in (query, gallery) for array in (side.feats, side.pids, side.camids)]
    rule = settings.protocol != "no-camera"
    names = query.names, gallery.names
    write_showcase(path, arrays, names, ranking.ap, metric=settings.metric, camera_rule=rule)


def feature_arrays(
    model: Model, dataset: ReidDataset, split: str, *, workers: int | None, progress: Progress | None = None
) -> tuple[dict[str, Any], list[Unreadable]]:
    """What a feature file holds (see evaluate.feature_files) for a set, and its unreadable images.

    `split` test: query and gallery; without those, or with `train`, the training images are the gallery of no query.
    """
    dataset = read_over(dataset, model.settings.matte_colour)
    test_split = split == "test" and (dataset.query or dataset.gallery)
    sides = (
        {"query": dataset.query, "gallery": dataset.gallery} if test_split else {"query": [], "gallery": dataset.train}
    )
    total = sum(len(records) for records in sides.values())
    if not total:
        raise InputError(f"{dataset.name} has no {split} image.")
    content = dataset_digest(dataset)
    arrays: dict[str, Any] = {}
    unreadable: list[Unreadable] = []
    done = 0

    def watch(part: int, _: int) -> None:
        if progress is not None:
            progress(done + part, total)

    for side, records in sides.items():
        found = model.features(
            records, content, workers=default_workers() if workers is None else workers, progress=watch
        )
        done += len(records)
        unreadable += found.unreadable
        values = {"feats": found.feats, "pids": found.pids, "camids": found.camids, "paths": found.names}
        arrays |= {f"{side}_{kind}": value for kind, value in values.items()}
    return arrays, unreadable
