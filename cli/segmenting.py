"""`reid-data` commands around segmenters: masks of a folder, training the small network, fetching SAM's weights."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import EXIT_FAILED_ITEMS
from .options import Progress, data_root_option, json_option, limit_option, say, seed_option, workers_option

if TYPE_CHECKING:
    from reid_data.records import Record
    from reid_data.segment.base import Segmenter
    from reid_data.train_segmenter.run import TrainSettings

device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


@click.command()
@click.argument("source", metavar="NAME|FOLDER")
@click.option("--out", type=click.Path(path_type=Path), default=None, show_default="beside the source, NAME-masks")
@data_root_option
@click.option(
    "--segmenter", default="small", show_default=True, help="small, small-synth, sam, grabcut or precomputed."
)
@click.option("--weights", default="", metavar="FILE", help="Another network for small: from train-segmenter.")
@click.option("--sam-model", default="vit_h", show_default=True, help="vit_b, vit_l or vit_h.")
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
    from reid_data.errors import UsageError
    from reid_data.export.masks import ExportSettings, export_masks
    from reid_data.parallel import default_workers
    from reid_data.segment.grabcut import adapted_to

    records, target = _crops(source, data_root, out)
    segmenter = adapted_to(make_segmenter(options["segmenter"], options), records)
    if judge and segmenter.name == "precomputed":
        raise UsageError("--judge asks a segmenter twice; masks on disk answer once. Leave it out.")
    with Progress("masks") as progress:
        verdicts = export_masks(
            records[: options["limit"]],
            target,
            segmenter,
            ExportSettings(kind, min_quality, judge),
            workers=options["workers"] or default_workers(),
            progress=progress,
        )
    if options["as_json"]:
        click.echo(
            json.dumps({"out": str(target), "segmenter": segmenter.name, "verdicts": dict(sorted(verdicts.items()))})
        )
    else:
        counts = ", ".join(f"{verdict} {number:,}" for verdict, number in sorted(verdicts.items()))
        click.echo(f"{target}: {counts} (reasons in masks.jsonl)")
    return EXIT_FAILED_ITEMS if verdicts["failed"] else 0


def _crops(source: str, data_root: Path, out: Path | None) -> tuple[list["Record"], Path]:
    """The records behind a set's name or a folder, and the folder for their masks."""
    from reid_data.datasets import is_path, load_dataset
    from reid_data.errors import InputError, UsageError
    from reid_data.export.masks import list_crops
    from reid_data.files import printable

    if not is_path(source):
        dataset = load_dataset(source, data_root)
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
        say(f"Notice: passed over below '{printable(folder)}', no JPEG, PNG or BMP suffix: {others:,}")
    return records, target


def make_segmenter(name: str, options: dict[str, Any]) -> "Segmenter":
    """The segmenter called `name` with `device`, `flip`, `weights`, `sam_model` and `sam_weights` from `options`."""
    from reid_data.errors import UsageError
    from reid_data.segment import build_segmenter
    from reid_data.segment.sam import SamSegmenter, sam_registry
    from reid_data.segment.sam_weights import checked_weights
    from reid_data.segment.small_net import SmallSegmenter, choose_device

    segmenter = build_segmenter(name)
    if isinstance(segmenter, SmallSegmenter):
        choose_device(options["device"])
        return replace(segmenter, device=options["device"], flip=options["flip"], weights=options["weights"])
    if options["flip"] or options["weights"]:
        raise UsageError(f"--flip and --weights belong to --segmenter small, not to {name}. Leave them out.")
    if isinstance(segmenter, SamSegmenter):
        sam_registry()
        checked_weights(options["sam_model"], options["sam_weights"])
        return replace(segmenter, device=options["device"], model=options["sam_model"], weights=options["sam_weights"])
    return segmenter


@click.command("fetch-weights")
@click.argument("model", default="vit_h")
def fetch_weights_command(model: str) -> None:
    """Fetch Segment Anything's published weights (0.4 GB vit_b, 1.2 GB vit_l, 2.6 GB vit_h) into the cache.

    The only command of reid-data that uses the network. The file is kept only if its sha256 is the published one.

    \b
    Example:
      reid-data fetch-weights vit_h
    """
    from reid_data.segment.sam_weights import fetch_weights

    with Progress(f"fetch {model}") as progress:
        path = fetch_weights(model, progress)
    click.echo(str(path))


