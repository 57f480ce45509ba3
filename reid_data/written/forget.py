"""Removing a person from a set that we wrote, with everything that was derived from them."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_data.datasets.card import CARD_FILE, card_from_document, read_document
from reid_data.errors import InputError
from reid_data.files import cache_folder, only_writer, printable, sha256_bytes, sha256_file, write_atomic, write_json
from reid_data.manifest import Manifest, Row, start_manifest
from reid_data.records import PLATE_SET, SPLITS, SUBSET, ReidDataset, count_split
from reid_data.written.output import README_FILE, set_of_rows
from reid_data.written.readme import readme_text, removal_text
from reid_data.written.verify import require_manifest


@dataclass(frozen=True)
class Forgotten:
    """What was (or would be) removed: images of the person, images before backgrounds taken from their pictures, rows of the
    manifest, contact sheets, kept masks and plates."""

    images: int
    backgrounds: int
    rows: int
    sheets: int
    kept: int

    @property
    def anything(self) -> bool:
        """Whether the person was there at all."""
        return bool(self.rows or self.sheets or self.kept)


def forget_person(
    root: Path, pid: int, *, of: str = "", parents: Sequence[ReidDataset] = (), dry_run: bool = False
) -> Forgotten:
    """Remove from the set below `root` whatever was derived from identity `pid`, and the masks and plates kept of them.

    `of`: the identity space in which `pid` counts (the name of a parent); default: that of the set's own people, or of the
    pictures that a background set came from. `parents`: sets at hand, whose pictures of the person have their kept masks
    removed too; the pictures themselves are left alone. A killed run is made good by the same call. Raises InputError for a
    set without manifest, an unfinished one, or an unknown `of`.
    """
    manifest, document = require_manifest(root), read_document(root)
    if document is None:
        raise InputError(
            f"'{printable(root)}' is not finished. Finish it with the command that began it, or remove the folder."
        )
    settings = document.get("settings") or manifest.header["settings"]
    readme_text(card_from_document(document), settings, manifest)  # or nothing is touched
    own, behind = _spaces(document)
    space = _chosen_space(of, document, own, behind)
    with only_writer(root):
        doomed = _doomed(manifest, pid, own=space == own, behind=space == behind)
        files = [root / row["name"] for row in doomed if row["row"] == "image" and row.get("sha256")]
        hashes = _source_hashes(doomed, pid, own=space == own) | _hashes_at_hand(parents, pid, space)
        _refuse_folders(files)
        kept, sheets = list(_kept_files(hashes)), _sheets(root) if doomed else []
        mine = sum(row["row"] == "image" and row["pid"] == pid and space == own for row in doomed)
        result = Forgotten(
            mine, len([r for r in doomed if r["row"] == "image"]) - mine, len(doomed), len(sheets), len(kept)
        )
        if dry_run:
            return result
        for path in [*files, *sheets, *kept]:
            path.unlink(missing_ok=True)
        _rewrite(root, manifest, document, doomed)
    return result


def _refuse_folders(files: Sequence[Path]) -> None:
    """Nothing is removed by a manifest that calls a folder an image."""
    for path in files:
        if path.is_dir() and not path.is_symlink():
            raise InputError(f"the manifest names '{printable(path)}', which is a folder: it is damaged. Restore it.")


def _spaces(document: dict[str, Any]) -> tuple[str, str]:
    """The identity spaces of the people in a set and of the people whose pictures gave its backgrounds."""
    if document.get("kind") == SUBSET and document.get("parents"):
        return _spaces(document["parents"][0])  # of a part: those of the whole
    parents = document.get("parents") or [{}]
    if document.get("kind") == PLATE_SET:
        return "", _space(parents[0])
    behind = parents[-1]
    if behind.get("kind") == PLATE_SET:
        behind = (behind.get("parents") or [{}])[0]
    return document.get("identity_space") or _space(parents[0]), _space(behind)


def _space(parent: dict[str, Any]) -> str:
    return str(parent.get("identity_space") or parent.get("name", ""))


def _chosen_space(of: str, document: dict[str, Any], own: str, behind: str) -> str:
    if not of:
        return own or behind
    named = {parent["name"]: _space(parent) for parent in document.get("parents", ())}
    space = named.get(of, of)
    if space not in (own, behind):
        raise InputError(f"--of {of}: this set came from {', '.join(sorted({own, behind} - {''}))}.")
    return space


def _doomed(manifest: Manifest, pid: int, *, own: bool, behind: bool) -> list[Row]:
    """The rows that tell of the person: of their images, of plates from their pictures, and of images that use such a plate."""
    plates = {
        (row.get("source"), row.get("source_sha256"))
        for row in manifest.of_kind("plate")
        if behind and row.get("pid") == pid
    }
    return [
        row
        for row in manifest.rows
        if (row["row"] == "image" and row["pid"] == pid and (own or "background" not in row))
        or (row["row"] == "plate" and row.get("pid") == pid and behind)
        or (row.get("background"), row.get("background_sha256")) in plates
    ]


def _source_hashes(doomed: Sequence[Row], pid: int, *, own: bool) -> set[str]:
    """Hashes of the person's pictures: not those of others who merely stand before their background."""
    return {
        row["source_sha256"]
        for row in doomed
        if row.get("source_sha256")
        and row.get("pid") == pid
        and (row["row"] == "plate" or own or "background" not in row)
    }


