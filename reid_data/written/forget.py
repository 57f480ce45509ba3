"""Removing a person from a set that we wrote, and from whatever came from their pictures elsewhere."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from reid_data.claims import only_writer
from reid_data.datasets.card import CARD_FILE, card_from_document
from reid_data.errors import InputError
from reid_data.files import printable, sweep_temporary, write_atomic, write_json
from reid_data.manifest import Row, start_manifest
from reid_data.records import SPLITS, ReidDataset, count_split
from reid_data.written.lineage import Names, WrittenSet, chosen_space, follow, names_of, read_written, sets_in, spaces
from reid_data.written.output import README_FILE, set_of_rows
from reid_data.written.readme import readme_text, removal_text
from reid_data.written.traces import (
    Table,
    clear_cache,
    kept_by_set,
    kept_files,
    remove_all,
    sheets_of,
    shorten_table,
    tables_in,
)
from reid_data.written.verify import require_manifest


@dataclass(frozen=True)
class Forgotten:
    """What was (or would be) removed. Of the set: images of the person, images before backgrounds taken from their pictures, rows of
    the manifest. Besides: contact sheets, kept masks and plates, kept features and statistics (of everybody: they carry no
    names), rows of other sets and of folders of masks by their path. `unread`: what could not be looked into, and what to do;
    `names`: of the person's images by set."""

    images: int
    backgrounds: int
    rows: int
    sheets: int
    kept: int
    features: int = 0
    elsewhere: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    names: Names = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        """Whether the person was there at all."""
        return bool(self.rows or self.sheets or self.kept or self.elsewhere)


def forget_person(
    root: Path,
    pid: int,
    *,
    of: str = "",
    parents: Sequence[ReidDataset] = (),
    places: Sequence[Path] = (),
    dry_run: bool = False,
) -> Forgotten:
    """Remove what was derived from identity `pid`: from the set below `root`, from every finished set of ours and folder of masks in
    `places` or beside `root`, and from the cache.

    `of`: the identity space in which `pid` counts, or a set from which this one came, however long the way; default: that of
    the set's own people, or of the pictures that a background set came from. `parents`: sets at hand, whose pictures of the
    person tell what came from them; the pictures themselves are left alone. A killed run is made good by the same call. Raises
    InputError for a set without manifest, an unfinished one, or an unknown `of`.
    """
    plan = _plan(root, pid, of, parents, [*places, root.resolve().parent])
    with ExitStack() as held:
        for place in {*plan.files, *(table.root for table in plan.tables)}:
            held.enter_context(only_writer(place))
        if not dry_run:
            _carry_out(plan)
    return plan.result


@dataclass(frozen=True)
class _Plan:
    """What will be done: hashes of the pictures; rows and files of each set; folders of masks; single files; how it is told."""

    came: set[str]
    rows: list[tuple[WrittenSet, list[Row]]]
    files: dict[Path, list[Path]]
    tables: list[Table]
    beside: list[Path]
    result: Forgotten


def _plan(root: Path, pid: int, of: str, parents: Sequence[ReidDataset], places: Sequence[Path]) -> _Plan:
    main = read_written(root)
    space = chosen_space(of, main.document)
    others, unread = sets_in(places, root)
    sets = [main, *others]
    doomed, came = follow(sets, pid, space, parents)
    names = names_of(sets, doomed, pid, space, parents)
    tables = list(tables_in(places, came, names))
    pairs = [(one, rows) for one, rows in zip(sets, doomed) if rows or one.half_rewritten]
    files = {one.root: [one.root / row["name"] for row in rows if _has_file(row)] for one, rows in pairs}
    _refuse_folders([path for paths in files.values() for path in paths])
    sheets = [path for one, rows in pairs if rows for path in sheets_of(one.root)]
    kept = kept_files(came)
    elsewhere = {str(one.root): len(rows) for one, rows in pairs if rows and one is not main}
    elsewhere |= {str(table.root): table.rows for table in tables}
    result = Forgotten(
        *_counts(main, doomed[0], pid, space),
        sheets=len(sheets),
        kept=len(kept),
        elsewhere=elsewhere,
        unread=tuple(unread),
        names=names,
    )
    result = replace(result, features=len(kept_by_set()) if result.anything else 0)
    return _Plan(came, pairs, files, tables, kept + sheets, result)


def _carry_out(plan: _Plan) -> None:
    """What is found by the rows of a set goes before these do, so that a stopped call can be repeated."""
    if plan.result.anything:
        clear_cache(plan.came)
    remove_all(plan.beside)
    for table in plan.tables:
        shorten_table(table)
    for one, rows in sorted(plan.rows, key=lambda pair: -pair[0].depth):
        sweep_temporary(one.root)
        remove_all(plan.files[one.root])
        _rewrite(one, rows)


def _has_file(row: Row) -> bool:
    return row["row"] == "image" and bool(row.get("sha256"))


def _counts(one: WrittenSet, doomed: Sequence[Row], pid: int, space: str) -> tuple[int, int, int]:
    """Images of the person, images before their backgrounds, rows."""
    own, _ = spaces(one.document)
    images = [row for row in doomed if row["row"] == "image"]
    mine = sum(row["pid"] == pid and space == own for row in images)
    return mine, len(images) - mine, len(doomed)


def _refuse_folders(files: Sequence[Path]) -> None:
    """Nothing is removed by a manifest that calls a folder an image."""
    for path in files:
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"the manifest names '{printable(path)}', which is a folder: it is damaged. Restore it.")


def _rewrite(one: WrittenSet, doomed: Sequence[Row]) -> None:
    """Manifest without the rows, then card and README with the new counts, in this order: the manifest decides."""
    header, gone = one.manifest.header, {id(row) for row in doomed}
    if doomed:
        images = sum(row["row"] == "image" for row in doomed)
        header = {**header, "removals": [*header.get("removals", []), {"images": images}]}
        start_manifest(one.root, header, [row for row in one.manifest.rows if id(row) not in gone])
    left = require_manifest(one.root)
    card = card_from_document(one.document)
    made = set_of_rows(one.root, card, left.of_kind("image"))
    counts = {split: count_split(made.split(split)) for split in SPLITS}
    removals = left.header.get("removals", [])
    text = readme_text(card, one.settings, left) + removal_text(removals)
    write_atomic(one.root / README_FILE, text.encode())
    write_json(one.root / CARD_FILE, {**one.document, "counts": counts, "removals": removals})
