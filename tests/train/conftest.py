"""A tiny set of random coloured images in Market layout, and settings small enough for a test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.images import write_image
from reid_data.records import ReidDataset
from reid_train.config import TrainSettings

NUM_IDS, IMAGES_PER_CAMERA = 8, 3


def write_tiny_set(root: Path, seed: int = 0, num_ids: int = NUM_IDS) -> Path:
    """Identity = two colours (top and bottom); 2 cameras; train, query and gallery of the same size of different people."""
    rng = np.random.default_rng(seed)
    for folder, first in (("bounding_box_train", 1), ("bounding_box_test", 101)):
        for pid in range(first, first + num_ids):
            colours = rng.integers(0, 256, (2, 3))
            for camid in (1, 2):
                for number in range(IMAGES_PER_CAMERA):
                    picture = np.repeat(colours, 16, 0)[:, None, :].repeat(16, 1) + rng.integers(-20, 20, (32, 16, 3))
                    picture = picture.clip(0, 255).astype(np.uint8)
                    name = f"{pid:04d}_c{camid}s1_{number:06d}_00.jpg"
                    (root / folder).mkdir(parents=True, exist_ok=True)
                    write_image(root / folder / name, picture)
                    if first == 101 and number == 0:
                        (root / "query").mkdir(exist_ok=True)
                        write_image(root / "query" / name, picture)
    return root


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the sets `tiny` and `other`."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_set(root / "tiny", 0)
    write_tiny_set(root / "other", 1)
    return root


@pytest.fixture
def tiny(tiny_root: Path) -> ReidDataset:
    """The set `tiny`."""
    return load_dataset("tiny", tiny_root)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches and locks of the tests stay out of the user's."""
    monkeypatch.setenv("REID_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def small(**changes: Any) -> TrainSettings:
    """ResNet-18 at 32x16, 2 epochs of 2 steps of 4x2 images."""
    base = {
        "backbone": "resnet18",
        "weights": "none",
        "size": "32x16",
        "epochs": 2,
        "iterations": 2,
        "batch_ids": 4,
        "batch_images": 2,
        "pad_crop": 2,
        "last_stride": 2,
    }
    return TrainSettings(**{**base, **changes})
