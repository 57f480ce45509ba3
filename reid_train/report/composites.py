"""The composite sets of a matrix: contact sheets, and what their masks were worth."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.errors import ReidError
from reid_data.manifest import read_manifest
from reid_train.report.bars import NUM_BINS, Histogram, bin_of, histogram
from reid_train.report.evidence import Evidence
from reid_train.report.pictures import image_folder, read_sheet, sheet_path
from reid_train.report.sheet import Sheet, make_sheet
from reid_train.runs.matrix_document import column_names, split_union

STATUSES = ("ok", "flagged", "dropped", "failed")


@dataclass(frozen=True)
class Composite:
    """A composite set: counts by split and status, its masks' quality, its contact sheet as a data URI, what is missing."""

    name: str
    foreground: str
    background: str
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    quality: Histogram | None
    median: float | None
    limit: float | None
    sheet: str | None
    missing: tuple[str, ...]


def composite_cards(document: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The composite sets of a matrix: by card name, the name or path as typed, and the card."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for row in document["trainings"]:
        parts = split_union(row["train"])
        for number, card in enumerate(row["sets"]):
            if card["kind"] == "composite":
                typed = parts[number] if len(parts) == len(row["sets"]) else card["name"]
                name, colon, share = typed.rpartition(":")
                typed = name if colon and share.replace(".", "", 1).isdigit() else typed
                found.setdefault(card["name"], (typed, card))
    for typed in column_names(document):
        card = document["tests"][typed]["card"]
        if card["kind"] == "composite":
            found.setdefault(card["name"], (typed, card))
    return found


def composites(evidence: Evidence, data_root: Path | None, *, thumbs: bool) -> tuple[list[Composite], Sheet]:
    """The composite sets of the matrix, from their manifests, with the contact sheets that lie in `sheets/`; and numbers."""
    cards = composite_cards(evidence.document)
    parents = {name: [parent["name"] for parent in card.get("parents", ())] for name, (_, card) in cards.items()}
    shown, records = [], []
    for name, (typed, _) in cards.items():
        sheet_file = sheet_path(evidence.folder, evidence.document, name, (typed, name))
        root = image_folder(typed, data_root)
        composite, rows = _composite(name, parents[name], root, sheet_file, thumbs=thumbs)
        shown.append(composite)
        records += [{"set": name, **row} for row in rows]
    return shown, make_sheet("mask-quality", "Composite images by mask quality", records)


def _composite(
    name: str, parents: list[str], root: Path | None, sheet_file: Path, *, thumbs: bool
) -> tuple[Composite, list[dict[str, Any]]]:
    missing, rows, limit = [], [], None
    try:
        manifest = None if root is None else read_manifest(root)
    except ReidError as error:
        manifest = None
        missing.append(str(error))
    if manifest is None:
        missing.append("Its manifest.jsonl was not found below the data root: no mask quality is shown.")
    else:
        rows = [row for row in manifest.of_kind("image") if row.get("status") in STATUSES]
        settings = manifest.header.get("settings", {})
        limit = settings.get("min_quality")
        parents = [str(settings.get(role, "?")) for role in ("foreground", "background")]
    sheet, why = read_sheet(sheet_file) if thumbs else (None, "")
    missing += [why] if why else []
    pasted = [row for row in rows if row.get("person", True)]  # the others are bare plates
    values = {
        status: [
            row["mask_quality"] for row in pasted if row["status"] == status and _is_share(row.get("mask_quality"))
        ]
        for status in STATUSES
    }
    counts = tuple(
        (split, tuple(sum(row["split"] == split and row["status"] == status for row in rows) for status in STATUSES))
        for split in ("train", "query", "gallery")
    )
    every = [value for part in values.values() for value in part]
    quality = histogram(list(values.items()), "mask quality", limit) if every else None
    median = float(np.median(every)) if every else None
    foreground, background = (parents * 2)[:2] or ("?", "?")
    shown = Composite(
        name, foreground, background, counts if rows else (), quality, median, limit, sheet, tuple(missing)
    )
    return shown, _quality_counts(rows)


def _quality_counts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number of images by split, status and column of the histogram; no image is named. Bare plates have no quality."""
    counts: Counter[tuple[str, str, float | None]] = Counter()
    for row in rows:
        value = row.get("mask_quality")
        known = value if row.get("person", True) and _is_share(value) else None
        counts[row["split"], row["status"], None if known is None else bin_of(known) / NUM_BINS] += 1
    order = sorted(counts.items(), key=lambda item: (*item[0][:2], -1.0 if item[0][2] is None else item[0][2]))
    return [
        {
            "split": split,
            "status": status,
            "quality_from": low,
            "quality_to": None if low is None else round(low + 1 / NUM_BINS, 4),
            "images": num,
        }
        for (split, status, low), num in order
    ]


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
