"""`reid-data backgrounds`: a background set, of person-free plates."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, dry_run_option, json_option, matte_option, seed_option, workers_option
from ..segmenters import device_option, make_segmenter
from ..sets import output_path
from ..tables import print_table
from ..terminal import Stages, say, show, tell_failed

if TYPE_CHECKING:
    from reid_data.plates.build import BackgroundSettings, BuiltBackgrounds
    from reid_data.records import ReidDataset


@click.command()
@click.argument("source", metavar="NAME|FOLDER")
@click.option(
    "--out", default="", metavar="NAME", show_default="NAME-backgrounds", help="Below the data root, or a path."
)
@data_root_option
@matte_option
@click.option(
    "--from",
    "kind",
    default="",
    metavar="crops|scenes|frames",
    show_default="crops for a set, scenes for a folder",
    help="Pedestrian crops, scenes (any pictures), or frames of fixed cameras (a sub-folder each).",
)
@click.option(
    "--num", type=click.IntRange(min=2), default=1000, show_default=True, help="Plates, half of them for training."
)
@click.option(
    "--segmenter", default="small", show_default=True, help="Who cuts people out and looks for them afterwards."
)
@click.option("--weights", default="", metavar="FILE", help="Another network for small: from train-segmenter.")
@device_option
@click.option(
    "--min-quality", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="Gate on masks; for crops."
)
@click.option("--fill", default="rows", show_default=True, help="How a hole is filled, for crops: rows, telea.")
@click.option("--terms", default="unknown: ask the owner of the images", help="Terms of a folder's pictures; recorded.")
@seed_option
@workers_option
@click.option("--overwrite", is_flag=True, help="Start afresh if this command wrote --out with other settings.")
@dry_run_option
@json_option
def backgrounds(source: str, out: str, data_root: Path, **options: Any) -> int:
    """Write a background set, person-free plates per camera, for composite --bg and fit --bg.

    From the crops of a set (the person is cut out, the place filled), from any folder of scenes (plate-sized pieces with
    ground to stand on), or from the frames of fixed cameras (their median over time). A segmenter looks for people left over.

    \b
    Example:
      reid-data backgrounds duke
      reid-data backgrounds ~/video-stills --from frames --out campus
      reid-data composite --fg market --bg campus
    """
    from reid_data.parallel import default_workers
    from reid_data.plates.build import build_backgrounds
    from reid_data.records import over_matte

    dataset, kind = _source(source, data_root, options["kind"], options["terms"])
    dataset = over_matte(dataset, options["matte"])
    if dataset.card.notice:
        say(f"Notice: {dataset.card.notice}")
    settings = _settings(kind, options)
    segmenter_options = {**options, "flip": False, "sam_model": "vit_h", "sam_weights": ""}
    segmenter = make_segmenter(options["segmenter"], segmenter_options)
    segmenter = segmenter.adapted_to(dataset.records) if kind == "crops" else segmenter
    target = output_path(out or f"{dataset.name}-backgrounds", data_root)
    if options["dry_run"]:
        show(f"'{target}': {settings.num:,} plates from {len(dataset.records):,} pictures of '{dataset.name}' ({kind})")
        return 0
    with Stages() as stages:
        built = build_backgrounds(
            dataset,
            target,
            segmenter,
            settings,
            workers=default_workers() if options["workers"] is None else options["workers"],
            overwrite=options["overwrite"],
            progress=stages,
        )
    _print_built(built, as_json=options["as_json"])
    return EXIT_FAILED_ITEMS if built.failed else 0


def _source(source: str, data_root: Path, kind: str, terms: str) -> "tuple[ReidDataset, str]":
    """The set or folder meant, and how it is to be read."""
    from reid_data.datasets import is_path, load_dataset
    from reid_data.errors import InputError
    from reid_data.plates.scenes import picture_source
    from reid_data.records import SPLIT_FOLDERS

    folder = Path(source).expanduser()
    looks_like_a_set = any((folder / name).is_dir() for name in SPLIT_FOLDERS.values())
    if kind in ("", "crops") and (not is_path(source) or source.lower().endswith(".csv") or looks_like_a_set or kind):
        return load_dataset(source, data_root), "crops"
    if not is_path(source):
        return load_dataset(source, data_root), kind
    if not folder.is_dir():
        raise InputError(f"'{folder}' is not a folder.")
    return picture_source(folder, terms, frames=kind == "frames"), kind or "scenes"


def _settings(kind: str, options: dict[str, Any]) -> "BackgroundSettings":
    from reid_data.plates.build import BackgroundSettings
    from reid_data.plates.crops import PlateSettings

    plates = PlateSettings(options["fill"], min_quality=options["min_quality"])
    return BackgroundSettings(kind, options["num"], plates, options["seed"])


def _print_built(built: "BuiltBackgrounds", *, as_json: bool) -> None:
    if as_json:
        document = {"path": str(built.root), "plates": built.plates, "tried": built.tried, "rejected": built.rejected}
        rest = {"failed": len(built.failed), "was_finished": built.was_finished}
        show(json.dumps({**document, **rest}, indent=2))
        return
    cameras = sorted({camid for side in built.plates.values() for camid in side})
    rows = [[f"camera {camid}", *(str(side.get(camid, 0)) for side in built.plates.values())] for camid in cameras]
    print_table(["plates", *built.plates], rows)
    show(f"{built.tried:,} pieces tried.")
    for reason, number in list(built.rejected.items())[:5]:
        show(f"  refused {number:,}: {reason}")
    finished = "was finished already; --overwrite makes it anew."
    say(f"'{built.root}' {finished}" if built.was_finished else f"Wrote '{built.root}'.")
    tell_failed(built.failed, built.root)
