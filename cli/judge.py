"""`reid-train` commands that judge results: compare, rank; and the evaluation of feature files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import InputError, UsageError

from .fit import runs_option
from .options import data_root_option, json_option, names_list, say, seed_option
from .tables import print_table

if TYPE_CHECKING:
    import numpy as np

    from reid_train.evaluation.compare import Comparison


@click.command()
@click.argument("first", metavar="A[,A2,...]")
@click.argument("second", metavar="B[,B2,...]")
@click.option("--test", "test_spec", metavar="SET,...", help="Test sets.  [default: all that both have]")
@runs_option
@click.option("--resamples", type=click.IntRange(min=100), default=10_000, show_default=True, help="Random resamples.")
@seed_option
@json_option
def compare(
    first: str, second: str, test_spec: str | None, runs: Path, resamples: int, seed: int, as_json: bool
) -> None:
    """Say whether A is better than B, by how much, how sure, and which settings differ.

    A and B are runs (names below --runs, or folders) or per_query.npz files; several with commas are runs that differ in
    their seed. The queries must be the same on both sides.

    \b
    Example:
      reid-train compare base with-swap
      reid-train compare base-0,base-1,base-2 swap-0,swap-1,swap-2 --test market --json
    """
    from reid_train.evaluation.compare import compare as compare_outcomes
    from reid_train.evaluation.compare import read_outcome

    sides = [[read_outcome(name, runs) for name in names_list(side)] for side in (first, second)]
    if not all(sides):
        raise UsageError("name at least one result on each side: reid-train compare A B.")
    found = compare_outcomes(sides[0], sides[1], tests=names_list(test_spec), resamples=resamples, seed=seed)
    if as_json:
        click.echo(json.dumps({"A": names_list(first), "B": names_list(second), **found.as_dict()}, indent=2))
        return
    click.echo(f"A = {first}, B = {second}")
    _print_comparison(found)


def _print_comparison(found: "Comparison") -> None:
    for test in found.tests:
        click.echo(f"\n{test.words}")
        rows = []
        for metric, difference in test.differences.items():
            a, b = test.first[metric], test.second[metric]
            limits = f"{_points(difference.low, '+')} to {_points(difference.high, '+')}"
            p_value = "-" if difference.p_value != difference.p_value else f"{difference.p_value:.4f}"
            rows.append([metric, _with_limits(a), _with_limits(b), _points(difference.value, "+"), limits, p_value])
        print_table(["", "A (95 %)", "B (95 %)", "A - B", "95 %", "p"], rows)
    if found.settings:
        click.echo("\nSettings that differ (A, B):")
        for key, (a, b) in found.settings.items():
            click.echo(f"  {key}: {a}, {b}")
    for warning in found.warnings:
        say(f"Note: {warning}")


def _with_limits(value: Any) -> str:
    deviation = "" if value.num_seeds == 1 else f" sd {_points(value.deviation)}"
    return f"{_points(value.mean)}{deviation} ({_points(value.low)} to {_points(value.high)})"


def _points(share: float, sign: str = "") -> str:
    return "-" if share != share else f"{100 * share:{sign}.2f}"


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

    from reid_data.files import make_folder, write_json
    from reid_train.evaluation.bootstrap import intervals
    from reid_train.evaluation.expansion import expand_queries
    from reid_train.evaluation.matching import scored_rows
    from reid_train.evaluation.per_query import PER_QUERY_FILE, per_query_of, write_per_query
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
    document = {
        "features": path.name,
        "settings": {**result.settings, "expand": list(expand) if expand else None},
        "metrics": result.metrics(),
        "intervals": {
            key: [one.low, one.high]
            for key, one in intervals(per_query_of(result), seed=seed).items()
            if one.low == one.low
        },
        "warnings": list(result.warnings),
    }
    if out is not None:
        write_per_query(make_folder(out) / PER_QUERY_FILE, result, features.query_paths)
        write_json(out / "result.json", document)
    return document


def print_evaluation(document: dict[str, Any], as_json: bool) -> None:
    """Print what `evaluate_features` found, as a table or as JSON; warnings on stderr."""
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    rows = []
    for metric, value in document["metrics"].items():
        if metric.startswith("queries"):
            continue
        low, high = document["intervals"].get(metric, (float("nan"), float("nan")))
        rows.append([metric, _points(value), f"{_points(low)} to {_points(high)}"])
    print_table([document["features"], "%", "95 % interval"], rows)
    counts = document["metrics"]
    click.echo(f"{counts['queries']:,} queries, {counts['queries_without_match']:,} of them without a valid match")
    for warning in document["warnings"]:
        say(f"Warning: {warning}")


@click.command()
@click.argument("run", required=False)
@click.option("--test", "test", metavar="SET", help="Test set: names the run's feature file and the images' folder.")
@click.option("--features", type=click.Path(path_type=Path), help="Feature file with query_paths and gallery_paths.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder that the paths start from.")
@click.option("--top", type=click.IntRange(1, 50), default=10, show_default=True, help="Gallery images per query.")
@click.option("--num", type=click.IntRange(1, 500), default=20, show_default=True, help="Queries, worst first.")
@click.option(
    "--metric", type=click.Choice(["cosine", "euclidean"]), default="cosine", show_default=True, help="Distance."
)
@click.option("--no-camera", is_flag=True, help="Images from the query's own camera count, too.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE.png", help="Picture to write.")
@runs_option
@data_root_option
def rank(
    run: str | None,
    test: str | None,
    features: Path | None,
    images: Path | None,
    top: int,
    num: int,
    metric: str,
    no_camera: bool,
    out: Path,
    runs: Path,
    data_root: Path,
) -> None:
    """Draw the closest gallery images of the worst queries: right, wrong or ignored, with scores.

    \b
    Example:
      reid-train rank base --test market --top 10 --num 20 --out worst.png
      reid-train rank --features market.safetensors --images data/market --out worst.png
    """
    from reid_data.images import write_image
    from reid_train.evaluation.protocol import evaluate
    from reid_train.evaluation.ranked_list import draw_lists, ranked_lists, worst_first
    from reid_train.features.files import read_features

    where = features or _cached_features(run, test, runs)
    values = read_features(where)
    if not values.query_paths or not values.gallery_paths:
        raise InputError(
            f"'{where}' has no query_paths and gallery_paths, so there are no images to show. Write it with them."
        )
    result = evaluate(*values.arrays(), metric=metric, protocol="no-camera" if no_camera else "standard")
    chosen = worst_first(result.ap, num)
    lists = ranked_lists(values.arrays(), result.ap, chosen, top=top, metric=metric, camera_rule=not no_camera)
    starts = _image_folders(images, test, data_root)
    picture = draw_lists(lists, _opener(values.query_paths, starts), _opener(values.gallery_paths, starts))
    write_image(out, picture)
    click.echo(
        f"{out}: the {len(lists)} worst of {int(result.valid.sum()):,} queries, mAP {100 * result.metrics()['mAP']:.2f}"
    )


def _cached_features(run: str | None, test: str | None, runs: Path) -> Path:
    if run is None or test is None:
        raise UsageError("name a run and a test set (reid-train rank RUN --test SET), or give --features FILE.")
    folder = (Path(run) if "/" in run else runs / run) / "tests" / test
    for name in ("features.safetensors", "features.npz"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"no features in '{folder}'. Extract them first, 'reid-train extract {run} {test}', "
        "or name a feature file with --features."
    )


def _image_folders(images: Path | None, test: str | None, data_root: Path) -> list[Path]:
    """Where the paths of a feature file may start: --images, the set's folder, here."""
    if images is not None:
        return [images]
    if test is None:
        return [Path()]
    from reid_data.datasets import load_dataset

    return [load_dataset(test, data_root).root, Path()]


def _opener(paths: Sequence[str], starts: Sequence[Path]) -> "Callable[[int], np.ndarray]":
    from reid_data.images import read_image

    def read(row: int) -> "np.ndarray":
        found = next((start / paths[row] for start in starts if (start / paths[row]).is_file()), starts[0] / paths[row])
        return read_image(str(found))

    return read
