"""`reid-data train-segmenter`: the small segmenter, trained or fine-tuned."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import seed_option, workers_option
from ..segmenters import device_option
from ..terminal import Progress, say, show

if TYPE_CHECKING:
    from reid_data.train_segmenter.run import TrainSettings


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

    from reid_data.devices import choose_device
    from reid_data.parallel import default_workers
    from reid_data.segment.network import save_weights
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
            workers=default_workers() if options["workers"] is None else options["workers"],
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
    show(f"{out} ({out.stat().st_size / 1e6:.1f} MB). Use it: reid-data segment FOLDER --weights {out}")


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
    probe = temporary_path(out)
    try:
        probe.touch()
        probe.unlink()
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