def _hashes_at_hand(parents: Sequence[ReidDataset], pid: int, space: str) -> set[str]:
    found = set()
    for dataset in parents:
        if (dataset.card.identity_space or dataset.name) == space:
            for record in dataset.records:
                if record.pid == pid and os.path.isfile(record.path):
                    found.add(sha256_file(record.path))
    return found


def _kept_files(hashes: set[str]) -> Iterator[Path]:
    """Masks and plates in the cache that were made from pictures with these hashes, by any segmenter, and the plates' masks."""
    plates = [path for sha in sorted(hashes) for path in sorted(cache_folder("plates").glob(f"*/{sha[:2]}/{sha}.png"))]
    yield from plates
    for sha in sorted(hashes | {sha256_file(path) for path in plates}):
        yield from sorted(cache_folder("masks").glob(f"*/{sha[:2]}/{sha}.png"))


def _sheets(root: Path) -> list[Path]:
    """Contact sheets beside the set; the person may be on them."""
    return sorted(root.parent.glob(f"{root.name}-preview*.jpg"))


def _rewrite(root: Path, manifest: Manifest, document: dict[str, Any], doomed: Sequence[Row]) -> None:
    """Manifest without the rows, then card and README with the new counts, in this order: the manifest decides."""
    header, gone = manifest.header, {id(row) for row in doomed}
    if doomed:
        images = sum(row["row"] == "image" for row in doomed)
        header = {**header, "removals": [*header.get("removals", []), {"images": images}]}
        start_manifest(root, header, [row for row in manifest.rows if id(row) not in gone])
    left = require_manifest(root)
    card = card_from_document(document)
    made = set_of_rows(root, card, left.of_kind("image"))
    counts = {split: count_split(made.split(split)) for split in SPLITS}
    removals = left.header.get("removals", [])
    if document.get("counts") != counts or document.get("removals", []) != removals:
        text = readme_text(card, document.get("settings") or left.header["settings"], left) + removal_text(removals)
        write_atomic(root / README_FILE, text.encode())
        write_json(root / CARD_FILE, {**document, "counts": counts, "removals": removals})
    names = cache_folder("digests") / f"{sha256_bytes(os.fsencode(os.path.abspath(root)))[:24]}.json"
    names.unlink(missing_ok=True)


def relatives(document: dict[str, Any] | None, others: dict[str, dict[str, Any] | None]) -> list[str]:
    """Names in `others` (name -> `dataset.json`) of sets that share a parent with this one or were made from it."""
    mine = {parent["name"] for parent in (document or {}).get("parents", ())} | {(document or {}).get("name")}
    counts = Counter(
        name for name, other in others.items() for parent in (other or {}).get("parents", ()) if parent["name"] in mine
    )
    return sorted(counts)
