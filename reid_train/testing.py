"""Tests of a finished run: its model, features of a set, their ranking, and what is written of it."""
# ruff: noqa: PT028 - `test` is a command of this package, not a test case

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reid_data.claims import only_writer
from reid_data.compose.views import Diagnostic, View, content_digest, prepare_view, read_over
from reid_data.datasets.digest import dataset_digest
from reid_data.decode import Images, Unreadable, decoded
from reid_data.errors import InputError, UsageError
from reid_data.files import AnyPath, make_folder, printable, settings_digest, sha256_file, write_json
from reid_data.parallel import default_workers
from reid_data.records import JUNK_PID, Record, ReidDataset, matte_row
from reid_data.shapes import require
from reid_train.arithmetic import Arithmetic
from reid_train.evaluation.expansion import expand_queries
from reid_train.evaluation.matching import scored_rows
from reid_train.evaluation.metrics import RankingResult
from reid_train.evaluation.per_query import PER_QUERY_FILE, write_per_query
from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.rerank import RerankSettings
from reid_train.evaluation.showcase import SHOWCASE_FILE, write_showcase
from reid_train.features.cache import FeatureCache
from reid_train.features.extract import Extraction, Features, extract
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import pick_device
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, load_model
from reid_train.runs.folder import test_key
from reid_train.runs.result import RunResult, read_result, write_result
from reid_train.settings.train import TrainSettings
from reid_train.training.parts import make_net
from reid_train.training.versions import feature_versions, score_versions

logger = logging.getLogger("reid_train")
MASKS_FILE = "masks.json"


def _three_numbers(value: Any) -> None:
    require(value, [float])
    if len(value) != 3:
        raise ValueError(f"has {len(value)} numbers, expected one a channel")


_METADATA = {"epoch": int, "epochs": int, "classes": list, "norm": {"mean": _three_numbers, "std": _three_numbers}}
"""What is read of a model's metadata."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainedModel:
    """A network in eval mode on its device, the settings it was trained with and what the file says about it."""

    net: ReidNet
    settings: TrainSettings
    arithmetic: Arithmetic
    metadata: dict[str, Any]
    sha256: str = ""

    def features(
        self,
        records: Sequence[Record],
        content: str,
        *,
        workers: int,
        progress: Progress | None = None,
        images: Images = decoded,
    ) -> Features:
        """Features of `records` by the run's test settings, kept by the model, the settings and `content`, their set's digest."""
        how = Extraction(self.settings.height_width, self.settings.test_feature, self.settings.flip_test)
        names = settings_digest([record.name for record in records])
        device = self.arithmetic.device.type
        key = [self.sha256, self.metadata["norm"], asdict(how) | feature_versions(), device, content, names]
        cache = FeatureCache(key)
        return extract(
            self.net, records, how, self.arithmetic, workers=workers, progress=progress, images=images, cache=cache
        )


def load_trained(run_folder: AnyPath, *, device: str = "auto", changes: dict[str, Any] | None = None) -> TrainedModel:
    """The model of a run. `changes`: test settings that replace the run's own.

    Raises InputError if the folder holds no model, UsageError for a change of a training setting.
    """
    run_folder = runs.run_of(run_folder)
    settings = runs.read_settings(run_folder)
    wrong = [name for name in changes or {} if name not in settings.as_dict("test")]
    if wrong:
        raise UsageError(
            f"{wrong[0]} belongs to the training: a test can change {', '.join(settings.as_dict('test'))}."
        )
    path = run_folder / MODEL_FILE
    if not path.is_file():
        raise InputError(
            f"the run '{printable(run_folder)}' has no {MODEL_FILE} yet: its training has not come to a checkpoint."
        )
    tensors, metadata = load_model(path)
    try:
        require(metadata, _METADATA)
    except ValueError as error:
        raise InputError(
            f"'{printable(path)}' is no model of this tool: {error}. Train again, or name another."
        ) from error
    if metadata["epoch"] < metadata["epochs"]:
        logger.warning(
            "the model is from epoch %d of %d: its training is not finished", metadata["epoch"], metadata["epochs"]
        )
    place = pick_device(device)
    net = make_net(settings, len(metadata["classes"]))
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"'{printable(path)}' does not fit its run's settings: {error}. Train again.") from error
    arithmetic = Arithmetic(place, "none", metadata["norm"]["mean"], metadata["norm"]["std"])
    settings = settings.replace(**(changes or {}))
    return TrainedModel(net.to(place).eval(), settings, arithmetic, metadata, sha256_file(path))


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
    view, query, gallery = _test_features(model, dataset, digest, workers, progress)
    ranking = rank(query, gallery, model.settings, str(model.arithmetic.device))
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
        runs.add_costs(run_folder, **{f"test_seconds_{dataset.name}": round(time.monotonic() - before, 3)})
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
    model: TrainedModel, dataset: ReidDataset, split: str, *, workers: int | None, progress: Progress | None = None
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


def rank(query: Features, gallery: Features, settings: TrainSettings, device: str) -> RankingResult:
    """Judge features by the test settings: query expansion, distance, re-ranking, protocol."""
    query_feats = query.feats
    if settings.expand_numbers is not None:
        k, alpha = settings.expand_numbers
        rows = scored_rows(gallery.pids)
        query_feats = expand_queries(
            query_feats, gallery.feats, k=k, alpha=alpha, metric=settings.metric, rows=rows, device=device
        )
    return evaluate(
        query_feats,
        query.pids,
        query.camids,
        gallery.feats,
        gallery.pids,
        gallery.camids,
        metric=settings.metric,
        protocol=settings.protocol,
        ap=settings.ap,
        rerank=None if settings.rerank_numbers is None else RerankSettings(*settings.rerank_numbers),
        seed=settings.seed,
        device=device,
    )


def _test_features(
    model: TrainedModel, dataset: ReidDataset, content: str, workers: int, progress: Progress | None
) -> tuple[View, Features, Features]:
    """Features of query and gallery, without junk, which is never scored; InputError if either has no usable image.

    The masks of a diagnostic count as the first part of the progress.
    """
    splits = {
        name: [record for record in dataset.split(name) if record.pid != JUNK_PID] for name in ("query", "gallery")
    }
    num_masks = len(dataset.query) + len(dataset.gallery) if isinstance(dataset, Diagnostic) else 0
    total = num_masks + sum(map(len, splits.values()))
    done = 0

    def watch(part: int, _: int) -> None:
        if progress is not None:
            progress(done + part, total)

    view = prepare_view(dataset, workers=workers, progress=watch)
    done = num_masks
    found = []
    for split, records in splits.items():
        features = model.features(records, content, workers=workers, progress=watch, images=view.images)
        done += len(records)
        if not features.records:
            bad = features.unreadable
            first = f"; the first: {printable(bad[0].name)} {bad[0].reason}" if bad else ""
            raise InputError(
                f"{dataset.name} has no usable {split} image ({len(bad)} unreadable{first}): it cannot be a test set."
            )
        found.append(features)
    return view, found[0], found[1]
