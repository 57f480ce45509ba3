"""Masks on disk as typed: what is no mask is said, picture by picture, and the exit code is that of bad images."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.data import app

from reid_data.images import encode_mask, encode_png
from tests.data.people import write_people_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set of people with masks, and another for backgrounds."""
    write_people_set(tmp_path / "market")
    write_people_set(tmp_path / "campus", 3, (4, 5), seed=100, extras=False)
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    """A command on the data root with the masks on disk."""
    shared = ("--data-root", str(root), "--workers", "1", "--segmenter", "precomputed")
    return CliRunner().invoke(app, [*arguments, *shared], standalone_mode=False)


def test_a_set_whose_masks_are_0_and_1(root: Path) -> None:
    for path in (root / "market" / "masks").rglob("*.png"):
        path.write_bytes(encode_png(np.ones((48, 24), np.uint8)))
    cut = run(root, "segment", "market", "--out", str(root / "out"))
    assert cut.return_value == 1
    assert "failed 10" in cut.stdout
    assert "10 pictures could not be used; the first: bounding_box_train/0002_c1s1_000001_00.jpg its mask" in cut.stderr
    assert "no larger value than 1: expected 0 (background) to 255 (the person); multiply it by 255" in cut.stderr
    made = run(root, "composite", "--fg", "market", "--bg", "campus")
    assert made.return_value == 1
    assert "the first: bounding_box_train/0002_c1s1_000001_00.jpg its mask 'masks/" in made.stderr
    assert "no person" not in (root / "composite" / "manifest.jsonl").read_text()


def test_a_missing_mask_is_a_row_and_an_empty_one_is_nobody(root: Path) -> None:
    missing, empty = sorted((root / "market" / "masks" / "query").iterdir())
    missing.unlink()
    empty.write_bytes(encode_mask(np.zeros((48, 24))))
    cut = run(root, "segment", "market", "--out", str(root / "out"))
    assert cut.return_value == 1
    rows = [json.loads(line) for line in (root / "out" / "masks.jsonl").read_text().splitlines()[1:]]
    told = {row["name"]: (row["verdict"], row["reasons"]) for row in rows if row["verdict"] != "ok"}
    assert told == {
        f"query/{missing.stem}.jpg": ("failed", [f"has no mask: expected 'masks/query/{missing.name}'"]),
        f"query/{empty.stem}.jpg": ("low", ["no person found"]),
    }
