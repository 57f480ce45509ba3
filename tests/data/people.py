"""A tiny set in Market layout: a coloured ellipse on noise in every picture, with its exact mask."""

from pathlib import Path

import numpy as np

from reid_data.files import write_atomic
from reid_data.images import encode_mask, write_image

SIZE = (48, 24)


def ellipse_mask(size: tuple[int, int] = SIZE, *, shift: float = 0.0) -> np.ndarray:
    """(H, W) bool: an upright ellipse that fills most of the crop."""
    y, x = np.mgrid[: size[0], : size[1]]
    centre = ((size[0] - 1) / 2, (size[1] - 1) / 2 + shift)
    return ((y - centre[0]) / (0.44 * size[0])) ** 2 + ((x - centre[1]) / (0.3 * size[1])) ** 2 <= 1


def person_picture(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 RGB and its mask (H, W) bool."""
    rng = np.random.default_rng(seed)
    mask = ellipse_mask(size, shift=rng.uniform(-1, 1))
    image = rng.integers(100, 115, (*size, 3), dtype=np.uint8)
    image[mask] = rng.integers(0, 256, 3, dtype=np.uint8) // 4 + np.array([190, 10, 10], np.uint8)
    return image, mask


def write_people_set(
    root: Path, num_ids: int = 2, cameras: tuple[int, ...] = (1, 2), *, seed: int = 0, extras: bool = True
) -> Path:
    """Write the set with `masks/`; `extras`: one junk and one distractor image in the gallery."""
    names = [f"bounding_box_train/{pid:04d}_c{cam}s1_000001_00.jpg" for pid in range(2, 2 + num_ids) for cam in cameras]
    names += [f"query/{pid:04d}_c{cameras[0]}s1_000001_00.jpg" for pid in range(50, 50 + num_ids)]
    names += [f"bounding_box_test/{pid:04d}_c{cameras[1]}s1_000002_00.jpg" for pid in range(50, 50 + num_ids)]
    if extras:
        names += ["bounding_box_test/0000_c1s1_000001_00.jpg", "bounding_box_test/-1_c1s1_000001_00.jpg"]
    for number, name in enumerate(names):
        image, mask = person_picture(seed + number)
        path, mask_path = root / name, (root / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        mask_path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)
        write_atomic(mask_path, encode_mask(mask.astype(np.float32)))
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
