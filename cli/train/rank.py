"""`reid-train rank`: the closest gallery images of the worst queries."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_data.errors import InputError, UsageError

from ..options import data_root_option
from ..runs import runs_option
from ..terminal import show

if TYPE_CHECKING:
    import numpy as np


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
    show(
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
    from reid_data.records import WHITE

    def read(row: int) -> "np.ndarray":
        found = next((start / paths[row] for start in starts if (start / paths[row]).is_file()), starts[0] / paths[row])
        return read_image(str(found), transparency=WHITE)

    return read
