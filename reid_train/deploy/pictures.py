"""What a program holds, as (H, W, 3) uint8 RGB: paths, encoded bytes, Pillow's pictures, arrays, and boxes of a frame."""

import os
from typing import Any

import numpy as np
from PIL import Image

from reid_data.errors import ImageError
from reid_data.files import printable
from reid_data.images import decode_image, from_pillow, read_image
from reid_data.records import Transparency
from reid_data.transparency import seen


def is_one(thing: Any) -> bool:
    """Whether this is a picture, and no collection of pictures."""
    return isinstance(thing, (str, bytes, os.PathLike, Image.Image)) or getattr(thing, "ndim", 0) in (2, 3)


def to_rgb(thing: Any, transparency: Transparency) -> np.ndarray:
    """A picture in whatever form (see `Extractor`) as (H, W, 3) uint8 RGB. Raises ImageError for what is none."""
    if isinstance(thing, (str, os.PathLike)):
        return read_image(os.fspath(thing), transparency=transparency)
    if isinstance(thing, bytes):
        return decode_image(thing, transparency)
    if isinstance(thing, Image.Image):
        return from_pillow(thing, transparency)
    if hasattr(thing, "__array__"):
        return _from_array(np.asarray(thing), transparency)
    raise ImageError(f"is a {type(thing).__name__}: expected a path, a picture of Pillow, bytes or an array")


def _from_array(array: np.ndarray, transparency: Transparency) -> np.ndarray:
    """Grey becomes three equal channels, of 16 bits the upper 8 count, a fourth channel is the alpha."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise ImageError(f"is an array of the shape {array.shape}: expected (H, W, 3), or (H, W), (H, W, 1), (H, W, 4)")
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(f"is an array of {array.dtype}: expected uint8 from 0 to 255 (numbers from 0 to 1 times 255)")
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return seen(array[:, :, :3], array[:, :, 3] if channels == 4 else None, transparency)


def cut(frame: np.ndarray, box: Any) -> np.ndarray:
    """The part of a frame (H, W, 3) inside a box (left, top, right, bottom), in pixels from the frame's corner.

    The edges are rounded to whole pixels (halves to even) and drawn in to the frame's. Raises ImageError for a box that holds no
    pixel of the frame then, and for what is no box.
    """
    try:
        edges = np.asarray(box, np.float64).reshape(-1)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise ImageError(f"is {_shown(box)}: expected four finite numbers, left, top, right and bottom")
    height, width = frame.shape[:2]
    left, top, right, bottom = np.clip(np.rint(edges), 0, (width, height, width, height)).astype(int)
    if left >= right or top >= bottom:
        raise ImageError(f"is {_shown(edges.tolist())}: it holds no pixel of a frame of {width}x{height}")
    return frame[top:bottom, left:right]


def name_of(thing: Any) -> str:
    """How a message calls a picture beside its number: its path, or nothing."""
    return f" ('{printable(os.fspath(thing))}')" if isinstance(thing, (str, os.PathLike)) else ""


def _shown(value: Any) -> str:
    return printable(str(value))[:80]
