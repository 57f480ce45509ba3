"""`check`: the faults that users really hit, each in the words of what it causes and how to mend it.

A `fault` makes training or scores wrong and ends with exit code 1; a `note` is worth a look. Names of image issues
follow cleanvision (dark, blurry, odd_size, exact_duplicates, near_duplicates).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reid_data.datasets import DATASETS
from reid_data.datasets.card import read_document
from reid_data.datasets.inspect import Look, look_at, near_pairs
from reid_data.datasets.pictures import PICTURES, how_to_import
from reid_data.parallel import ordered_map
from reid_data.records import DISTRACTOR_PID, JUNK_PID, SPLITS, TRANSPARENT, Record, ReidDataset, count_split

DARK_BELOW = 25.0
BLURRY_BELOW = 15.0
NEAR_DUPLICATE_BITS = 3
MIN_SIDE, MIN_ASPECT, MAX_ASPECT = 16, 1.0, 6.0
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one set: how many, some examples, what it causes, how to mend it."""

    kind: str
    severity: str
    count: int
    what: str
    effect: str
    remedy: str
    examples: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """A JSON-able form."""
        return asdict(self)


def check(
    dataset: ReidDataset, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Finding], list[tuple[str, str]]]:
    """Look at every image of a set. Returns the findings, faults first, and every unreadable image with its reason."""
    records = dataset.records
    looks: list[Look] = []
    found = ordered_map(look_at, records, workers, chunk=64, lost=lambda _, reason: Look(reason))
    for done, look in enumerate(found, 1):
        looks.append(look)
        if progress is not None:
            progress(done, len(records))
    findings = [
        *(_no_identities(dataset) if dataset.card.kind == PICTURES else _people(dataset)),
        *_images(records, looks),
        *_duplicates(records, looks),
    ]
    failed = [(record.name, look.fault) for record, look in zip(records, looks) if look.fault]
    return sorted(findings, key=lambda finding: finding.severity), failed


def _people(dataset: ReidDataset) -> list[Finding]:
    parts = (_missing_splits, _counts, _cameras, unmatched_queries, _identity_overlap, _nobody)
    return [finding for part in parts for finding in part(dataset)]


def _no_identities(dataset: ReidDataset) -> list[Finding]:
    return [
        Finding(
            "no_identities",
            "note",
            len(dataset.records),
            "a folder of photographs: nothing says who is on them, nor from which camera",
            "extract, stats and segment take it as it is; it cannot be trained on or tested on",
            f"to make a set of it, with person and camera out of the names: {how_to_import(dataset)}",
        )
    ]


def _missing_splits(dataset: ReidDataset) -> list[Finding]:
    effects = {
        "train": "the set cannot be trained on",
        "query": "the set cannot be tested on",
        "gallery": "the set cannot be tested on",
    }
    return [
        Finding(
            "missing_split",
            "fault",
            1,
            f"no images in {split}",
            effects[split],
            f"check that the folder of the {split} images is there",
        )
        for split in SPLITS
        if not dataset.split(split)
    ]


def _counts(dataset: ReidDataset) -> list[Finding]:
    document = read_document(dataset.root) if dataset.root.is_dir() else None
    spec = DATASETS.get(dataset.name)
    stated = document.get("counts", {}) if document else spec.expected if spec else {}
    findings = []
    for split in SPLITS:
        got, wanted = count_split(dataset.split(split)), stated.get(split, {})
        wrong = [
            f"{got[key]:,} {key} (expected {wanted[key]:,})"
            for key in wanted
            if got.get(key) not in (None, wanted[key])
        ]
        if wrong:
            findings.append(
                Finding(
                    "wrong_counts",
                    "fault",
                    len(wrong),
                    f"{split}: {', '.join(wrong)}",
                    "results do not compare with published ones",
                    "copy or unpack the set again; if it is meant to differ, give it another folder name",
                )
            )
    return findings


