"""`reid-data list`: the sets below the data root."""

import json
from pathlib import Path
from typing import Any

import click

from reid_data.records import SPLITS

from ..options import data_root_option, json_option, typed
from ..tables import print_table
from ..terminal import say, show


@click.command("list")
@data_root_option
@json_option
def list_sets(data_root: Path, as_json: bool) -> None:
    """List the data sets found below the data root, and the known ones that are not there.

    \b
    Example:
      reid-data list --data-root ~/datasets
    """
    from reid_data.datasets import DATASETS, found_names, load_dataset, unread_folders
    from reid_data.errors import ReidError
    from reid_data.records import count_split

    rows: list[dict[str, Any]] = []
    for name in found_names(data_root):
        try:
            dataset = load_dataset(name, data_root)
        except ReidError as error:
            rows.append({"name": name, "path": None, "error": str(error)})
            continue
        rows.append(
            {
                "name": name,
                "path": str(dataset.root),
                "kind": dataset.card.kind,
                "status": dataset.card.status,
                "terms": dataset.card.terms,
                "splits": {split: count_split(dataset.split(split)) for split in SPLITS},
                "ignored": dataset.ignored,
            }
        )
    unread = unread_folders(data_root)
    missing = [name for name in DATASETS if name not in {row["name"] for row in rows}]
    if as_json:
        show(
            json.dumps(
                {"data_root": str(data_root), "found": rows, "no_sets": unread, "known_but_absent": missing}, indent=2
            )
        )
        return
    if rows or unread:
        _print_sets(rows, unread)
    say(
        f"{len(rows)} set{'s' * (len(rows) != 1)} below '{data_root}'."
        + (f" Known but not there: {', '.join(missing)}." if missing else "")
    )
    if not rows:
        say("Make two synthetic ones with: reid-data synth")


def _print_sets(rows: list[dict[str, Any]], unread: list[str]) -> None:
    table = []
    for row in rows:
        if row["path"] is None:
            table.append([row["name"], "-", "-", "-", "-", "-", "-", row["error"]])
            continue
        train, query, gallery = (row["splits"][split] for split in SPLITS)
        cameras = max(part["cameras"] for part in (train, query, gallery))
        counts = [f"{part['ids']:,}/{part['images']:,}" for part in (train, query, gallery)]
        ignored = sum(row["ignored"].values())
        notes = [f"{ignored} files ignored"] if ignored else []
        if typed(row["name"]) != row["name"]:
            notes.append(f"for --train and --test: '{typed(row['name'])}'")
        table.append(
            [
                row["name"],
                row["kind"],
                *counts,
                str(cameras),
                row["status"],
                "; ".join(notes),
            ]
        )
    table += [[name, "pictures", *"-----", "no set: reid-data check says how to import it"] for name in unread]
    print_table(
        ["set", "kind", "train ids/images", "query", "gallery", "cameras", "status", "note"], table, left=(0, 1, 6, 7)
    )
