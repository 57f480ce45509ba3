"""What a composite set says about itself: its `Card`, and the data card for people (README.md)."""

from typing import Any

from reid_data.datasets.card import card_as_parent, most_restrictive, tool_version
from reid_data.records import Card, ReidDataset

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

The images of identity N are those whose `pid` is N in `manifest.jsonl`; its rows of kind `plate` and the field `background` name the
images of `{bg}` that gave backgrounds. Remove the files and their rows, and the person's images in the parent sets, then
make derived sets anew.
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


def data_card(card: Card, settings: dict[str, Any], counts: Counts, num_plates: int, num_tried: int) -> str:
    """The data card in Markdown; `counts` as split -> status -> number of images."""
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
        num_plates=num_plates,
        num_tried=num_tried,
        settings="\n".join(f"- {key}: {value}" for key, value in sorted(settings.items())),
    )
