"""`reid-data forget`: one person taken out of a written set."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import data_root_option, dry_run_option, json_option
from ..sets import output_path
from ..terminal import say, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset


@click.command()
@click.argument("name")
@click.option("--pid", type=int, required=True, help="The identity, as the file names of its set count it.")
@click.option(
    "--of", "space", default="", metavar="SET", help="The parent in which --pid counts.  [default: the people's]"
)
@data_root_option
@dry_run_option
@json_option
def forget(name: str, pid: int, space: str, data_root: Path, dry_run: bool, as_json: bool) -> int:
    """Remove from a composite or a background set everything that was derived from one person.

    Images, manifest rows, plates and images on them, contact sheets, kept masks and plates. The manifest keeps that
    something was removed, and no name. The person's images in the parent sets are left to you: remove them first, or the
    next run makes the derived ones anew.

    \b
    Example:
      reid-data forget composite --pid 42 --dry-run
      reid-data forget composite --pid 7 --of duke
    """
    from reid_data.datasets import found_names
    from reid_data.datasets.card import read_document
    from reid_data.written.forget import forget_person, relatives

    root = output_path(name, data_root)
    done = forget_person(root, pid, of=space, parents=_parents(root, data_root), dry_run=dry_run)
    others = {one: _card(data_root / one) for one in found_names(data_root) if (data_root / one) != root}
    related = relatives(read_document(root), others)
    if as_json:
        show(json.dumps({"path": str(root), "dry_run": dry_run, **asdict(done), "related": related}, indent=2))
        return 0
    if not done.anything:
        show(f"nothing in '{root}' comes from identity {pid}.")
        return 0
    verb = "would be removed" if dry_run else "removed"
    show(
        f"{verb}: {done.images:,} images of the person, {done.backgrounds:,} on plates from their pictures, "
        f"{done.rows:,} rows, {done.sheets:,} contact sheets, {done.kept:,} kept masks and plates"
    )
    if related:
        say(f"Of the same origin, look there too: {', '.join(related)}.")
    return 0


def _card(root: Path) -> dict[str, Any] | None:
    """The card of another set; a damaged one is said, and no reason to stop."""
    from reid_data.datasets.card import read_document
    from reid_data.errors import ReidError

    try:
        return read_document(root)
    except ReidError as error:
        say(f"{error} Whether that set is of the same origin is not known.")
        return None


def _parents(root: Path, data_root: Path) -> "list[ReidDataset]":
    """The sets that this one came from, as far as they are at hand."""
    from reid_data.compose.settings import load_source
    from reid_data.errors import ReidError
    from reid_data.written.verify import require_manifest

    header = require_manifest(root).header
    found = []
    for source in [*header.get("sources", {}).values(), *filter(None, [header.get("source")])]:
        try:
            found.append(load_source(root, source, data_root))
        except ReidError as error:
            say(
                f"Its parent '{source['name']}' is not at hand ({error}); masks of images not in the manifest may be left."
            )
    return found
