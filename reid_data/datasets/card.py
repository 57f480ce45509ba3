"""`dataset.json`: what a set that we wrote is, what it came from and on what terms."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reid_data.errors import InputError
from reid_data.files import printable, settings_digest, write_json
from reid_data.records import SPLITS, Card, ReidDataset, count_split
from reid_data.shapes import parse_json, plain_name, require

CARD_FILE = "dataset.json"
SCHEMA = "reid-dataset/1"
STATUSES = ("ok", "restricted", "withdrawn")


def _parent(value: Any) -> None:
    require(value, _CARD)


_CARD = {
    **{"name": str, "kind?": str, "identity_space?": str, "terms?": str},
    **{"status?": frozenset(STATUSES), "notice?": str, "parents?": [_parent]},
}
_DOCUMENT = {
    **_CARD,
    **{"schema": frozenset({SCHEMA}), "name": plain_name, "settings?": dict | None, "removals?": [{"images": int}]},
    "counts?": {f"{split}?": {f"{what}?": int for what in count_split(())} for split in SPLITS},
}
"""What readers rely on in a `dataset.json`."""


def tool_version() -> str:
    """Name and version of this distribution, as derived sets and results record it."""
    try:
        return f"person-reid-toolkit {version('person-reid-toolkit')}"
    except PackageNotFoundError:
        return "person-reid-toolkit (not installed)"


def read_document(root: Path) -> dict[str, Any] | None:
    """The whole `dataset.json` below `root`; None if there is none. Raises InputError if it is damaged."""
    path = root / CARD_FILE
    try:
        document = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{printable(path)}' is not readable as JSON: {error}. Restore it, or make the set again."
        ) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(
            f'\'{printable(path)}\' is no data-set card: expected "schema": "{SCHEMA}". Remove it to read the set by its names.'
        )
    try:
        require(document, _DOCUMENT)
    except ValueError as error:
        raise InputError(f"'{printable(path)}' is damaged: {error}. Restore it, or make the set again.") from error
    return dict(document)


def card_from_document(document: dict[str, Any]) -> Card:
    """The `Card` in a `dataset.json`."""
    fields = {
        key: document[key] for key in ("name", "kind", "identity_space", "terms", "status", "notice") if key in document
    }
    return Card(**fields, parents=tuple(document.get("parents", ())))


def card_as_parent(card: Card) -> dict[str, Any]:
    """A card as an entry of a derived set's `parents`."""
    return {**asdict(card), "parents": list(card.parents)}


def most_restrictive(*statuses: str) -> str:
    """The status of a set made from sets with `statuses`: withdrawn over restricted over ok."""
    return max(statuses, key=STATUSES.index, default="ok")


def write_card(root: Path, card: Card, dataset: ReidDataset, settings: dict[str, Any], **extra: Any) -> None:
    """Write `dataset.json`, the last file of a finished set: card, expected counts per split, settings and their digest."""
    counts = {split: count_split(dataset.split(split)) for split in SPLITS}
    document = {
        "schema": SCHEMA,
        **card_as_parent(card),
        "counts": counts,
        "settings": settings,
        "settings_digest": settings_digest(settings),
        "tool": tool_version(),
        **extra,
    }
    write_json(root / CARD_FILE, document)


def is_photographic(card: Mapping[str, Any]) -> bool:
    """Whether a set, by its card as a dictionary, holds photographs, or is made of nothing else."""
    return card.get("kind") != "synthetic" and all(map(is_photographic, card.get("parents", ())))
