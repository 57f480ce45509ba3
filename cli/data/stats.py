"""`reid-data stats`: channel mean and standard deviation."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.records import SPLITS

from ..errors import EXIT_FAILED_ITEMS
from ..options import choose, data_root_option, json_option, limit_option, matte_option, workers_option
from ..sets import notice
from ..tables import print_table
from ..terminal import Progress, say, seen_through, show

if TYPE_CHECKING:
    from reid_data.records import Colour


def parse_size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`256x128` -> (256, 128): height x width, as in the papers."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}' is not HEIGHTxWIDTH, for example 256x128.")
    return int(parts[0]), int(parts[1])


@click.command()
@click.argument("names", nargs=-1, metavar="[SET|FOLDER]...")
@data_root_option
@matte_option
@click.option("--split", default="train", show_default=True, help="train, query or gallery.")
@click.option(
    "--size", callback=parse_size, metavar="HxW", show_default="native size", help="As a network sees it, e.g. 256x128."
)
@limit_option("Only the first N images.")
@workers_option
@json_option
def stats(
    names: tuple[str, ...],
    data_root: Path,
    matte: "Colour | None",
    split: str,
    size: tuple[int, int] | None,
    limit: int | None,
    workers: int | None,
    as_json: bool,
) -> int:
    """Channel mean and std of data sets (none named: every set found) or folders of photographs, exact for any number of workers.

    Both definitions of the std: pooled over all pixels, and the mean of each image's std. The result is kept, and
    `reid-train fit --norm NAME` uses it.

    \b
    Example:
      reid-data stats market --size 256x128
      reid-data stats ./my-photos
    """
    from reid_data.datasets import found_names
    from reid_data.datasets.channel_stats import channel_stats, kept_stats, stats_file
    from reid_data.datasets.pictures import load_pictures
    from reid_data.errors import InputError
    from reid_data.parallel import default_workers

    choose("split", split, list(SPLITS))
    chosen = list(names) or found_names(data_root)
    if not chosen:
        raise InputError(f"no data sets below '{data_root}'. Make two synthetic ones with: reid-data synth")
    results = {}
    for name in chosen:
        dataset = load_pictures(name, data_root, matte)
        notice(dataset)
        records = dataset.split(split)[:limit]
        if not records:
            say(f"{name}: no images in {split}; skipped.")
            continue
        with Progress(f"stats {name}") as progress:
            count = default_workers() if workers is None else workers
            measured = (
                channel_stats(records, size, count, progress)
                if limit
                else kept_stats(dataset, split, size, count, progress)
            )
        results[name] = {
            "split": split,
            **measured.as_dict(),
            "file": None if limit else str(stats_file(dataset, split, size)),
        }
    if as_json:
        show(json.dumps(results, indent=2))
    else:
        _print_stats(results)
    return _report_failed(results)


def _print_stats(results: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, result in results.items():
        size = "native" if result["size"] is None else "{}x{}".format(*result["size"])
        images = f"{result['num_images']:,}"
        for label, mean, std in (("pooled", "mean", "std"), ("per image", "mean_per_image", "std_per_image")):
            rows.append([name, result["split"], size, images, label, _three(result[mean]), _three(result[std])])
    print_table(["set", "split", "size", "images", "definition", "mean R G B", "std R G B"], rows, left=(0, 1, 2, 4))


def _three(values: tuple[float, float, float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _report_failed(results: dict[str, dict[str, Any]]) -> int:
    from reid_data.files import printable

    failed = [(name, *pair) for name, result in results.items() for pair in result["failed"]]
    for name, path, reason in failed[:20]:
        say(f"{name}: {printable(path)} {reason}")
    if failed:
        say(
            f"{len(failed)} unreadable images were left out{seen_through(reason for *_, reason in failed)}"
            + (" (the first 20 are shown; --json lists all)." if len(failed) > 20 else ".")
        )
    return EXIT_FAILED_ITEMS if failed else 0
