"""The data model: one `Record` per image, one `ReidDataset` per set."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from reid_data.errors import UsageError

SPLITS = ("train", "query", "gallery")
SPLIT_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
PLATE_SET = "backgrounds"
"""The kind of a background set: in its pictures alpha 0 marks what is invented."""
SUBSET = "subset"
"""The kind of a set that is a part of another."""
JUNK_PID = -1
DISTRACTOR_PID = 0
UNLABELLED_PID = -2
"""The identity of an image whose identity was taken away (see reid_train.adaptation.target); no reader gives it."""

Colour = tuple[int, int, int]
Transparency = Colour | Literal["refused", "ignored"]
"""What becomes of transparent pixels: composed over a colour (R, G, B), the picture refused, or read as if they were opaque."""
TRANSPARENT = "has transparent pixels: --matte R,G,B reads it over that colour"
"""Why a picture is refused."""
WHITE = (255, 255, 255)
"""What lies behind transparent pictures on pages that only show them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a set.

    `root` is the set's folder and `name` the path below it with forward slashes; `pid` is the identity (-1 junk: never
    scored; 0 a distractor: scored as a wrong match); `camid` the camera as the file name counts it; `split` one of
    `SPLITS`; `transparency` what becomes of the image's transparent pixels when it is read.
    """

    root: str
    name: str
    pid: int
    camid: int
    split: str
    transparency: Transparency = "refused"

    @property
    def path(self) -> str:
        """Where the image lies."""
        return os.path.join(self.root, self.name)

    @property
    def stem(self) -> str:
        """File name without folder and ending."""
        return PurePosixPath(self.name).stem

    @property
    def matte(self) -> Colour | None:
        """The colour that its transparent pixels are composed over; None without one."""
        return self.transparency if isinstance(self.transparency, tuple) else None

    @property
    def matte_mark(self) -> str:
        """What is added to the name of a folder whose files are kept by the image's hash; empty without a matte."""
        return "" if self.matte is None else "-over-{}-{}-{}".format(*self.matte)


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

    `ignored` counts, by reason, the files that were passed over (`Thumbs.db`, names without an identity, ...). `layout` says
    how an unknown folder was read and why, and what speaks against it; empty where nothing was guessed.
    """

    card: Card
    root: Path
    train: Sequence[Record]
    query: Sequence[Record]
    gallery: Sequence[Record]
    ignored: dict[str, int] = field(default_factory=dict)
    layout: str = ""

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


def read_colour(text: str) -> Colour:
    """`255,255,255` -> (255, 255, 255). Raises UsageError."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and len(part) <= 3 and int(part) <= 255 for part in parts):
        raise UsageError(f"--matte '{text}': expected red, green and blue from 0 to 255, such as 255,255,255.")
    red, green, blue = map(int, parts)
    return red, green, blue


def read_with(records: Iterable[Record], transparency: Transparency) -> list[Record]:
    """The records, their transparent pixels to be read so."""
    return [replace(record, transparency=transparency) for record in records]


def over_matte(dataset: ReidDataset, colour: Colour | None) -> ReidDataset:
    """The set, its transparent pictures to be read over `colour`; those that have a matte already, and plates, as they are."""
    if colour is None or all(record.transparency != "refused" for record in dataset.records):
        return dataset
    train, query, gallery = (read_with(dataset.split(split), colour) for split in SPLITS)
    return replace(dataset, train=train, query=query, gallery=gallery)


def matte_text(records: Iterable[Record]) -> str:
    """The mattes of some records, `255,255,255`; empty without any."""
    mattes = sorted({record.matte for record in records if record.matte is not None})
    return "; ".join("{},{},{}".format(*matte) for matte in mattes)


def matte_row(*datasets: ReidDataset) -> dict[str, str]:
    """What a derived set's settings say of the colour that transparent pictures were read over: {"matte": "R,G,B"}; {} without."""
    text = matte_text([record for dataset in datasets for record in dataset.records])
    return {"matte": text} if text else {}


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
