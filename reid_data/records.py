"""The data model: one `Record` per image, one `ReidDataset` per set."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

SPLITS = ("train", "query", "gallery")
SPLIT_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
JUNK_PID = -1
DISTRACTOR_PID = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a set.

    `root` is the set's folder and `name` the path below it with forward slashes; `pid` is the identity (-1 junk: never
    scored; 0 a distractor: scored as a wrong match); `camid` the camera as the file name counts it; `split` one of
    `SPLITS`.
    """

    root: str
    name: str
    pid: int
    camid: int
    split: str

    @property
    def path(self) -> str:
        """Where the image lies."""
        return os.path.join(self.root, self.name)

    @property
    def stem(self) -> str:
        """File name without folder and ending."""
        return PurePosixPath(self.name).stem


@dataclass(frozen=True)
class Card:
    """What a set is and on what terms: from its `dataset.json`, else from the table of known sets.

    `identity_space`: identities are the same person only within one space. `status` is `ok`, `restricted` or
    `withdrawn`; `notice` one line for the user (empty: none); `parents` the cards of the sets it was made from.
    """

    name: str
    kind: str = "photographs"
    identity_space: str = ""
    terms: str = "unknown: ask the owner of the images"
    status: str = "ok"
    notice: str = ""
    parents: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class ReidDataset:
    """A set: its card and, per split, the records in sorted order.

    `ignored` counts, by reason, the files that were passed over (`Thumbs.db`, names without an identity, ...).
    """

    card: Card
    root: Path
    train: Sequence[Record]
    query: Sequence[Record]
    gallery: Sequence[Record]
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The set's name."""
        return self.card.name

    def split(self, name: str) -> Sequence[Record]:
        """The records of one of `SPLITS`."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}[name]

    @property
    def records(self) -> list[Record]:
        """All records: train, query, gallery."""
        return [*self.train, *self.query, *self.gallery]


def relabel(records: Iterable[Record]) -> dict[int, int]:
    """Class number of each pid: 0, 1, ... by rising pid. Junk and distractors get none."""
    return {
        pid: label for label, pid in enumerate(sorted({record.pid for record in records} - {JUNK_PID, DISTRACTOR_PID}))
    }


def count_split(records: Sequence[Record]) -> dict[str, int]:
    """Images, identities (junk and distractors left out), cameras, junk and distractor images of some records."""
    images = Counter(record.pid for record in records)
    return {
        "images": len(records),
        "ids": len(images.keys() - {JUNK_PID, DISTRACTOR_PID}),
        "cameras": len({record.camid for record in records}),
        "junk": images[JUNK_PID],
        "distractors": images[DISTRACTOR_PID],
    }
