"""`reid-data synth`: synthetic sets."""

import json
from pathlib import Path
from typing import Any

import click

from ..options import data_root_option, dry_run_option, json_option, seed_option, workers_option
from ..terminal import Progress, say, show


@click.command()
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@data_root_option
@click.option(
    "--train",
    "num_train",
    type=click.IntRange(min=4),
    default=700,
    show_default=True,
    help="Training images of each set.",
)
@click.option(
    "--ids",
    "num_ids",
    type=click.IntRange(min=2),
    default=None,
    show_default="a tenth of --train",
    help="Training identities.",
)
@seed_option
@workers_option
@json_option
@dry_run_option
def synth(
    networks: tuple[str, ...],
    data_root: Path,
    num_train: int,
    num_ids: int | None,
    seed: int,
    workers: int | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Make synthetic sets: procedural pedestrians, no photograph of anybody.

    NETWORK is market (a plaza, 6 cameras) or duke (a campus, 8 cameras); both by default. A set lies in DATA_ROOT/NETWORK in
    Market layout, with masks/ (exact soft masks) and plates/ (the same pictures without the person). The same seed
    gives the same bytes for any number of workers. A set that is there already is kept, a synthetic one with other settings
    is replaced.

    \b
    Example:
      reid-data synth market duke --train 700 --seed 0
      reid-data synth market --train 2000 --ids 150 --data-root /tmp/toy
    """
    from reid_data.synth import generate as maker
    from reid_data.synth.place.scene import NETWORKS

    wanted = list(dict.fromkeys(networks or NETWORKS))
    settings = [maker.settings_of(network, num_train, num_ids, seed) for network in wanted]
    rows = [_make(data_root / one["network"], one, workers, dry_run=dry_run) for one in settings]
    if as_json:
        show(json.dumps(rows, indent=2))
        return
    for row in rows:
        counts = ", ".join(f"{split} {number}" for split, number in row["counts"].items())
        people = f"{row['num_ids']} + {row['num_ids']} identities"
        show(f"{row['network']}: {row['state']} in {row['root']} ({counts} images, {people})")
    if dry_run:
        say("Dry run: nothing was written.")


def _make(root: Path, settings: dict[str, Any], workers: int | None, *, dry_run: bool) -> dict[str, Any]:
    """Make one set unless it is there; what was done, as a row of the answer."""
    from reid_data.parallel import default_workers
    from reid_data.synth import generate as maker

    network = settings["network"]
    kept = maker.is_made(root, settings)
    if not kept and not dry_run:
        wanted = {key: settings[key] for key in ("num_train", "num_ids", "seed")}
        with Progress(f"synth {network}") as progress:
            maker.generate(
                root, network, **wanted, workers=default_workers() if workers is None else workers, progress=progress
            )
    state = "already there, kept" if kept else "would be made" if dry_run else "made"
    return {**settings, "root": str(root), "state": state, "counts": maker.counts_of(settings)}
