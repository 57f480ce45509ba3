"""What came from one person's pictures, through any number of sets that were made of sets."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_data.datasets.card import card_from_document, read_document
from reid_data.errors import InputError, ReidError
from reid_data.files import TEMPORARY_PREFIX, printable, sha256_file
from reid_data.manifest import MANIFEST_FILE, Manifest, Row
from reid_data.records import PLATE_SET, SUBSET, ReidDataset
from reid_data.written.readme import readme_text
from reid_data.written.verify import require_manifest

Names = dict[str, dict[str, str]]
"""Of sets by their name: the person's images, each with its split."""


@dataclass(frozen=True)
class WrittenSet:
    """A finished set of ours: its folder, manifest and card."""

    root: Path
    manifest: Manifest
    document: dict[str, Any]

    @property
    def settings(self) -> Row:
        """What the set was made with."""
        return dict(self.document.get("settings") or self.manifest.header["settings"])

    @property
    def half_rewritten(self) -> bool:
        """Whether a removal was stopped between the manifest and the card."""
        return self.manifest.header.get("removals", []) != self.document.get("removals", [])

    @property
    def depth(self) -> int:
        """How many sets it came through: more than any set that it was made of."""
        return _depth(self.document)


def read_written(root: Path) -> WrittenSet:
    """The set below `root`. Raises InputError for one without manifest, an unfinished or a damaged one."""
    manifest, document = require_manifest(root), read_document(root)
    if document is None:
        raise InputError(
            f"'{printable(root)}' is not finished. Finish it with the command that began it, or remove the folder."
        )
    found = WrittenSet(root, manifest, document)
    readme_text(card_from_document(document), found.settings, manifest)  # it can be written anew
    return found


def sets_in(places: Iterable[Path], but: Path) -> tuple[list[WrittenSet], list[str]]:
    """Our finished sets in these folders, but for the one at `but`; and a sentence for each folder that could not be looked into."""
    found: list[WrittenSet] = []
    unread: list[str] = []
    for folder in _folders(places):
        if folder.name.startswith(TEMPORARY_PREFIX):
            unread.append(
                f"'{printable(folder)}' was left by a command that was stopped: start that again, or remove it."
            )
        elif (folder / MANIFEST_FILE).is_file() and folder != but.resolve():
            try:
                found.append(read_written(folder))
            except ReidError as error:
                unread.append(str(error))
    return found, unread


def _folders(places: Iterable[Path]) -> list[Path]:
    there = {place.resolve() for place in places if place.is_dir()}
    return sorted({Path(entry.path).resolve() for place in there for entry in os.scandir(place) if entry.is_dir()})


def spaces(document: dict[str, Any]) -> tuple[str, str]:
    """The identity spaces of the people in a set and of the people whose pictures gave its backgrounds."""
    if document.get("kind") == SUBSET and document.get("parents"):
        return spaces(document["parents"][0])  # of a part: those of the whole
    parents = document.get("parents") or [{}]
    if document.get("kind") == PLATE_SET:
        return "", _space(parents[0])
    return document.get("identity_space") or _space(parents[0]), _space(parents[-1])


def _depth(document: dict[str, Any]) -> int:
    return 1 + max(map(_depth, document.get("parents") or ()), default=0)


def _space(parent: dict[str, Any]) -> str:
    """Where the people count whom a parent shows, or showed before they were taken out of its pictures."""
    if parent.get("kind") == PLATE_SET and parent.get("parents"):
        return _space(parent["parents"][0])
    return str(parent.get("identity_space") or parent.get("name", ""))


def chosen_space(of: str, document: dict[str, Any]) -> str:
    """The identity space that `of` names: a set from which this one came, however long the way; by default that of its people, or
    of those in the pictures that a background set came from. Raises InputError."""
    own, behind = spaces(document)
    if not of:
        return own or behind
    named = dict(_ancestors(document))
    if of not in named and of not in named.values():
        raise InputError(f"--of {of}: this set came from {', '.join(sorted({own, behind, *named} - {''}))}.")
    return named.get(of, of)


