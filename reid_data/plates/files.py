"""Plates as files: person-free pictures, read from disk and cut to a person's picture."""

import os
from pathlib import Path

import cv2
import numpy as np

from reid_data.errors import ImageError, InputError
from reid_data.files import printable
from reid_data.formats import READ, names_a_picture
from reid_data.images import decode_image, read_bytes
from reid_data.silenced import silenced

VERSIONS = {"plate-fit": 1}  # fit_plate


def read_plate(path: str) -> tuple[np.ndarray, np.ndarray]:
    """A kept plate: (H, W, 3) uint8 RGB, and (H, W) bool of what is invented in it. Raises ImageError."""
    picture = _decode(read_bytes(path))
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise ImageError("is no plate (an RGBA PNG); remove it, and it is made again")
    return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB), picture[:, :, 3] == 0


def read_scene(path: str) -> tuple[np.ndarray, np.ndarray]:
    """As `read_plate`, but any picture will do: without transparency nothing in it counts as invented."""
    data = read_bytes(path)
    if data[:4] == b"\x89PNG":
        picture = _decode(data)
        if picture is not None and picture.ndim == 3 and picture.shape[2] == 4 and picture.dtype == np.uint8:
            return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGB), picture[:, :, 3] == 0
    scene = decode_image(data)
    return scene, np.zeros(scene.shape[:2], bool)


@silenced()
def _decode(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None


def list_scenes(folder: str | os.PathLike[str]) -> list[str]:
    """Paths of all pictures below `folder`, sorted; hidden folders are passed over. Raises InputError if there are none."""
    found = [
        os.path.join(parent, name)
        for parent, folders, names in os.walk(folder)
        if not os.path.basename(parent).startswith(".") or os.path.samefile(parent, folder)
        for name in names
        if names_a_picture(os.path.join(parent, name))
    ]
    if not found:
        raise InputError(f"no pictures below '{printable(Path(folder))}': expected {READ} files.")
    return sorted(found, key=os.fsencode)


def fit_plate(plate: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plate (H, W, 3) or (H, W) uint8 cut to the aspect of `size` = (height, width), then resized to it.

    It is cut evenly at both sides, or at the top, so that the ground stays under the feet.
    """
    height, width = plate.shape[:2]
    wanted = size[1] / size[0]
    if width / height > wanted:
        keep = max(1, round(height * wanted))
        left = (width - keep) // 2
        plate = plate[:, left : left + keep]
    else:
        plate = plate[height - max(1, min(height, round(width / wanted))) :]
    if plate.shape[:2] == tuple(size):
        return plate
    shrinking = plate.shape[0] > size[0]
    return cv2.resize(plate, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
