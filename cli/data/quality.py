"""`reid-data quality`: what the judges say of a composite."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import data_root_option, json_option, seed_option, workers_option
from ..segmenters import device_option, make_segmenter
from ..sets import output_path
from ..tables import print_table
from ..terminal import Stages, say, show

if TYPE_CHECKING:
    from reid_data.manifest import Manifest


@click.command()
@click.argument("name")
@click.option("--judge", "dear", is_flag=True, help="Also the dear judges: minutes, not seconds.")
@click.option(
    "--sample", type=click.IntRange(min=8), default=300, show_default=True, help="Images for the dear judges."
)
@click.option("--segmenter", default="small", show_default=True, help="Who segments for them: small, small-synth.")
@device_option
@data_root_option
@seed_option
@workers_option
@json_option
def quality(name: str, data_root: Path, as_json: bool, **options: Any) -> None:
    """What the judges say of a composite: those in its manifest, and with --judge those that cost something.

    The dear ones: agreement with the mirror image's mask, re-segmentation, how well a small classifier tells people pasted on
    plates of their own set from their photographs, and on synthetic people the truth. Formulas: docs/composites.md.

    \b
    Example:
      reid-data quality composite
      reid-data quality composite --judge --sample 200
    """
    from dataclasses import asdict

    from reid_data.errors import InputError
    from reid_data.files import printable
    from reid_data.quality.score import AIMS, summarise_judges
    from reid_data.written.verify import require_manifest

    root = output_path(name, data_root)
    manifest = require_manifest(root)
    if manifest.header["command"] != "composite":
        raise InputError(f"'{printable(root)}' is no set made by 'reid-data composite': there is nothing to judge.")
    rows = manifest.of_kind("image")
    found = {name: {**asdict(one), "meaning": AIMS[name].meaning} for name, one in summarise_judges(rows).items()}
    if options["dear"]:
        found |= _dear_judges(root, manifest, data_root, options)
    if as_json:
        show(json.dumps({"path": str(root), "judges": found}, indent=2))
        return
    table = []
    for name, one in found.items():
        aim = f"{AIMS[name].low:g} to {AIMS[name].high:g}" if name in AIMS else "-"
        within = f"{one['within']:.0%}" if name in AIMS else "-"
        numbers = [f"{one[key]:.3f}" for key in ("mean", "p10", "median", "p90")]
        table.append([name, f"{one['num']:,}", *numbers, aim, within, one["meaning"]])
    print_table(["judge", "images", "mean", "p10", "median", "p90", "aim", "within", ""], table, left=(0, 8))


def _dear_judges(root: Path, manifest: "Manifest", data_root: Path, options: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from reid_data.compose.settings import load_source
    from reid_data.parallel import default_workers
    from reid_data.quality.judges import (
        Composites,
        choose_rows,
        judge_by_classifier,
        judge_by_masks,
        judge_by_truth,
        steps_of,
    )
    from reid_data.quality.score import Aim, summarise_values

    sources, settings = manifest.header["sources"], manifest.header["settings"]
    people, scenes = (load_source(root, sources[role], data_root) for role in ("foreground", "background"))
    segmenter = make_segmenter(options["segmenter"], {**options, "flip": False, "weights": ""})
    rows = choose_rows(manifest.of_kind("image"), options["sample"])
    these = Composites(root, rows, {record.name: record for record in people.records}, steps_of(settings))
    with Stages() as stages:
        judged = judge_by_masks(these, segmenter, stages) | judge_by_truth(these, segmenter)
        workers = default_workers() if options["workers"] is None else options["workers"]
        classifier = judge_by_classifier(
            scenes,
            segmenter,
            these.steps,
            num=options["sample"],
            seed=options["seed"],
            workers=workers,
            progress=stages,
        )
    if classifier is None:
        say(
            f"'{scenes.name}' is a background set: without people of its own there is nothing for the classifier to compare."
        )
    else:
        judged["classifier_auc"] = classifier
    anything = Aim(0, 1, "", "")
    return {
        name: {**asdict(summarise_values(one.values, anything)), "meaning": one.meaning} for name, one in judged.items()
    }
