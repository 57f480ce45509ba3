"""Background sets, as `reid-data backgrounds` writes them, read for use."""

from reid_data.datasets.card import read_document
from reid_data.errors import ImageError, InputError
from reid_data.files import printable
from reid_data.jpeg import usual_quality
from reid_data.manifest import Row, read_manifest
from reid_data.masks import thumbnail
from reid_data.plates.crops import Plate, PlateBank
from reid_data.plates.files import read_plate
from reid_data.records import PLATE_SET, Record, ReidDataset
from reid_data.shapes import require

SIDES = ("train", "test")


_PLATE = {"side": frozenset(SIDES), "sha256": str, "person_share": float | None}


def is_plate_set(dataset: ReidDataset) -> bool:
    """Whether a set was written by `reid-data backgrounds`."""
    return dataset.card.kind == PLATE_SET


def load_banks(dataset: ReidDataset, people: ReidDataset | None = None) -> dict[str, PlateBank]:
    """The plates of a background set by side. With `people`, those made from its own crops carry its folder, so that nobody
    gets a plate of his own. Raises InputError where the manifest is missing or a plate cannot be read."""
    manifest = read_manifest(dataset.root)
    if manifest is None:
        raise InputError(
            f"'{printable(dataset.root)}' has lost its manifest.jsonl. Make it anew with reid-data backgrounds."
        )
    rows = {row["name"]: row for row in manifest.of_kind("image")}
    same = people is not None and people.card.identity_space in {
        parent.get("identity_space") or None for parent in dataset.card.parents
    }
    banks: dict[str, list[Plate]] = {side: [] for side in SIDES}
    for record in dataset.records:
        row = rows.get(record.name)
        if row is None:
            continue
        root = str(people.root) if same and people is not None else record.root
        seen = Record(root, record.name, row["pid"], record.camid, record.split)
        try:
            require(row, _PLATE)
        except ValueError as error:
            raise InputError(
                f"the manifest of '{printable(dataset.root)}' is damaged: '{printable(record.name)}': {error}. Restore it."
            ) from error
        banks[row["side"]].append(_load_plate(seen, record, row))
    return {side: PlateBank(tuple(plates), (), ()) for side, plates in banks.items()}


def _load_plate(seen: Record, record: Record, row: Row) -> Plate:
    try:
        picture, hole = read_plate(record.path)
    except ImageError as error:
        raise InputError(f"'{printable(record.path)}' {error}. See reid-data verify.") from error
    size = (picture.shape[0], picture.shape[1])
    return Plate(
        seen, record.path, row["sha256"], size, row.get("mask_quality") or 1.0, thumbnail(hole), row["person_share"]
    )


def plate_set_quality(dataset: ReidDataset) -> int:
    """The JPEG quality at which the pictures were written that the plates come from."""
    document = read_document(dataset.root) or {}
    quality = (document.get("settings") or {}).get("jpeg_quality")
    return quality if type(quality) is int and 1 <= quality <= 100 else usual_quality(dataset.records)