def _cameras(dataset: ReidDataset) -> list[Finding]:
    test = [*dataset.query, *dataset.gallery]
    cameras = {record.camid for record in test}
    if not test or len(cameras) > 1:
        return []
    return [
        Finding(
            "one_camera",
            "fault",
            len(test),
            f"every query and gallery image has camera id {cameras.pop()}",
            "the standard protocol leaves out matches from the query's own camera, so no query has anything to find",
            "write the camera into the names (c1, c2, ...) with: reid-data import; or evaluate with --protocol no-camera",
        )
    ]


def unmatched_queries(dataset: ReidDataset) -> list[Finding]:
    """Queries that nobody in the gallery can match from another camera."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in dataset.gallery:
        cameras[record.pid].add(record.camid)
    lost = [record for record in dataset.query if not cameras[record.pid] - {record.camid}]
    if not lost or not dataset.gallery:
        return []
    return [
        Finding(
            "query_without_match",
            "fault",
            len(lost),
            f"{len(lost):,} of {len(dataset.query):,} queries have no gallery image of the same person from another camera",
            "they cannot be scored and are left out of the mean",
            "add gallery images of these people from other cameras, or remove the queries",
            _names(lost),
        )
    ]


def _identity_overlap(dataset: ReidDataset) -> list[Finding]:
    test = {record.pid for record in (*dataset.query, *dataset.gallery)} - {JUNK_PID, DISTRACTOR_PID}
    shared = sorted({record.pid for record in dataset.train} & test)
    if not shared:
        return []
    return [
        Finding(
            "identity_overlap",
            "fault",
            len(shared),
            f"{len(shared):,} identities are in train and in the test splits",
            "the model is tested on people it was trained on, so scores come out too high",
            "put each person in one side only",
            tuple(str(pid) for pid in shared[:EXAMPLES]),
        )
    ]


def _nobody(dataset: ReidDataset) -> list[Finding]:
    lost = [record for record in (*dataset.train, *dataset.query) if record.pid == DISTRACTOR_PID]
    if not lost:
        return []
    return [
        Finding(
            "distractor_in_train_or_query",
            "fault",
            len(lost),
            f"{len(lost):,} images of train or query have id 0, which means distractor (nobody)",
            "they are not trained on, and not scored as queries",
            "if the ids count from 0, import the set with: reid-data import --ids-from-zero; else remove the images",
            _names(lost),
        )
    ]


def _transparent(records: Sequence[Record], looks: Sequence[Look]) -> list[Finding]:
    found = [record for record, look in zip(records, looks) if look.fault == TRANSPARENT]
    if not found:
        return []
    return [
        Finding(
            "transparent",
            "fault",
            len(found),
            f"{len(found):,} of {len(records):,} images have transparent pixels",
            "what they show depends on what is behind them: every command leaves them out and ends with exit code 1",
            "name the colour behind them with --matte R,G,B (255,255,255 is white), in every command alike",
            _names(found),
        )
    ]


def _images(records: Sequence[Record], looks: Sequence[Look]) -> list[Finding]:
    pairs = list(zip(records, looks))
    good = [(record, look) for record, look in pairs if not look.fault]
    bad = [(record, look.fault) for record, look in pairs if look.fault and look.fault != TRANSPARENT]
    findings = _transparent(records, looks)
    if bad:
        examples = tuple(f"{record.name} {reason}" for record, reason in bad[:EXAMPLES])
        effect = "every command leaves them out, says so and ends with exit code 1"
        what = f"{len(bad):,} of {len(records):,} images cannot be read"
        findings.append(
            Finding("unreadable", "fault", len(bad), what, effect, "copy them again, or delete them", examples)
        )
    kinds: list[tuple[str, Callable[[Look], bool], str, str, str]] = [
        (
            "odd_size",
            lambda look: (
                min(look.height, look.width) < MIN_SIDE or not MIN_ASPECT <= look.height / look.width <= MAX_ASPECT
            ),
            f"smaller than {MIN_SIDE} pixels, wider than high, or over {MAX_ASPECT:g} times as high as wide",
            "resizing distorts them; they are seldom a whole standing person",
            "look at them; remove what is no pedestrian crop",
        ),
        (
            "dark",
            lambda look: look.brightness < DARK_BELOW,
            f"mean brightness under {DARK_BELOW:g} of 255",
            "little to learn from",
            "look at them",
        ),
        (
            "blurry",
            lambda look: look.sharpness < BLURRY_BELOW,
            f"variance of the Laplacian at 128x64 under {BLURRY_BELOW:g}",
            "little to learn from; masks are poor",
            "look at them",
        ),
    ]
    kinds.append(
        (
            "other_format",
            lambda look: look.format in ("WebP", "TIFF", "BMP"),
            "in the format " + ", ".join(sorted({look.format for look in looks} & {"WebP", "TIFF", "BMP"})),
            "they are read here, but many tools of the field pass them over",
            "convert them to JPEG or PNG if another tool shall read them",
        )
    )
    for kind, is_kind, what, effect, remedy in kinds:
        found = [record for record, look in good if is_kind(look)]
        if found:
            findings.append(
                Finding(kind, "note", len(found), f"{len(found):,} images: {what}", effect, remedy, _names(found))
            )
    return findings


def _duplicates(records: Sequence[Record], looks: Sequence[Look]) -> list[Finding]:
    """Equal files anywhere; near-equal pictures between train and the test splits."""
    good = [(record, look) for record, look in zip(records, looks) if not look.fault]
    groups: dict[str, list[Record]] = defaultdict(list)
    for record, look in good:
        groups[look.sha256].append(record)
    repeated = [group for group in groups.values() if len(group) > 1]
    across = [group for group in repeated if len({record.split == "train" for record in group}) > 1]
    clashing = [group for group in repeated if len({record.pid for record in group}) > 1]
    leak = "the model is tested on pictures it was trained on, so scores come out too high"
    findings = _group_finding(across, "fault", "train and a test split", leak, "delete one of each pair")
    clash = "the same picture counts as a right and as a wrong match"
    findings += _group_finding(
        [g for g in clashing if g not in across], "fault", "two identities", clash, "decide who it is, delete the other"
    )
    rest = [group for group in repeated if group not in across and group not in clashing]
    findings += _group_finding(
        rest, "note", "one identity", "some pictures count twice", "delete the copies if they are not meant"
    )
    return findings + _near_duplicates(good)


def _group_finding(groups: list[list[Record]], severity: str, where: str, effect: str, remedy: str) -> list[Finding]:
    if not groups:
        return []
    examples = tuple(" = ".join(record.name for record in group[:3]) for group in groups[:EXAMPLES])
    what = f"{len(groups):,} pictures are there more than once, under {where}"
    return [Finding("exact_duplicates", severity, len(groups), what, effect, remedy, examples)]


def _near_duplicates(good: Sequence[tuple[Record, Look]]) -> list[Finding]:
    train = [(record, look) for record, look in good if record.split == "train"]
    test = [(record, look) for record, look in good if record.split != "train"]
    if not train or not test:
        return []
    left, right = (
        np.frombuffer(b"".join(look.fingerprint for _, look in part), np.uint8).reshape(-1, 16)
        for part in (train, test)
    )
    pairs = [
        (train[i][0], test[j][0])
        for i, j in near_pairs(left, right, NEAR_DUPLICATE_BITS)
        if train[i][1].sha256 != test[j][1].sha256
    ]
    if not pairs:
        return []
    what = f"{len(pairs):,} pairs of a train and a test image look the same (fingerprints within {NEAR_DUPLICATE_BITS} of 128 bits)"
    effect = "if they are the same picture, the test set leaks into training"
    examples = tuple(f"{a.name} ~ {b.name}" for a, b in pairs[:EXAMPLES])
    return [
        Finding(
            "near_duplicates", "note", len(pairs), what, effect, "look at them; delete one of each real pair", examples
        )
    ]


def _names(records: Sequence[Record]) -> tuple[str, ...]:
    return tuple(record.name for record in records[:EXAMPLES])
