"""`reid-data segment`: masks or cut-outs of a set or a folder."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, json_option, limit_option, matte_option, workers_option
from ..segmenters import device_option, make_segmenter
from ..terminal import Progress, say, seen_through, show

if TYPE_CHECKING:
    from reid_data.records import Colour, Record


@click.command()
@click.argument("source", metavar="SET|FOLDER")
@click.option("--out", type=click.Path(path_type=Path), default=None, show_default="beside the source, NAME-masks")
@data_root_option
@matte_option
@click.option(
    "--segmenter", default="small", show_default=True, help="small, small-synth, sam, grabcut or precomputed."
)
@click.option("--weights", default="", metavar="FILE", help="Another network for small: from train-segmenter.")
@click.option("--sam-model", default="vit_h", show_default=True, help="vit_t (MobileSAM), vit_b, vit_l or vit_h.")
@click.option("--sam-weights", default="", metavar="FILE", envvar="REID_SAM_WEIGHTS", help="SAM's published file.")
@device_option
@click.option("--flip", is_flag=True, help="small: average with the mirrored picture; a little better, twice the time.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["alpha", "rgba"]),
    default="alpha",
    show_default=True,
    help="Soft masks, or cut-outs with transparency.",
)
@click.option(
    "--keep-colour",
    is_flag=True,
    help="With --as rgba: leave the photograph's pixels in the file where it is transparent.",
)
@click.option(
    "--min-quality", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="Below it: verdict low."
)
@click.option("--judge", is_flag=True, help="Quality also from the mirrored picture's mask; twice the time.")
@workers_option
@limit_option("At most N pictures.")
@json_option
def segment(
    source: str, out: Path | None, data_root: Path, kind: str, min_quality: float, judge: bool, **options: Any
) -> int:
    """Cut the person out of every crop of a set or a folder; sub-folders are kept.

    Writes PNG files below --out and masks.jsonl with a verdict, a quality and the reasons for each picture.

    \b
    Example:
      reid-data segment market
      reid-data segment ~/photos/crops --as rgba --out ~/photos/cutouts
    """
    from reid_data.errors import UsageError, printable
    from reid_data.export.masks import ExportSettings, export_masks
    from reid_data.parallel import default_workers

    records, target = _crops(source, data_root, out, options["matte"])
    segmenter = make_segmenter(options["segmenter"], options).adapted_to(records)
    if options["keep_colour"] and kind != "rgba":
        raise UsageError("--keep-colour is about cut-outs: give --as rgba with it.")
    if judge and segmenter.name == "precomputed":
        raise UsageError("--judge asks a segmenter twice; masks on disk answer once. Leave it out.")
    with Progress("masks") as progress:
        verdicts = export_masks(
            records[: options["limit"]],
            target,
            segmenter,
            ExportSettings(kind, min_quality, judge, options["keep_colour"]),
            workers=default_workers() if options["workers"] is None else options["workers"],
            progress=progress,
        )
    if options["as_json"]:
        show(json.dumps({"out": str(target), "segmenter": segmenter.name, "verdicts": dict(sorted(verdicts.items()))}))
    else:
        counts = ", ".join(f"{verdict} {number:,}" for verdict, number in sorted(verdicts.items()))
        show(f"{target}: {counts} (reasons in masks.jsonl)")
    if verdicts["failed"]:
        failed = _failed(target)
        glass = seen_through(reason for _, reason in failed)
        say(
            f"{verdicts['failed']:,} pictures could not be used{glass}; the first: {printable(failed[0][0])} {failed[0][1]}"
        )
    return EXIT_FAILED_ITEMS if verdicts["failed"] else 0


def _failed(target: Path) -> list[tuple[str, str]]:
    """The pictures that could not be used, and why, by the table that was just written."""
    from reid_data.manifest import MASK_TABLE

    rows = [json.loads(line) for line in (target / MASK_TABLE).read_text(encoding="ascii").splitlines()]
    return [(row["name"], row["reasons"][0]) for row in rows if row.get("verdict") == "failed"]


def _crops(source: str, data_root: Path, out: Path | None, matte: "Colour | None") -> tuple[list["Record"], Path]:
    """The records behind a set's name or a folder, and the folder for their masks."""
    from reid_data.datasets import is_path, load_dataset
    from reid_data.errors import InputError, UsageError
    from reid_data.export.masks import list_crops
    from reid_data.files import printable
    from reid_data.records import read_with

    if not is_path(source):
        dataset = load_dataset(source, data_root, matte)
        if dataset.card.notice:
            say(f"Notice: {dataset.card.notice}")
        return dataset.records, out or data_root / f"{source}-masks"
    folder = Path(os.path.abspath(Path(source).expanduser()))
    if not folder.is_dir():
        raise InputError(f"'{printable(folder)}' is not a folder. Give a folder of crops or the name of a set.")
    target = out or folder.with_name(f"{folder.name}-masks")
    if target.resolve() == folder.resolve():
        raise UsageError("--out is the folder of the pictures itself. Give another.")
    records, others = list_crops(folder, target)
    if others:
        say(f"Notice: passed over below '{printable(folder)}', no pictures: {others:,}")
    return records if matte is None else read_with(records, matte), target
