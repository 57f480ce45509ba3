"""`reid-data composite`: the people of one set on plates of another."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_FAILED_ITEMS
from ..options import (
    data_root_option,
    dry_run_option,
    json_option,
    limit_option,
    matte_option,
    seed_option,
    workers_option,
)
from ..segmenters import device_option, make_segmenter
from ..sets import output_path
from ..tables import print_table
from ..terminal import Stages, duration, say, show, tell_failed

if TYPE_CHECKING:
    from reid_data.compose.build import Built
    from reid_data.compose.settings import CompositeSettings


@click.command()
@click.option("--fg", required=True, metavar="SET", help="Whose people: a set's name or path.")
@click.option("--bg", required=True, metavar="SET", help="Whose plates: a set's name or path.")
@click.option("--out", default="composite", show_default=True, help="Name below the data root, or a path with a slash.")
@data_root_option
@matte_option
@click.option(
    "--segmenter",
    default="small",
    show_default=True,
    help="How people are cut out: small, small-synth, grabcut, sam or precomputed.",
)
@click.option("--weights", default="", metavar="FILE", help="Another network for small: from train-segmenter.")
@click.option("--sam-model", default="vit_h", show_default=True, help="vit_t (MobileSAM), vit_b, vit_l or vit_h.")
@click.option("--sam-weights", default="", metavar="FILE", envvar="REID_SAM_WEIGHTS", help="SAM's published file.")
@device_option
@click.option("--min-quality", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="Gate on masks.")
@click.option("--pairing", default="random", show_default=True, help="Which plate: random, camera, identity.")
@click.option("--max-reuse", type=click.IntRange(min=1), default=6, show_default=True, help="Images per plate.")
@click.option("--fill", default="rows", show_default=True, help="How a plate's hole is filled: rows, telea.")
@click.option("--blend", default="feather", show_default=True, help="Edge of the pasted person: feather, hard.")
@click.option(
    "--decontaminate/--no-decontaminate", default=True, show_default=True, help="Clean the rim of the old background."
)
@click.option(
    "--luminance/--no-luminance", default=True, show_default=True, help="Brighten the person for the plate's light."
)
@click.option(
    "--sharpness/--no-sharpness", default=True, show_default=True, help="Blur the plate to the person's sharpness."
)
@click.option("--shadow/--no-shadow", default=True, show_default=True, help="Contact shadow under the feet.")
@click.option(
    "--jpeg-quality",
    type=click.IntRange(0, 100),
    default=0,
    show_default="that of --bg",
    help="Of the one final encoding.",
)
@seed_option
@workers_option
@limit_option("At most N images of each split.")
@click.option("--overwrite", is_flag=True, help="Start afresh if this command wrote --out with other settings.")
@dry_run_option
@click.option(
    "--preview",
    "samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N samples as a contact sheet beside --out, and what the whole would take.",
)
@json_option
def composite(fg: str, bg: str, out: str, data_root: Path, **options: Any) -> int:
    """Paste the people of one set on plates of another: a new set in Market layout.

    Train images get plates of the train side, query and gallery images plates of the test side. The same command goes on
    where an interrupted one stopped.

    \b
    Example:
      reid-data composite --fg market --bg duke
      reid-data composite --fg market --bg duke --preview 24
      reid-data composite --fg market --bg duke --pairing camera --out by-camera --limit 300
    """
    from reid_data.compose.build import build_composite
    from reid_data.datasets import load_dataset
    from reid_data.parallel import default_workers

    settings = _settings(options)
    people, scenes = (load_dataset(name, data_root, options["matte"]) for name in (fg, bg))
    segmenter = make_segmenter(options["segmenter"], options).adapted_to(people.train)
    for notice in dict.fromkeys(card.notice for card in (people.card, scenes.card) if card.notice):
        say(f"Notice: {notice}")
    target = output_path(out, data_root)
    if options["dry_run"]:
        return _print_outlook(people, scenes, target, segmenter, settings, options)
    if options["samples"]:
        return _preview(people, scenes, target, segmenter, settings, options)
    workers = default_workers() if options["workers"] is None else options["workers"]
    with Stages() as stages:
        built = build_composite(
            people,
            scenes,
            target,
            segmenter,
            settings,
            workers=workers,
            overwrite=options["overwrite"],
            progress=stages,
        )
    _print_built(built, as_json=options["as_json"])
    return EXIT_FAILED_ITEMS if built.failed else 0


def _settings(options: dict[str, Any]) -> "CompositeSettings":
    from reid_data.compose.picture import Steps
    from reid_data.compose.recipe import PlanSettings
    from reid_data.compose.settings import CompositeSettings
    from reid_data.plates.crops import PlateSettings

    gate = options["min_quality"]
    return CompositeSettings(
        PlanSettings(gate, options["pairing"], options["max_reuse"], options["seed"]),
        PlateSettings(options["fill"], min_quality=gate),
        Steps(
            options["blend"],
            decontaminate=options["decontaminate"],
            match_luminance=options["luminance"],
            match_sharpness=options["sharpness"],
            contact_shadow=options["shadow"],
            jpeg_quality=options["jpeg_quality"],
        ),
        options["limit"],
    )


def _print_outlook(
    people: Any, scenes: Any, target: Path, segmenter: Any, settings: "CompositeSettings", options: dict[str, Any]
) -> int:
    """What a run would do."""
    from reid_data.compose.settings import outlook

    plan = outlook(people, scenes, target, segmenter, settings, overwrite=options["overwrite"])
    if options["as_json"]:
        show(json.dumps(plan, indent=2))
        return 0
    images = ", ".join(f"{split} {number:,}" for split, number in plan["images"].items())
    show(f"{plan['state']}: '{plan['out']}'")
    show(f"images: {images} ({plan['done']:,} done)")
    show(f"plates: about {plan['plates']:,}; space: about {plan['bytes'] / 1e6:,.0f} MB")
    return 0


def _preview(
    people: Any, scenes: Any, target: Path, segmenter: Any, settings: "CompositeSettings", options: dict[str, Any]
) -> int:
    """A contact sheet of samples, and the estimate."""
    from dataclasses import asdict

    from reid_data.images import write_image
    from reid_data.parallel import default_workers
    from reid_data.quality.preview import preview_composite
    from reid_data.quality.sheet import contact_sheet

    workers = default_workers() if options["workers"] is None else options["workers"]
    strips, plan = preview_composite(people, scenes, segmenter, settings, num=options["samples"], workers=workers)
    sheet = target.parent / f"{target.name}-preview.jpg"
    write_image(sheet, contact_sheet(strips))
    if options["as_json"]:
        show(json.dumps({"sheet": str(sheet), "workers": workers, **asdict(plan)}, indent=2))
        return EXIT_FAILED_ITEMS if plan.failed else 0
    show(str(sheet))
    show(
        f"the whole: {plan.images:,} images (about {plan.dropped:,} dropped, {plan.failed:,} unreadable), "
        f"{plan.plates:,} plates, about {duration(plan.seconds)} with {workers} worker{'s' * (workers > 1)}, "
        f"{plan.set_bytes / 1e6:,.0f} MB for the set and up to {plan.cache_bytes / 1e6:,.0f} MB of cache"
    )
    return EXIT_FAILED_ITEMS if plan.failed else 0


def _print_built(built: "Built", *, as_json: bool) -> None:
    from reid_data.manifest import read_manifest

    if as_json:
        result = {"path": str(built.root), "counts": built.counts, "plates": built.plates, "crops_tried": built.tried}
        show(json.dumps({**result, "failed": built.failed, "was_finished": built.was_finished}, indent=2))
        return
    statuses = ("ok", "flagged", "dropped", "failed")
    rows = [[split, *(f"{part.get(status, 0):,}" for status in statuses)] for split, part in built.counts.items()]
    print_table(["split", *statuses], rows)
    show(f"{built.plates:,} plates from {built.tried:,} crops tried.")
    say(
        f"'{built.root}' was finished already; --overwrite makes it anew."
        if built.was_finished
        else f"Wrote '{built.root}'."
    )
    if built.failed:
        manifest = read_manifest(built.root)
        failed = [row for row in manifest.rows if row.get("status") == "failed"] if manifest else []
        tell_failed([(row["source"], row["reason"]) for row in failed], built.root)
