"""The cards of all sets of a matrix: what they are, what they came from, on what terms."""

from collections.abc import Mapping, Sequence
from typing import Any

from reid_train.report.sheet import Sheet, make_sheet


def set_cards(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The cards of all sets that were trained or tested on, parents included, one per name and kind.

    `results.json` gives the test sets' cards without their parents, so those of the trainings come first.
    """
    cards: dict[tuple[str, str], dict[str, Any]] = {}

    def add(card: Mapping[str, Any]) -> None:
        parents = list(card.get("parents", ()))
        cards.setdefault((card["name"], card["kind"]), {**card, "parents": parents})
        for parent in parents:
            add(parent)

    for row in document["trainings"]:
        for card in row["sets"]:
            add(card)
    for test in document["tests"].values():
        add(test["card"])
    return list(cards.values())


def card_sheet(cards: Sequence[Mapping[str, Any]]) -> Sheet:
    """All cards as one table."""
    keys = ("name", "kind", "status", "terms", "notice", "identity_space")
    records = [
        {
            **{key: card.get(key, "") for key in keys},
            "made_from": ", ".join(one["name"] for one in card["parents"]),
        }
        for card in cards
    ]
    return make_sheet("sets", "Data sets and their terms", records, (*keys, "made_from"))
