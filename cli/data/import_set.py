"""`reid-data import`: a folder of crops, or a list, as a set."""

import json
from pathlib import Path

import click

from ..options import choose, data_root_option, json_option
from ..sets import notice
from ..terminal import say, show


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, help="Name of the new set below the data root, or a path with a slash.")
@click.option(
    "--pattern",
    default="",
    help="Regular expression with the named groups pid and camid (and perhaps split); without it by the folder's layout.",
)
@click.option(
    "--split",
    default="auto",
    show_default=True,
    help="Where crops go that name no split: train, query, gallery, auto or cameras.",
)
@click.option("--ids-from-zero", is_flag=True, help="Id 0 is a person; without it -1 is junk and 0 a distractor.")
@click.option("--copy", is_flag=True, help="Copy the files; the default is hard links.")
@click.option("--follow-links", is_flag=True, help="Take in what links out of the source point to.")
@click.option(
    "--terms",
    default="unknown: ask the owner of the images",
    show_default=True,
    help="Terms of use, recorded in the set.",
)
@data_root_option
@json_option
def import_set(
    source: Path,
    out: str,
    pattern: str,
    split: str,
    ids_from_zero: bool,
    copy: bool,
    follow_links: bool,
    terms: str,
    data_root: Path,
    as_json: bool,
) -> None:
    r"""Turn a folder of crops, a zip of one, or a CSV (path,pid,camid,split), into a set in Market layout.

    --split auto: the first half of the sorted identities trains, the rest is tested; the first image of each person from
    each camera is the query. --split cameras: only one camera of each tested person asks, the others answer, as is needed
    where there is one picture a camera.

    \b
    Example:
      reid-data import ./crops --out mine --pattern 'person(?P<pid>\d+)_cam(?P<camid>\d+)'
      reid-data import ./crops.csv --out mine
      reid-data import ./person-folders.zip --out mine --split cameras
    """
    from reid_data.datasets import is_path
    from reid_data.datasets.importer import SPLIT_MODES, ImportSettings, import_set, no_test
    from reid_data.records import SPLITS, count_split

    choose("split", split, list(SPLIT_MODES))
    target = Path(out) if is_path(out) else data_root / out
    dataset = import_set(source, target, ImportSettings(pattern, split, copy, follow_links, ids_from_zero, terms))
    notice(dataset)
    counts = {name: count_split(dataset.split(name)) for name in SPLITS}
    if as_json:
        show(json.dumps({"name": dataset.name, "path": str(target), "splits": counts}, indent=2))
    else:
        show(str(target))
    for name, row in counts.items():
        say(f"  {name}: {row['images']:,} images of {row['ids']:,} people from {row['cameras']} cameras{_nobody(row)}")
    if problem := no_test(dataset):
        say(f"Note: {problem}")
    say(f"Next: reid-data check {out if is_path(out) else target.name}")


def _nobody(row: dict[str, int]) -> str:
    """What else lies there: junk and distractors."""
    parts = [
        f"{row[kind]:,} {what}"
        for kind, what in (("junk", "of junk (id -1)"), ("distractors", "distractors (id 0)"))
        if row[kind]
    ]
    return f", of them {' and '.join(parts)}" if parts else ""
