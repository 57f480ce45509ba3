"""What a composite set says about itself: its `Card`, and the data card for people (README.md)."""

import re
from collections import Counter
from typing import Any

from reid_data.datasets.card import card_as_parent, most_restrictive, tool_version
from reid_data.errors import InputError, printable_lines
from reid_data.manifest import Manifest
from reid_data.records import PLATE_SET, SPLITS, SUBSET, Card, ReidDataset

Counts = dict[str, dict[str, int]]

_TEXT = """\
# {name}

A composite person re-identification set: people of `{fg}` before backgrounds of `{bg}`. Made by {tool}; Market-1501
layout, names, identities and cameras are those of `{fg}`.

## What it came from, and on what terms

{parents}

The most restrictive parent decides: this set's status is **{status}**. Whoever may not pass on a parent may not pass on
this set. {notice}

## How it was made

Each person was cut out with a mask by `{segmenter}` and pasted on a picture of `{bg}` from which the person had been
removed (train on train, query and gallery on the test side). Masks below quality {min_quality:g}: training images were
dropped, query and gallery images pasted all the same and flagged. Every image has its row in `manifest.jsonl`: source
file and hash, background file and hash, mask quality, seed, hash of the result.

| split | ok | flagged | dropped | failed |
| --- | --- | --- | --- | --- |
{counts}

Plates: {num_plates} from {num_tried} crops tried. Settings:

{settings}

## Intended use, and limits

For research on how background and identity are entangled in re-identification networks. Not for identifying people. The
pictures show real people if a parent does; masks and backgrounds are imperfect, and a network can learn their flaws.

## Removing a person

`reid-data forget` removes whatever was derived from one identity: images, rows, backgrounds, kept masks. The parent sets
keep their images until you remove them there.
"""


def composite_card(name: str, fg: ReidDataset, bg: ReidDataset) -> Card:
    """The card of a composite: identities of its foreground, terms and status of the stricter parent."""
    parents = [fg.card] if fg.card == bg.card else [fg.card, bg.card]
    return Card(
        name=name,
        kind="composite",
        identity_space=fg.card.identity_space,
        terms="; ".join(dict.fromkeys(f"{card.name}: {card.terms}" for card in parents)),
        status=most_restrictive(*(card.status for card in parents)),
        notice=" ".join(dict.fromkeys(card.notice for card in parents if card.notice)),
        parents=tuple(card_as_parent(card) for card in parents),
    )


def image_counts(manifest: Manifest) -> Counts:
    """Images of a composite set: split -> status -> number."""
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for row in manifest.of_kind("image"):
        counts[row["split"]][row.get("status", "ok")] += 1
    return {split: dict(sorted(part.items())) for split, part in counts.items()}


def tried_plates(manifest: Manifest) -> Counter[str]:
    """Crops that a composite tried as plates: status -> number."""
    return Counter(row.get("status", "ok") for row in manifest.of_kind("plate"))


def plate_counts(manifest: Manifest) -> dict[str, dict[int, int]]:
    """Plates of a background set: side -> camera -> number."""
    plates: dict[str, dict[int, int]] = {}
    for side in ("train", "test"):
        cameras = Counter(row["camid"] for row in manifest.of_kind("image") if row.get("side") == side)
        plates[side] = dict(sorted(cameras.items()))
    return plates


def refusals(manifest: Manifest) -> dict[str, int]:
    """Why pieces gave no plate of a background set: reason (without its numbers) -> how many, the most frequent first."""
    reasons = Counter(_without_numbers(row.get("reason", "")) for row in manifest.of_kind("plate"))
    return dict(reasons.most_common())


def _without_numbers(reason: str) -> str:
    """Sizes as "width x height", other numbers as N."""
    return re.sub(r"\d[\d.]*", "N", re.sub(r"\b\d+ ?x ?\d+\b", "width x height", reason))


def data_card(card: Card, settings: dict[str, Any], manifest: Manifest) -> str:
    """The data card of a composite set in Markdown."""
    counts, tried = image_counts(manifest), tried_plates(manifest)
    statuses = ("ok", "flagged", "dropped", "failed")
    rows = [
        f"| {split} | " + " | ".join(str(part.get(status, 0)) for status in statuses) + " |"
        for split, part in counts.items()
    ]
    return _TEXT.format(
        name=card.name,
        fg=settings["foreground"],
        bg=settings["background"],
        tool=tool_version(),
        parents="\n".join(f"- `{parent['name']}` ({parent['status']}): {parent['terms']}" for parent in card.parents),
        status=card.status,
        notice=card.notice,
        segmenter=settings["segmenter"],
        min_quality=settings["min_quality"],
        counts="\n".join(rows),
        num_plates=tried["ok"],
        num_tried=tried.total(),
        settings="\n".join(f"- {key}: {value}" for key, value in sorted(settings.items())),
    )


