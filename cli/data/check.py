"""`reid-data check`: the faults of a source set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, json_option, matte_option, workers_option
from ..sets import notice
from ..tables import print_table
from ..terminal import Progress, say, show

if TYPE_CHECKING:
    from reid_data.records import Colour


@click.command()
@click.argument("name", metavar="SET|FOLDER")
@data_root_option
@matte_option
@workers_option
@json_option
def check(name: str, data_root: Path, matte: "Colour | None", workers: int | None, as_json: bool) -> int:
    """Decode every image of a set, or of a folder of photographs, and name the faults that make training or scores wrong.

    Exit code 0: nothing wrong (notes are worth a look); 1: faults found.

    \b
    Example:
      reid-data check market
      reid-data check ./my_crops --json
    """
    from reid_data.datasets.check import check as check_set
    from reid_data.datasets.pictures import load_pictures
    from reid_data.parallel import default_workers
    from reid_data.records import SPLITS, count_split

    dataset = load_pictures(name, data_root, matte)
    notice(dataset)
    with Progress(f"check {dataset.name}") as progress:
        findings, failed = check_set(dataset, default_workers() if workers is None else workers, progress)
    faults = sum(finding.severity == "fault" for finding in findings)
    counts = {split: count_split(dataset.split(split)) for split in SPLITS}
    if as_json:
        document: dict[str, Any] = {
            "name": dataset.name,
            "path": str(dataset.root),
            "splits": counts,
            "ignored": dataset.ignored,
        }
        document |= {
            "findings": [finding.as_dict() for finding in findings],
            "unreadable": [list(pair) for pair in failed],
        }
        show(json.dumps(document, indent=2, ensure_ascii=True))
    else:
        _print_check(dataset, counts, findings, failed)
        say(f"{dataset.name}: {faults} fault{'s' * (faults != 1)}, {len(findings) - faults} to look at.")
    return EXIT_FAILED_ITEMS if faults else 0


def _print_check(
    dataset: Any, counts: dict[str, dict[str, int]], findings: list[Any], failed: list[tuple[str, str]]
) -> None:
    from reid_data.files import printable
    from reid_data.records import TRANSPARENT

    keys = ("ids", "images", "cameras", "junk", "distractors")
    rows = [[split, *(f"{row[key]:,}" for key in keys)] for split, row in counts.items()]
    print_table(["split", *keys], rows)
    for reason, count in dataset.ignored.items():
        show(f"{count:,} files ignored: {reason}")
    for finding in findings:
        show(f"\n{finding.severity.upper()} {finding.kind}: {finding.what}")
        show(f"  effect: {finding.effect}\n  remedy: {finding.remedy}")
        if finding.kind != "unreadable":
            for example in finding.examples:
                show(f"    {printable(example)}")
    for path, reason in failed:
        if reason == TRANSPARENT:  # all alike: the finding tells their number and names some
            continue
        show(f"    {printable(path)} {reason}")
