"""The evaluation of a feature file or of a model file, and how it is printed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .runs import epoch_lines
from .tables import points, print_table
from .terminal import Progress, say, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.evaluation.metrics import RankingResult


def evaluate_features(
    path: Path,
    *,
    metric: str = "cosine",
    protocol: str = "standard",
    ap: str = "step",
    rerank: tuple[int, int, float] | None = None,
    expand: tuple[int, float] | None = None,
    device: str = "cpu",
    seed: int = 0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a feature file: a document with metrics, their 95 % intervals, settings and warnings.

    `rerank` is (k1, k2, lambda), `expand` (k, alpha) of query expansion; `out` a folder that gets `per_query.npz` and
    `result.json`, which `compare` reads. Raises ReidError for a file that cannot be evaluated.
    """
    import numpy as np

    from reid_train.evaluation.expansion import expand_queries
    from reid_train.evaluation.matching import scored_rows
    from reid_train.evaluation.protocol import evaluate
    from reid_train.evaluation.rerank import RerankSettings
    from reid_train.features.files import read_features

    features = read_features(path)
    arrays = list(features.arrays())
    if expand is not None:
        rows = scored_rows(np.asarray(features.gallery_pids))
        arrays[0] = expand_queries(
            arrays[0], arrays[3], k=expand[0], alpha=expand[1], metric=metric, rows=rows, device=device
        )
    settings = RerankSettings(*rerank) if rerank is not None else None
    result = evaluate(*arrays, metric=metric, protocol=protocol, ap=ap, rerank=settings, device=device, seed=seed)
    return _document(path.name, result, expand, features.query_paths, out)


def evaluate_model(
    path: Path,
    dataset: "ReidDataset",
    *,
    device: str,
    workers: int | None,
    changes: dict[str, Any],
    out: Path | None = None,
) -> dict[str, Any]:
    """Test a model file on a set: a document as that of `evaluate_features`, with the images that were left out.

    `changes`: test settings that replace the file's own.
    """
    from reid_data.parallel import default_workers
    from reid_train.deploy.sources import open_source
    from reid_train.scoring import score

    model = open_source(path, device, changes)
    with epoch_lines(), Progress(f"testing on {dataset.name}") as progress:
        found = score(model, dataset, workers=default_workers() if workers is None else workers, progress=progress)
    document = _document(path.name, found.ranking, model.settings.expand_numbers, found.query.names, out)
    rows = [row._asdict() for row in (*found.query.unreadable, *found.gallery.unreadable)]
    return {**document, "test": dataset.name, "unreadable": rows}


def _document(
    name: str, result: "RankingResult", expand: tuple[int, float] | None, paths: Sequence[str], out: Path | None
) -> dict[str, Any]:
    """The document on a ranking; `out` gets it and `per_query.npz`."""
    from reid_data.files import make_folder, write_json
    from reid_train.evaluation.bootstrap import intervals
    from reid_train.evaluation.per_query import PER_QUERY_FILE, per_query_of, write_per_query

    document = {
        "features": name,
        "settings": {**result.settings, "expand": list(expand) if expand else None},
        "metrics": result.metrics(),
        "intervals": {
            key: [one.low, one.high] for key, one in intervals(per_query_of(result)).items() if one.low == one.low
        },
        "warnings": list(result.warnings),
    }
    if out is not None:
        write_per_query(make_folder(out) / PER_QUERY_FILE, result, paths)
        write_json(out / "result.json", document)
    return document


def print_evaluation(document: dict[str, Any], as_json: bool) -> None:
    """Print what `evaluate_features` found, as a table or as JSON; warnings on stderr."""
    if as_json:
        show(json.dumps(document, indent=2))
        return
    rows = []
    for metric, value in document["metrics"].items():
        if metric.startswith("queries"):
            continue
        low, high = document["intervals"].get(metric, (float("nan"), float("nan")))
        rows.append([metric, points(value), f"{points(low)} to {points(high)}"])
    print_table([document["features"], "%", "95 % interval"], rows)
    counts = document["metrics"]
    show(f"{counts['queries']:,} queries, {counts['queries_without_match']:,} of them without a valid match")
    for warning in document["warnings"]:
        say(f"Warning: {warning}")
