"""`reid-data` commands that look before a run: check, import, env, doctor."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from .errors import EXIT_FAILED_ITEMS
from .options import Progress, choose, data_root_option, json_option, say, workers_option
from .sets import notice


@click.command()
@click.argument("name")
@data_root_option
@workers_option
@json_option
def check(name: str, data_root: Path, workers: int | None, as_json: bool) -> int:
    """Decode every image of a set and name the faults that make training or scores wrong.

    Exit code 0: nothing wrong (notes are worth a look); 1: faults found.

    \b
    Example:
      reid-data check market
      reid-data check ./my_crops --json
    """
    from reid_data.datasets import load_dataset
    from reid_data.datasets.check import check as check_set
    from reid_data.parallel import default_workers
    from reid_data.records import SPLITS, count_split

    dataset = load_dataset(name, data_root)
    notice(dataset)
    with Progress(f"check {dataset.name}") as progress:
        findings, failed = check_set(dataset, workers or default_workers(), progress)
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
        click.echo(json.dumps(document, indent=2, ensure_ascii=True))
    else:
        _print_check(dataset, counts, findings, failed)
        say(f"{dataset.name}: {faults} fault{'s' * (faults != 1)}, {len(findings) - faults} to look at.")
    return EXIT_FAILED_ITEMS if faults else 0


def _print_check(
    dataset: Any, counts: dict[str, dict[str, int]], findings: list[Any], failed: list[tuple[str, str]]
) -> None:
    from reid_data.files import printable

    from .tables import print_table

    keys = ("ids", "images", "cameras", "junk", "distractors")
    rows = [[split, *(f"{row[key]:,}" for key in keys)] for split, row in counts.items()]
    print_table(["split", *keys], rows)
    for reason, count in dataset.ignored.items():
        click.echo(f"{count:,} files ignored: {reason}")
    for finding in findings:
        click.echo(f"\n{finding.severity.upper()} {finding.kind}: {finding.what}")
        click.echo(f"  effect: {finding.effect}\n  remedy: {finding.remedy}")
        if finding.kind != "unreadable":
            for example in finding.examples:
                click.echo(f"    {printable(example)}")
    for path, reason in failed:
        click.echo(f"    {printable(path)} {reason}")


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, help="Name of the new set below the data root, or a path with a slash.")
@click.option(
    "--pattern",
    default="",
    help="Regular expression with the named groups pid and camid (and perhaps split); for folders.",
)
@click.option(
    "--split",
    default="auto",
    show_default=True,
    help="Where crops go that name no split: train, query, gallery, or auto.",
)
@click.option("--copy", is_flag=True, help="Copy the files; the default is hard links.")
@click.option(
    "--terms",
    default="unknown: ask the owner of the images",
    show_default=True,
    help="Terms of use, recorded in the set.",
)
@data_root_option
@json_option
def import_command(
    source: Path, out: str, pattern: str, split: str, copy: bool, terms: str, data_root: Path, as_json: bool
) -> None:
    r"""Turn a folder of crops, or a CSV (path,pid,camid,split), into a set in Market layout.

    --split auto: the first half of the sorted identities trains, the rest is tested; the first image of each person from
    each camera is the query.

    \b
    Example:
      reid-data import ./crops --out mine --pattern 'person(?P<pid>\d+)_cam(?P<camid>\d+)'
      reid-data import ./crops.csv --out mine
    """
    from reid_data.datasets import is_path
    from reid_data.datasets.importer import SPLIT_MODES, ImportSettings, import_set
    from reid_data.errors import UsageError
    from reid_data.records import SPLITS, count_split

    choose("split", split, list(SPLIT_MODES))
    if source.is_dir() and not pattern:
        raise UsageError(r"a folder needs --pattern, for example --pattern '(?P<pid>\d+)_c(?P<camid>\d+)'.")
    target = Path(out) if is_path(out) else data_root / out
    dataset = import_set(source, target, ImportSettings(pattern, split, copy, terms))
    counts = {name: count_split(dataset.split(name)) for name in SPLITS}
    if as_json:
        click.echo(json.dumps({"name": dataset.name, "path": str(target), "splits": counts}, indent=2))
    else:
        click.echo(str(target))
    for name, row in counts.items():
        say(f"  {name}: {row['images']:,} images of {row['ids']:,} people from {row['cameras']} cameras")
    say(f"Next: reid-data check {out if is_path(out) else target.name}")


@click.command()
@data_root_option
@json_option
def env(data_root: Path, as_json: bool) -> None:
    """Versions, device, decoders, cache, data root, found sets and weights: what to put into a bug report.

    \b
    Example:
      reid-data env
    """
    from .environment import describe

    facts = describe(data_root)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        for number, line in enumerate(value if isinstance(value, list) else [value]):
            click.echo(f"{key if number == 0 else '':<18}{line}")


@click.command()
@data_root_option
@json_option
def doctor(data_root: Path, as_json: bool) -> int:
    """Try what every run needs (write, decode, hash, start processes, train one step) and say how to mend what fails.

    \b
    Example:
      reid-data doctor
    """
    from .environment import examine

    results = list(examine(data_root))
    failed = [result for result in results if not result["ok"]]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        for result in results:
            click.echo(f"{'ok  ' if result['ok'] else 'FAIL'}  {result['what']}: {result['found']}")
            if not result["ok"]:
                click.echo(f"      remedy: {result['remedy']}")
    say("All is well." if not failed else f"{len(failed)} of {len(results)} failed.")
    sys.stdout.flush()
    return EXIT_FAILED_ITEMS if failed else 0