@click.command("train-segmenter")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The weights file to write (.safetensors).")
@click.option("--work", type=click.Path(path_type=Path), default=None, show_default="OUT.work", help="Bank and state.")
@click.option("--penn-fudan", default="", metavar="DIR", help="PennFudanPed; its held-out photographs are left out.")
@click.option("--ccp", default="", metavar="DIR", help="clothing-co-parsing.")
@click.option("--own", default="", metavar="DIR", help="Your pictures, each with a mask of its name below DIR/masks.")
@click.option(
    "--synthetic", type=click.IntRange(min=0), default=2000, show_default=True, help="Synthetic crops to draw."
)
@click.option("--start", default="", metavar="FILE", help="Fine-tune this network: a file, small or small-synth.")
@click.option("--steps", type=click.IntRange(min=1), default=6000, show_default=True, help="Length of the schedule.")
@click.option("--batch", type=click.IntRange(min=2), default=32, show_default=True, help="Samples per step.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=None, show_default="0.004; 0.0005 with --start"
)
@click.option(
    "--matrix-rate",
    type=click.FloatRange(min=0),
    default=None,
    show_default="0.03; 0 with --start",
    help="Of Muon, for the inner convolutions; 0: AdamW moves them, too.",
)
@click.option("--bf16", is_flag=True, help="Faster on a processor with avx512_bf16 or AMX; a GPU always does it.")
@click.option("--empty", type=click.FloatRange(0, 1), default=0.13, show_default=True, help="Share without a person.")
@click.option(
    "--drawn", type=click.FloatRange(0, 1), default=0.17, show_default=True, help="Share of synthetic people."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch, on the processor.")
@click.option("--terms", default="", help="Terms of the photographs, kept in the file.")
@device_option
@seed_option
@workers_option
def train_segmenter(out: Path, work: Path | None, **options: Any) -> None:
    """Train or fine-tune the small segmenter; the same command goes on where a stopped one was.

    Without photographs it learns from synthetic pedestrians alone.

    \b
    Example:
      reid-data train-segmenter --out mine.safetensors --own ~/crops --start small --steps 500
      reid-data train-segmenter --out synth.safetensors --synthetic 7000 --steps 6000
    """
    import torch

    from reid_data.parallel import default_workers
    from reid_data.segment.network import save_weights
    from reid_data.segment.small_net import choose_device
    from reid_data.train_segmenter.bank import Sources
    from reid_data.train_segmenter.run import train_segmenter as train

    _refuse_foreign_file(out)
    work = work or out.with_name(out.name + ".work")
    sources = Sources(options["penn_fudan"], options["ccp"], options["own"], options["synthetic"], options["seed"])
    settings, device = _train_settings(options), choose_device(options["device"])
    torch.set_num_threads(options["threads"])
    say(f"Gathering pictures in {work / 'bank'}")
    with Progress("steps") as progress:
        net, bank = train(
            work,
            sources,
            settings,
            workers=options["workers"] or default_workers(),
            device=device,
            gathered=lambda bank: say(
                f"{len(bank.people):,} people, {len(bank.drawn):,} synthetic crops, {len(bank.empty):,} empty places"
            ),
            progress=progress,
        )
    recipe = asdict(settings) | {"people": len(bank.people), "synthetic": len(bank.drawn)}
    about = {
        "terms": options["terms"] or _terms(settings.start, photographs=len(bank.people) > 0),
        "recipe": json.dumps(recipe | {"start": Path(settings.start).name}, sort_keys=True),
    }
    save_weights(net, out, about)
    click.echo(f"{out} ({out.stat().st_size / 1e6:.1f} MB). Use it: reid-data segment FOLDER --weights {out}")


def _terms(start: str, *, photographs: bool) -> str:
    """What is said of the weights where the user says nothing: the terms of the network they began as, and of the pictures."""
    from reid_data.segment.network import read_about
    from reid_data.train_segmenter.run import start_path

    own = "ask the owners of the photographs" if photographs else "CC0-1.0: synthetic pictures only"
    if not start:
        return own
    return f"begun as a network with these terms: {read_about(start_path(start)).get('terms', 'unknown')}; then {own}"


def _refuse_foreign_file(out: Path) -> None:
    """Raise unless `out` can be written and is nothing or a network of this command: known before the training, not after."""
    from reid_data.errors import EnvironmentFault, InputError
    from reid_data.files import make_folder, printable, temporary_path
    from reid_data.segment.network import load_weights

    make_folder(out.parent)
    try:
        temporary_path(out).touch()
        temporary_path(out).unlink()
    except OSError as error:
        raise EnvironmentFault(f"cannot write '{printable(out)}': {error.strerror}.") from error
    if out.exists():
        try:
            load_weights(out)
        except InputError as error:
            raise EnvironmentFault(
                f"'{printable(out)}' is there and no segmenter's weights; it is left alone. Choose another --out."
            ) from error


def _train_settings(options: dict[str, Any]) -> "TrainSettings":
    from reid_data.train_segmenter.run import TrainSettings

    start = options["start"]
    people = options["penn_fudan"] or options["ccp"] or options["own"]
    return TrainSettings(
        steps=options["steps"],
        batch=options["batch"],
        rate=options["rate"] or (5e-4 if start else 4e-3),
        matrix_rate=options["matrix_rate"] if options["matrix_rate"] is not None else (0.0 if start else 0.03),
        empty=options["empty"],
        drawn=options["drawn"] if people else 1 - options["empty"],
        seed=options["seed"],
        start=start,
        bf16=options["bf16"],
    )