_BACKGROUNDS = """\
# {name}

Person-free pictures for backgrounds, {num} in all. Made by {tool} from `{source}` ({how}). Market-1501 layout with identity 0,
which is nobody; `bounding_box_train` is for training images, `bounding_box_test` for query and gallery.

## What it came from, and on what terms

{parents}

This set's status is **{status}**. Whoever may not pass on a parent may not pass on this set. {notice}

## How it was made

{method} A picture was refused where the segmenter `{segmenter}` still saw a person in {max_person:.0%} of it or more. Every
plate has its row in `manifest.jsonl`: source file and hash, the share that is invented, the share in which a person is seen.
Alpha is 0 where a plate is invented.

| side | camera | plates |
| --- | --- | --- |
{counts}

Refused: {refused}.

## Intended use, and limits

Backgrounds for `reid-data composite` and `--background-swap`. The segmenter overlooks some people who are small, cut off or
unusual: look at the plates before you publish them.
"""

_METHODS = {
    "crops": "The person was cut out of pedestrian crops and the place filled from its surroundings.",
    "scenes": "Pedestrian-shaped pieces were cut where somebody could stand.",
    "frames": "Pedestrian-shaped pieces were cut from the median over time of each fixed camera's frames.",
}


def backgrounds_card(name: str, source: ReidDataset) -> Card:
    """The card of a background set: terms and status of what it came from; its identities are nobody's."""
    card = source.card
    parents = (card_as_parent(card),)
    return Card(name, PLATE_SET, name, f"{card.name}: {card.terms}", card.status, card.notice, parents)


def backgrounds_text(card: Card, settings: dict[str, Any], manifest: Manifest) -> str:
    """The data card of a background set in Markdown."""
    plates, refused = plate_counts(manifest), refusals(manifest)
    kind = settings["source_kind"]
    return _BACKGROUNDS.format(
        name=card.name,
        num=sum(sum(cameras.values()) for cameras in plates.values()),
        tool=tool_version(),
        source=settings["source"],
        how=kind,
        parents="\n".join(f"- `{parent['name']}` ({parent['status']}): {parent['terms']}" for parent in card.parents),
        status=card.status,
        notice=card.notice,
        method=_METHODS[kind],
        segmenter=settings["segmenter"],
        max_person=settings["plate_max_person"],
        counts="\n".join(
            f"| {side} | {camid} | {number} |" for side, cameras in plates.items() for camid, number in cameras.items()
        ),
        refused="; ".join(f"{number} {reason}" for reason, number in refused.items()) or "none",
    )


_SUBSET = """\
# {name}

A part of `{source}`. Made by {tool}; Market-1501 layout, identities and cameras are those of `{source}`.

## What it came from, and on what terms

{parents}

This set's status is **{status}**. Whoever may not pass on a parent may not pass on this set. {notice}

## What was taken

Cameras: {cameras}. Identities: {ids}. Splits: {splits}. Identities were chosen once over all splits; junk and distractors of
these cameras stayed. The pictures are those of `{source}`, byte for byte; `manifest.jsonl` has the hash and the origin of each.

| split | images | identities | could not be read |
| --- | --- | --- | --- |
{counts}
"""


def subset_card(name: str, source: ReidDataset) -> Card:
    """The card of a subset: terms, status and identity space of what it is a part of."""
    card = source.card
    space, parents = card.identity_space or card.name, (card_as_parent(card),)
    return Card(name, SUBSET, space, f"{card.name}: {card.terms}", card.status, card.notice, parents)


def subset_text(card: Card, settings: dict[str, Any], manifest: Manifest) -> str:
    """The data card of a subset in Markdown."""
    rows = manifest.of_kind("image")
    words = {"all": "all", "even": "those with even numbers", "odd": "those with odd numbers"}
    listed = f"{len(settings['pids'])} that were named"
    drawn = f"{settings['ids']} of them, drawn with seed {settings['seed']}"
    counts = []
    for split in settings["splits"]:
        mine = [row for row in rows if row["split"] == split]
        good = [row for row in mine if row.get("sha256")]
        counts.append(
            f"| {split} | {len(good)} | {len({row['pid'] for row in good if row['pid'] > 0})} | {len(mine) - len(good)} |"
        )
    return _SUBSET.format(
        name=card.name,
        source=settings["source"],
        tool=tool_version(),
        parents="\n".join(f"- `{parent['name']}` ({parent['status']}): {parent['terms']}" for parent in card.parents),
        status=card.status,
        notice=card.notice,
        cameras=", ".join(map(str, settings["cameras"])) or "all",
        ids=listed if settings["ids"] == "listed" else words.get(settings["ids"], drawn),
        splits=", ".join(settings["splits"]),
        counts="\n".join(counts),
    )


_TEXTS = {PLATE_SET: backgrounds_text, SUBSET: subset_text}


def readme_text(card: Card, settings: dict[str, Any], manifest: Manifest) -> str:
    """The data card of a set that has a manifest, in Markdown, names printable.

    Raises InputError if its settings are not those of such a set.
    """
    text = _TEXTS.get(card.kind, data_card)
    try:
        return printable_lines(text(card, settings, manifest))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the settings in the manifest of '{card.name}' are damaged ({error!r}). Restore it, or make the set again."
        ) from error


def removal_text(removals: list[dict[str, int]]) -> str:
    """What the data card says of people who were removed: that it happened, and nothing that could name them."""
    if not removals:
        return ""
    images = sum(removal["images"] for removal in removals)
    return f"\n## Removals\n\n{len(removals)} removal{'s' * (len(removals) > 1)} on request, {images} images in all.\n"