def _ancestors(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, identity space) of every set behind this one."""
    for parent in document.get("parents") or ():
        yield str(parent.get("name", "")), _space(parent)
        yield from _ancestors(parent)


def follow(
    sets: Sequence[WrittenSet], pid: int, space: str, parents: Sequence[ReidDataset]
) -> tuple[list[list[Row]], set[str]]:
    """The rows of each set that tell of the person, and the hashes of all pictures of them and made from those.

    A row tells of them by identity, where pids of the set count in `space`, or by its origin: a picture (or the plate behind
    somebody) that came from one of theirs, in this set or in any other of `sets`.
    """
    by_pid = [_by_identity(one, pid, space) for one in sets]
    theirs = [row for one, rows in zip(sets, by_pid) for row in _theirs(one, rows, pid, space)]
    came: set[str] = {row["source_sha256"] for row in theirs if row.get("source_sha256")}
    came |= {sha256_file(path) for dataset in parents for path in _pictures(dataset, pid, space)}
    doomed, before = by_pid, -1
    while len(came) > before:
        before = len(came)
        for number, one in enumerate(sets):
            known = {id(row) for row in by_pid[number]}
            doomed[number] = [row for row in one.manifest.rows if id(row) in known or _comes_from(row, came)]
            came |= {row["sha256"] for row in doomed[number] if row["row"] == "image" and row.get("sha256")}
    return doomed, came


def _comes_from(row: Row, came: set[str]) -> bool:
    return row.get("source_sha256") in came or row.get("background_sha256") in came


def _by_identity(one: WrittenSet, pid: int, space: str) -> list[Row]:
    """The rows of the person's images, of plates from their pictures, and of images that use such a plate."""
    theirs = _theirs(one, one.manifest.rows, pid, space)
    known = {id(row) for row in theirs}
    plates = {(row.get("source"), row.get("source_sha256")) for row in theirs if row["row"] == "plate"}
    return [
        row
        for row in one.manifest.rows
        if id(row) in known or (row.get("background"), row.get("background_sha256")) in plates
    ]


def _theirs(one: WrittenSet, rows: Sequence[Row], pid: int, space: str) -> list[Row]:
    """Those of the rows that are of the person: not of others who merely stand before their background."""
    people, scenes = spaces(one.document)
    where = {"plate": scenes, "image": people or scenes}
    return [row for row in rows if row.get("pid") == pid and where.get(row["row"]) == space]


def _pictures(dataset: ReidDataset, pid: int, space: str) -> list[str]:
    """Paths of the person's pictures in a set at hand."""
    if (dataset.card.identity_space or dataset.name) != space:
        return []
    return [record.path for record in dataset.records if record.pid == pid and os.path.isfile(record.path)]


def names_of(
    sets: Sequence[WrittenSet], doomed: Sequence[Sequence[Row]], pid: int, space: str, parents: Sequence[ReidDataset]
) -> Names:
    """What the images of the person, and those made from them, are called in each set, also in the sets that they came from."""
    names: Names = {}
    for one, rows in zip(sets, doomed):
        sources = one.manifest.header.get("sources") or {}
        source = one.manifest.header.get("source") or {}
        for row in rows:
            if row["row"] == "image":
                names.setdefault(one.root.name, {})[row["name"]] = row["split"]
        for row in _theirs(one, rows, pid, space):
            if row.get("source"):
                side = "train" if row.get("side") == "train" else row.get("split", "test")
                origin = sources.get("foreground" if row["row"] == "image" else "background") or source
                names.setdefault(origin.get("name", ""), {})[row["source"]] = side
    for dataset in parents:
        if (dataset.card.identity_space or dataset.name) == space:
            theirs = {record.name: record.split for record in dataset.records if record.pid == pid}
            names[dataset.name] = names.get(dataset.name, {}) | theirs
    return names
