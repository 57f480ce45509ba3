"""Trees of drawn pictures, as the sets of the field lay theirs out."""

from collections.abc import Iterable
from pathlib import Path

from reid_data.images import write_image
from tests.conftest import random_image


def draw(root: Path, names: Iterable[str]) -> Path:
    """A small picture of noise for each relative path below `root`; the folder."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".png") if path.suffix not in (".jpg", ".png") else path
        write_image(written, random_image(number, (32, 16)))
        written.rename(path)
    return root
