"""Sides: plates of the train side serve training images, those of the test side query and gallery."""

from reid_data.records import Record, ReidDataset

SIDES = {"train": "train", "query": "test", "gallery": "test"}


SPLIT_OF = {"train": "train", "test": "gallery"}


def background_sides(bg: ReidDataset) -> dict[str, list[Record]]:
    """The crops that may give plates, by side. A set with one side only is cut in two by identity, so that no background
    crosses from train to test. Distractors and junk, which often show parts of people, are left out."""
    sides: dict[str, list[Record]] = {side: [] for side in SIDES.values()}
    for record in bg.records:
        if record.pid > 0:
            sides[SIDES[record.split]].append(record)
    if not sides["train"] or not sides["test"]:
        everyone = sides["train"] or sides["test"]
        pids = sorted({record.pid for record in everyone})
        first = set(pids[: (len(pids) + 1) // 2])
        sides = {
            "train": [record for record in everyone if record.pid in first],
            "test": [record for record in everyone if record.pid not in first],
        }
    return sides
