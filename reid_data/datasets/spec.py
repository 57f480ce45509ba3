"""One row per known data set: where it is found, how it is read, what it must hold, on what terms."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reid_data.records import SPLIT_FOLDERS, SPLITS, Card, Record

Splits = dict[str, list[Record]]
Ignored = dict[str, int]
Reader = Callable[[Path, "DatasetSpec"], tuple[Splits, Ignored]]


@dataclass(frozen=True)
class DatasetSpec:
    """A known data set.

    `folders`: the usual names of its folder below the data root, most usual first. `reader`: turns that folder into
    records per split. `split_folders` and `pattern` (named groups `pid` and `camid`) are for readers of file names.
    `expected`: published counts per split, in the words of `records.count_split`; only what is published stands there.
    `paths` and `ids_from_zero` are for `path_names.read_paths`. `cite`: the paper that introduced the set; `counted_by`: the
    public source of the counts, where it is not that paper.
    """

    name: str
    folders: tuple[str, ...]
    reader: Reader
    pattern: str = r"(?P<pid>-?\d+)_c(?P<camid>\d+)"
    split_folders: dict[str, str] = field(default_factory=lambda: dict(SPLIT_FOLDERS))
    expected: dict[str, dict[str, int]] = field(default_factory=dict)
    terms: str = "unknown: ask the owner of the images"
    status: str = "ok"
    notice: str = ""
    cite: str = ""
    counted_by: str = ""
    paths: dict[str, str] = field(default_factory=dict)
    ids_from_zero: bool = False

    def card(self) -> Card:
        """The card of a set that has no `dataset.json` of its own."""
        return Card(self.name, "photographs", self.name, self.terms, self.status, self.notice)


def empty_splits() -> Splits:
    """No records in any split."""
    return {split: [] for split in SPLITS}
