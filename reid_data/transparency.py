"""Pictures that are seen through: which pixels, and the colour that they are composed over.

A picture whose alpha is 255 everywhere is not transparent. What a transparent one shows depends on what is behind it, so it is
read over a colour that the user names (its matte), or not at all.
"""

import io

import cv2
import numpy as np
from PIL import Image, ImageOps

from reid_data.errors import ImageError
from reid_data.records import TRANSPARENT, Colour, Transparency

_ORIENTATION = 0x0112


def may_be_transparent(header: Image.Image) -> bool:
    """Whether a picture of this header, as Pillow opened it, has an alpha channel or names transparent colours."""
    return "transparency" in header.info or header.mode in ("RGBA", "LA", "PA", "RGBa", "La")


def png_alpha(data: bytes) -> np.ndarray | None:
    """Alpha (H, W) uint8 of PNG bytes, upright; None without any. Of 16-bit alpha the upper byte counts."""
    try:
        plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError("is damaged PNG data") from error
    if plane is None:
        raise ImageError("is truncated or damaged PNG data")
    fourth = plane[:, :, 3] if plane.ndim == 3 and plane.shape[2] == 4 else None
    alpha = _of_grey(data, plane) if plane.ndim == 2 else fourth
    if alpha is None:
        return None
    alpha = alpha if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)
    return _upright(data, alpha) if b"eXIf" in data else alpha


def _upright(data: bytes, alpha: np.ndarray) -> np.ndarray:
    """Alpha turned as the picture's orientation tag says."""
    turned = Image.fromarray(alpha)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as header:
        turned.getexif()[_ORIENTATION] = header.getexif().get(_ORIENTATION, 1)
    return np.asarray(ImageOps.exif_transpose(turned))


def _of_grey(data: bytes, plane: np.ndarray) -> np.ndarray | None:
    """Alpha of a grey plane as OpenCV decodes it, if one grey is transparent (PNG 11.3.2.1), which OpenCV passes over."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as header:
        key = header.info.get("transparency")
    if not isinstance(key, int):
        return None
    depth = data[24]
    if depth in (2, 4):  # Pillow has scaled the key of one bit, as OpenCV the pixels
        key = key * 255 // ((1 << depth) - 1)
    return np.where(plane == key, 0, 255).astype(np.uint8)


def over(image: np.ndarray, alpha: np.ndarray, colour: Colour) -> np.ndarray:
    """`image` (H, W, 3) uint8 RGB, seen through as `alpha` (H, W) uint8 says, before `colour`; rounded to the nearest."""
    share = alpha[:, :, None].astype(np.uint16)
    return ((image * share + np.array(colour, np.uint16) * (255 - share) + 127) // 255).astype(np.uint8)


def seen(image: np.ndarray, alpha: np.ndarray | None, transparency: Transparency) -> np.ndarray:
    """The picture as it is to be seen. Raises ImageError for a transparent one that is refused."""
    if alpha is None or transparency == "ignored" or alpha.min() == 255:
        return image
    if transparency == "refused":
        raise ImageError(TRANSPARENT)
    return over(image, alpha, transparency)
