"""The folder of a set that we write: claimed, resumed, cleared, finished."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reid_data.datasets.card import CARD_FILE
from reid_data.errors import EnvironmentFault, UsageError
from reid_data.files import TEMPORARY_PREFIX, printable, sweep_temporary
from reid_data.images import SUFFIXES
from reid_data.manifest import Form, Manifest, Row, read_manifest
from reid_data.records import SPLIT_FOLDERS, SPLITS, Card, Record, ReidDataset

README_FILE = "README.md"


@dataclass(frozen=True)
class Output:
    """An output folder as it was found: its manifest if it holds part of this very run, and whether it is complete."""

    root: Path
    manifest: Manifest | None
    finished: bool


def refuse_overlap(out: Path, sources: Sequence[ReidDataset]) -> None:
    """Raise EnvironmentFault if `out` is, lies in, or holds one of the sets that are read."""
    target = os.path.realpath(out)
    for source in sources:
        place = os.path.realpath(source.root)
        if os.path.commonpath([target, place]) in (target, place):
            raise EnvironmentFault(
                f"the output '{printable(out)}' would overlap with the set '{source.name}' that is read from "
                f"'{printable(source.root)}'. Choose another --out."
            )


def inspect_output(root: Path, form: Form, settings: Row, *, overwrite: bool = False) -> Output:
    """What `root` holds for a run of the form's command with `settings`; changes nothing.

    Raises EnvironmentFault if something is there that this command did not write, and UsageError if it was written with
    other settings, or by a version of this tool whose settings cannot be compared (unless `overwrite`).
    """
    if root.exists() and not root.is_dir():
        raise EnvironmentFault(f"'{printable(root)}' is a file. Choose another --out.")
    manifest = read_manifest(root)
    if manifest is None:
        if root.is_dir() and any(not name.startswith(TEMPORARY_PREFIX) for name in os.listdir(root)):
            raise EnvironmentFault(
                f"'{printable(root)}' is there already and was not written by this command; it is left alone. Choose another --out."
            )
        return Output(root, None, False)
    if manifest.header.get("command") != form.command:
        raise EnvironmentFault(
            f"'{printable(root)}' was written by '{manifest.header.get('command')}', not by '{form.command}'. Choose another --out."
        )
    if overwrite:
        return Output(root, None, False)
    if manifest.header.get("settings_schema", 1) != form.schema:
        raise UsageError(
            f"'{printable(root)}' was begun by another version of this tool, whose settings cannot be compared with these. "
            "If it is finished it stays usable as it is. To make it anew, use --overwrite, or choose another --out."
        )
    changed = form.differences(manifest.header["settings"], settings)
    if changed:
        lines = "".join(f"\n  {line}" for line in changed)
        raise UsageError(
            f"'{printable(root)}' was begun with other settings:{lines}\nRepeat those, choose another --out, or start afresh with "
            "--overwrite."
        )
    return Output(root, manifest, (root / CARD_FILE).exists())


def clear_output(root: Path) -> None:
    """Remove the files of a set that we wrote, its card first, so that it counts as unfinished. The manifest stays, so that the
    folder counts as ours, until a new one takes its place."""
    for name in (CARD_FILE, README_FILE):
        (root / name).unlink(missing_ok=True)
    for folder in SPLIT_FOLDERS.values():
        for name in os.listdir(root / folder) if (root / folder).is_dir() else ():
            if name.lower().endswith(SUFFIXES) or name.startswith(TEMPORARY_PREFIX):
                os.unlink(root / folder / name)


def trusted_rows(output: Output, kind: str) -> tuple[list[Row], int]:
    """Rows of `kind` up to the first whose file is missing, and the manifest's length in bytes up to there.

    Files are written before their rows, so a missing one was removed by hand or by an interrupted clearing.
    """
    manifest = output.manifest
    assert manifest is not None
    rows: list[Row] = []
    length = manifest.ends[0]
    for row, end in zip(manifest.rows, manifest.ends[1:], strict=True):
        if row["row"] == kind:
            if row.get("sha256") and not (output.root / row["name"]).exists():
                break
            rows.append(row)
        length = end
    return rows, length


def sweep_output(root: Path) -> None:
    """Remove the temporary files that a killed run left."""
    if root.is_dir():
        sweep_temporary(root)


def set_of_rows(root: Path, card: Card, rows: Sequence[Row]) -> ReidDataset:
    """The set that the manifest's image rows describe; only rows with a file count."""
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for row in rows:
        if row.get("sha256"):
            splits[row["split"]].append(Record(str(root), row["name"], row["pid"], row["camid"], row["split"]))
    return ReidDataset(card, root, splits["train"], splits["query"], splits["gallery"])
