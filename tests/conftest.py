"""Fixtures that every part uses: a private cache, and a tiny set in Market layout."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_data.images import write_image

cv2.setNumThreads(1)  # some tests fork, and the locks of OpenCV's threads would not survive it


@pytest.fixture(autouse=True)
def _private_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or data root."""
    monkeypatch.setenv("REID_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("REID_DATA", raising=False)
    monkeypatch.delenv("REID_FAILPOINT", raising=False)


def random_image(seed: int, size: tuple[int, int] = (32, 16)) -> np.ndarray:
    """(H, W, 3) uint8 RGB noise."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def market_folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a small Market-layout set of noise and returns its folder."""

    def write(name: str = "market", num_ids: int = 3, size: tuple[int, int] = (32, 16)) -> Path:
        root = tmp_path / name
        names = [
            f"bounding_box_train/{pid:04d}_c{cam}s1_000001_00.jpg" for pid in range(2, 2 + num_ids) for cam in (1, 2)
        ]
        names += [f"query/{pid:04d}_c1s1_000001_00.jpg" for pid in range(100, 100 + num_ids)]
        names += [f"bounding_box_test/{pid:04d}_c2s1_000002_00.jpg" for pid in range(100, 100 + num_ids)]
        names += ["bounding_box_test/0000_c1s1_000001_00.jpg", "bounding_box_test/-1_c1s1_000001_00.jpg"]
        for number, path in enumerate(names):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_image(root / path, random_image(number, size))
        (root / "bounding_box_train" / "Thumbs.db").write_bytes(b"not an image")
        (root / "readme.txt").write_text("read me")
        return root

    return write
