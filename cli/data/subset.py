"""`reid-data subset`: a part of a set, as a set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reid_data.records import SPLITS, count_split

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, json_option, names_list, seed_option
from ..sets import notice, output_path
from ..terminal import Progress, say, show

if TYPE_CHECKING:
    from reid_data.export.subset import BuiltSubset, SubsetSettings


@click.command()
@click.argument("source", metavar="SET")
@click.option("--out", required=True, metavar="NAME", help="Name below the data root, or a path with a slash.")
@click.option("--cameras", metavar="1-3,6", show_default="all", help="Only pictures of these cameras.")
@click.option(
    "--ids",
    default="all",
    show_default=True,
    metavar="all|even|odd|SHARE|FILE",
    help="Whose pictures: by the number, a share drawn by --seed, or those named in a text file.",
)
@click.option("--splits", default=",".join(SPLITS), show_default=True, metavar="SPLIT,...", help="Only these splits.")
@click.option("--copy", is_flag=True, help="Copy the pictures; the default is hard links, which take no space.")
@data_root_option
@seed_option
@click.option("--overwrite", is_flag=True, help="Start afresh if this command wrote --out with other settings.")
@json_option
def subset(
    source: str, out: str, cameras: str | None, ids: str, splits: str, copy: bool, data_root: Path, seed: int,
    overwrite: bool, as_json: bool,
) -> int:  # fmt: skip
    """Take some cameras, people and splits of a set: a set of its own, in Market layout, with terms and manifest.

    Identities are chosen once over all splits, so that query and gallery fit together; junk and distractors of the cameras
    stay. Even and odd numbers give two halves that share nobody.

    \b
    Example:
      reid-data subset market --cameras 1-3 --ids even --out site-a
      reid-data subset market --cameras 4-6 --ids odd --out site-b
      reid-data subset market --ids 0.1 --seed 1 --splits train --out tenth
    """
    from reid_data.datasets import load_dataset
    from reid_data.datasets.check import unmatched_queries
    from reid_data.export.subset import build_subset

    settings = _settings(cameras, ids, splits, seed)
    dataset, target = load_dataset(source, data_root), output_path(out, data_root)
    notice(dataset)
    with Progress(f"subset of {dataset.name}") as progress:
        built = build_subset(dataset, target, settings, copy=copy, overwrite=overwrite, progress=progress)
    made = load_dataset(target.absolute(), data_root)
    _print_built(built, {split: count_split(made.split(split)) for split in SPLITS}, as_json=as_json)
    for finding in unmatched_queries(made):
        say(f"Note: {finding.what}: {finding.effect}.")
    if built.failed:
        say(f"{built.failed:,} images could not be read; the first: {built.first}")
    return EXIT_FAILED_ITEMS if built.failed else 0


def _settings(cameras: str | None, ids: str, splits: str, seed: int) -> "SubsetSettings":
    from reid_data.export.subset import SubsetSettings, read_cameras, read_pids

    listed = ids not in ("all", "even", "odd") and (Path(ids).is_file() or "/" in ids)
    return SubsetSettings(
        cameras=() if cameras is None else read_cameras(cameras),
        ids="listed" if listed else ids,
        pids=read_pids(Path(ids).expanduser()) if listed else (),
        splits=tuple(names_list(splits)),
        seed=seed,
    )


def _print_built(built: "BuiltSubset", counts: dict[str, dict[str, int]], *, as_json: bool) -> None:
    if as_json:
        document = {"path": str(built.root), "splits": counts, "failed": built.failed}
        show(json.dumps(document | {"was_finished": built.was_finished}, indent=2))
    else:
        show(str(built.root))
    for split, row in counts.items():
        say(f"  {split}: {row['images']:,} images of {row['ids']:,} people from {row['cameras']} cameras")
    if built.was_finished:
        say(f"'{built.root}' was finished already; --overwrite makes it anew.")
