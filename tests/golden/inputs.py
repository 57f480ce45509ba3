"""Drawn inputs: pictures, masks and records from integers alone, so that they are the same on every machine."""

from pathlib import Path

import numpy as np

from reid_data.files import write_atomic
from reid_data.images import encode_png
from reid_data.records import Record


def photograph(seed: int, size: tuple[int, int] = (64, 32)) -> np.ndarray:
    """(H, W, 3) uint8 RGB: bands of ground, wall and sky with grain, and a lighter upright figure with a dark side."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.empty((height, width, 3), np.uint8)
    for top, bottom in ((0, height // 3), (height // 3, 2 * height // 3), (2 * height // 3, height)):
        image[top:bottom] = rng.integers(40, 200, 3, dtype=np.uint8)
    image += rng.integers(0, 24, image.shape, dtype=np.uint8)
    figure = person_mask(seed, size) > 127
    image[figure] = rng.integers(60, 200, 3, dtype=np.uint8) + rng.integers(
        0, 20, (int(figure.sum()), 3), dtype=np.uint8
    )
    image[:, width // 2 :][figure[:, width // 2 :]] //= 2
    return image


def person_mask(seed: int, size: tuple[int, int] = (64, 32), *, soft: bool = True) -> np.ndarray:
    """(H, W) uint8: head, trunk and two legs in one piece; 255 inside, `soft`: a rim of 160 and 64 around it."""
    rng = np.random.default_rng([seed, 1])
    height, width = size
    middle, foot = width // 2 + int(rng.integers(-1, 2)), height - 1 - int(rng.integers(3, 6))
    row, column = np.mgrid[:height, :width]
    unit = height // 16
    mask = np.zeros(size, np.uint8)
    head = 4 * ((row - 2 * unit) ** 2 + (column - middle) ** 2) <= 9 * unit**2
    trunk = (row >= 3 * unit) & (row <= 9 * unit) & (abs(column - middle) <= 2 * unit)
    legs = (row >= 9 * unit) & (row <= foot) & (abs(abs(column - middle) - unit) <= unit // 2 + 1)
    for value, reach in ((64, 2), (160, 1), (255, 0)) if soft else ((255, 0),):
        mask[_spread(head | trunk | legs, reach)] = value
    return mask


def _spread(mask: np.ndarray, reach: int) -> np.ndarray:
    for _ in range(reach):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def alpha(seed: int, size: tuple[int, int] = (64, 32), *, soft: bool = True) -> np.ndarray:
    """`person_mask` as (H, W) float32 in [0, 1], in steps of 1/255."""
    return person_mask(seed, size, soft=soft).astype(np.float32) / 255


def street(seed: int, size: tuple[int, int] = (300, 480)) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a wall of boxes above a calm ground, without people."""
    rng = np.random.default_rng([seed, 2])
    height, width = size
    image = np.full((height, width, 3), 120, np.uint8)
    image[height // 2 :] = (110, 105, 100)
    for left in range(0, width, 24):
        image[: height // 2, left : left + 24] = rng.integers(40, 220, 3, dtype=np.uint8)
    return image + rng.integers(0, 6, image.shape, dtype=np.uint8)


def records(num_ids: int, cameras: int, split: str, *, root: str = "there", first: int = 1) -> list[Record]:
    """One picture of each identity under each camera; two under the first."""
    found = []
    for pid in range(first, first + num_ids):
        for camid in [1, *range(1, cameras + 1)]:
            name = f"{pid:04d}_c{camid}s1_{len(found):06d}_00.jpg"
            found.append(Record(root, name, pid, camid, split))
    return found


def write_pictures(folder: Path, pictures: list[np.ndarray]) -> list[str]:
    """The pictures as PNG files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{number:02d}.png") for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        write_atomic(path, encode_png(picture))
    return paths
