"""The cards of all sets of a matrix: what they are, what they came from, on what terms."""

from collections.abc import Mapping, Sequence
from typing import Any

from reid_train.report.sheet import Sheet, make_sheet


def set_cards(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cards of all sets that were trained or tested on, parents included, one per name and kind."""
    cards: dict[tuple[str, str], Mapping[str, Any]] = {}

    def add(card: Mapping[str, Any]) -> None:
        cards.setdefault((card["name"], card["kind"]), card)
        for parent in card.get("parents", ()):
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
            "made_from": ", ".join(one["name"] for one in card.get("parents", ())),
        }
        for card in cards
    ]
    return make_sheet("sets", "Data sets and their terms", records, (*keys, "made_from"))
