"""`reid-data forget`: one person taken out of a written set, and out of what came from their pictures elsewhere."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import data_root_option, dry_run_option, json_option
from ..sets import output_path
from ..terminal import say, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_data.written.forget import Forgotten
    from reid_train.forgetting import Trace


@click.command()
@click.argument("name")
@click.option("--pid", type=int, required=True, help="The identity, as the file names of its set count it.")
@click.option(
    "--of",
    "space",
    default="",
    metavar="SET",
    help="The set behind this one in which --pid counts.  [default: the people's]",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=None,
    help="Clean the runs below this folder, too: the person's features and lists go, pages become stale.  "
    "[default: those below ./runs are only listed]",
)
@data_root_option
@dry_run_option
@json_option
def forget(name: str, pid: int, space: str, runs: Path | None, data_root: Path, dry_run: bool, as_json: bool) -> int:
    """Remove what was derived from one person: from a composite or a background set, and from all that came from their pictures.

    Images, manifest rows, plates and images on them, contact sheets; other sets and masks of the data root that came from the
    same pictures; kept masks and plates, and all kept features and statistics, which carry no names. The manifest keeps that
    something was removed, and no name. Runs and pages that hold the person are listed, with what to do. The person's images in
    the parent sets are left to you: remove them first, or the next run makes the derived ones anew.

    \b
    Example:
      reid-data forget composite --pid 42 --dry-run
      reid-data forget composite --pid 7 --of duke --runs runs
    """
    from reid_data.written.forget import forget_person

    root, places = output_path(name, data_root), [data_root]
    parents = _parents(root, data_root)
    plan = forget_person(root, pid, of=space, parents=parents, places=places, dry_run=True)
    traces = _traces(runs or Path("runs"), plan)
    cleaned = runs is not None and not dry_run
    if cleaned:
        from reid_train.forgetting import clean

        for trace in traces:
            clean(trace)
    done = plan if dry_run else forget_person(root, pid, of=space, parents=parents, places=places)
    if as_json:
        about = {key: value for key, value in asdict(done).items() if key != "names"}
        listed = [_as_row(trace) for trace in traces]
        show(json.dumps({"path": str(root), "dry_run": dry_run, **about, "runs": listed, "cleaned": cleaned}, indent=2))
        return 0
    _print_done(done, root, pid, dry_run=dry_run)
    for trace in traces:
        _print_trace(trace, cleaned=cleaned)
    return 0


def _traces(runs: Path, plan: "Forgotten") -> "list[Trace]":
    if not plan.names or not runs.is_dir():
        return []
    from reid_train.forgetting import find_traces

    return find_traces(runs, plan.names)


def _as_row(trace: "Trace") -> dict[str, object]:
    files = [str(path) for path in (*trace.files, *([trace.stale] if trace.stale else []))]
    return {"path": str(trace.path), "why": trace.why, "remedy": trace.remedy, "files": files}


def _print_done(done: "Forgotten", root: Path, pid: int, *, dry_run: bool) -> None:
    for sentence in done.unread:
        say(f"Not looked into: {sentence}")
    if not done.anything:
        show(f"nothing in '{root}' comes from identity {pid}.")
        return
    verb = "would be removed" if dry_run else "removed"
    show(
        f"{verb}: {done.images:,} images of the person, {done.backgrounds:,} on plates from their pictures, "
        f"{done.rows:,} rows, {done.sheets:,} contact sheets, {done.kept:,} kept masks and plates, "
        f"{done.features:,} kept features and statistics of all sets"
    )
    for path, rows in done.elsewhere.items():
        show(f"{verb} from '{path}': {rows:,} rows with their files")


def _print_trace(trace: "Trace", *, cleaned: bool) -> None:
    """A folder that holds the person, and what to do about it, or what was done."""
    show(f"'{trace.path}': {trace.why}")
    if cleaned and (trace.files or trace.stale):
        show(
            f"  removed: {len(trace.files):,} files"
            + (f"; '{trace.stale.name}' says that it is stale" if trace.stale else "")
        )
        return
    show(f"  to do: {trace.remedy}")
    for path in (*trace.files, *([trace.stale] if trace.stale else [])):
        show(f"    {path}")


def _parents(root: Path, data_root: Path) -> "list[ReidDataset]":
    """The sets that this one came from, and those that they came from, as far as they are at hand."""
    from reid_data.compose.settings import load_source
    from reid_data.errors import ReidError
    from reid_data.manifest import read_manifest
    from reid_data.written.verify import require_manifest

    found: dict[Path, ReidDataset] = {}
    waiting = [(root, require_manifest(root).header)]
    while waiting:
        place, header = waiting.pop()
        for source in [*header.get("sources", {}).values(), *filter(None, [header.get("source")])]:
            try:
                parent = load_source(place, source, data_root)
                manifest = read_manifest(parent.root)
            except ReidError as error:
                say(
                    f"Its parent '{source['name']}' is not at hand ({error}); masks of images not in the manifest may be left."
                )
                continue
            if parent.root not in found:
                found[parent.root] = parent
                waiting += [(parent.root, manifest.header)] if manifest is not None else []
    return list(found.values())
