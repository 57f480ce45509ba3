"""Sets on the command line: the names of those to train and test on, their notices, where a new one goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reid_data.errors import InputError, UsageError

from .options import set_names
from .terminal import say

if TYPE_CHECKING:
    from reid_data.records import Colour, ReidDataset


def output_path(out: str, data_root: Path) -> Path:
    """`--out NAME` is a folder below the data root; a value with a slash is a path."""
    return Path(out).expanduser() if "/" in out else data_root / out


def notice(dataset: Any) -> None:
    """Print a set's notice (withdrawn, restricted use) and how its folder was read, if guessed, on stderr, once a process."""
    for text in (dataset.card.notice, dataset.layout):
        if text and text not in _noticed:
            _noticed.add(text)
            say(f"Note on {dataset.name}: {text}")


_noticed: set[str] = set()


def training_sets(spec: str, data_root: Path, seed: int, limit: int | None) -> "list[ReidDataset]":
    """The sets of `--train A,B:0.3`: a part after a colon takes that share of the training images."""
    from reid_data.datasets import load_dataset
    from reid_train.training.batches import take_first, take_part

    sets = []
    for entry in set_names(spec):
        name, colon, part = entry.rpartition(":")
        fraction = _fraction(part) if colon else None
        dataset = load_dataset(entry if fraction is None else name, data_root)
        notice(dataset)
        dataset = dataset if fraction is None else take_part(dataset, fraction, seed)
        sets.append(dataset if limit is None else take_first(dataset, limit))
    if not sets:
        raise UsageError("--train names no data set.")
    return sets


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 < value <= 1:
        raise UsageError(f"--train ...:{text}: expected a share above 0 and at most 1.")
    return value


def test_sets(spec: str | None, data_root: Path, matte: "Colour | None") -> "list[ReidDataset]":
    """The sets of `--test A,B@background`, loaded. Raises InputError for one without query or gallery."""
    from reid_data.compose.views import load_test_set

    sets = [load_test_set(entry, data_root, matte) for entry in set_names(spec)]
    for dataset in sets:
        notice(dataset)
        if not dataset.query or not dataset.gallery:
            raise InputError(
                f"{dataset.name} has {len(dataset.query)} query and {len(dataset.gallery)} gallery images: it cannot be a test set."
            )
    return sets
