"""A set with a manifest while it is written: claimed, gone on with, cleared, finished."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from reid_data.datasets.card import CARD_FILE, read_document, tool_version, write_card
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.files import TEMPORARY_PREFIX, make_folder, printable, sha256_file, sweep_temporary, write_atomic
from reid_data.formats import SUFFIXES
from reid_data.manifest import Form, Manifest, ManifestWriter, Row, make_header, read_manifest, start_manifest
from reid_data.records import DISTRACTOR_PID, PLATE_SET, SPLIT_FOLDERS, SPLITS, Card, Record, ReidDataset
from reid_data.written.claim import Claim
from reid_data.written.readme import readme_text

README_FILE = "README.md"
WRITTEN = SUFFIXES
logger = logging.getLogger("reid_data")


class Output(Claim):
    """A set that the command of `form` writes below `root`: `look`, `begin`, `append` a row after each file, `finish`.

    The manifest holds the `settings` that decide every byte, and whatever is done so far; README.md and then `dataset.json`
    come last and make the set a finished one. A set that was written with other settings is only replaced with `overwrite`,
    and then from the start. `sources`: the sets that are read; the output may not lie in one of them nor hold one.
    """

    def __init__(
        self,
        root: Path,
        form: Form,
        settings: Row,
        *,
        sources: Sequence[ReidDataset] = (),
        num_bytes: int = 0,
        overwrite: bool = False,
    ) -> None:
        super().__init__(root, num_bytes)
        self.form, self.settings = form, settings
        self.sources, self.overwrite = sources, overwrite
        self._manifest: Manifest | None = None

    @property
    def begun(self) -> bool:
        """Whether a manifest with these settings is there, of an interrupted call or of a finished one."""
        return self._manifest is not None

    @property
    def manifest(self) -> Manifest:
        """The manifest as `look`, `begin` or `finish` left it."""
        assert self._manifest is not None, "there is no manifest before `begin`"
        return self._manifest

    def look(self) -> Self:
        """Find the manifest of an earlier call. Raises EnvironmentFault if `root` overlaps with a source or if something is
        there that this command did not write, UsageError if that was written with other settings, or by a version of this tool
        whose settings cannot be compared (unless `overwrite`)."""
        refuse_overlap(self.root, self.sources)
        self._manifest = find_manifest(self.root, self.form, self.settings, overwrite=self.overwrite)
        self.finished = self.begun and _has_whole_card(self.root)
        return self

    def done(self) -> list[Row]:
        """The image rows of an interrupted call that can be trusted; they need not be made again."""
        return trusted_rows(self.root, self.manifest)[0] if self.begun else []

    def begin(self, rows: Iterable[Row] = (), *, resume: bool = True, **facts: Any) -> list[Row]:
        """Open the set for `append`; what is `done` already.

        Without an interrupted call to go on from, or without `resume`, its files are removed and a new manifest is begun
        that holds `facts` beside the settings, and the first `rows`.
        """
        make_folder(self.root)
        sweep_temporary(self.root)
        if not (self.begun and resume):
            clear_output(self.root)
            header = make_header(self.form, self.settings, **facts, tool=tool_version())
            start_manifest(self.root, header, rows)
            self._manifest = read_manifest(self.root)
        done, length = trusted_rows(self.root, self.manifest)
        self._writer = self._held.enter_context(ManifestWriter(self.root, length))
        return done

    def append(self, row: Row) -> None:
        """Add a row to the manifest; its file, if it has one, is in place."""
        self._writer.append(row)

    def finish(self, card: Card) -> Manifest:
        """Write README.md, then `dataset.json`, which makes the set a finished one; the whole manifest."""
        self._manifest = read_manifest(self.root)
        made = set_of_rows(self.root, card, self.manifest.of_kind("image"))
        write_atomic(self.root / README_FILE, readme_text(card, self.settings, self.manifest).encode())
        write_card(self.root, card, made, self.settings)
        return self.manifest


def _has_whole_card(root: Path) -> bool:
    """A damaged card finishes no set: it is written again, from the manifest."""
    try:
        return read_document(root) is not None
    except InputError:
        return False


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


def find_manifest(root: Path, form: Form, settings: Row, *, overwrite: bool = False) -> Manifest | None:
    """The manifest of an earlier call of the form's command with `settings`; None where there is none, or with `overwrite`. Raises as
    `Output.look`."""
    if root.exists() and not root.is_dir():
        raise EnvironmentFault(f"'{printable(root)}' is a file. Choose another --out.")
    manifest = read_manifest(root)
    if manifest is None:
        if root.is_dir() and any(not name.startswith(TEMPORARY_PREFIX) for name in os.listdir(root)):
            raise EnvironmentFault(
                f"'{printable(root)}' is there already and was not written by this command; it is left alone. Choose another --out."
            )
        return None
    if manifest.header.get("command") != form.command:
        raise EnvironmentFault(
            f"'{printable(root)}' was written by '{manifest.header.get('command')}', not by '{form.command}'. Choose another --out."
        )
    if overwrite:
        return None
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
    return manifest


def clear_output(root: Path) -> None:
    """Remove the files of a set that we wrote, its card first, so that it counts as unfinished. The manifest stays, so that the
    folder counts as ours, until a new one takes its place."""
    for name in (CARD_FILE, README_FILE):
        (root / name).unlink(missing_ok=True)
    for folder in SPLIT_FOLDERS.values():
        for name in os.listdir(root / folder) if (root / folder).is_dir() else ():
            if name.endswith(WRITTEN):
                os.unlink(root / folder / name)


def trusted_rows(root: Path, manifest: Manifest) -> tuple[list[Row], int]:
    """Image rows up to the first whose file is not as its row says, and the manifest's length in bytes up to there.

    Files are written before their rows, so a missing one was removed by hand or by an interrupted clearing, and one of other
    content was changed, or emptied by a power cut. Every file is read.
    """
    rows: list[Row] = []
    length = manifest.ends[0]
    for row, end in zip(manifest.rows, manifest.ends[1:], strict=True):
        if row["row"] == "image":
            if row.get("sha256") and not _is_as_written(root / row["name"], row["sha256"]):
                break
            rows.append(row)
        length = end
    return rows, length


def _is_as_written(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    try:
        if sha256_file(path) == sha256:
            return True
    except OSError:
        pass
    logger.warning("'%s' is not as it was written: it and all that came after it are made again.", printable(path))
    return False


def set_of_rows(root: Path, card: Card, rows: Sequence[Row]) -> ReidDataset:
    """The set that the manifest's image rows describe; only rows with a file count. Plates show nobody, whoever they are of."""
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for row in rows:
        if row.get("sha256"):
            pid = DISTRACTOR_PID if card.kind == PLATE_SET else row["pid"]
            splits[row["split"]].append(Record(str(root), row["name"], pid, row["camid"], row["split"]))
    return ReidDataset(card, root, splits["train"], splits["query"], splits["gallery"])
