"""From a mask to the alpha that is pasted: hard or feathered; the table `BLENDS`."""

from collections.abc import Callable

import cv2
import numpy as np

VERSIONS = {"blend": 1}  # BLENDS and paste

STEEPNESS = 2.0


def hard(alpha: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 1] -> 0 or 1: the plain cut-out that everything else is compared with."""
    return (alpha > 0.5).astype(np.float32)


def feather(alpha: np.ndarray) -> np.ndarray:
    """A soft edge about two pixels wide, pulled in by half a pixel; (H, W) float32 in [0, 1].

    The mean of a mask and its erosion by one pixel has its edge half a pixel further in. A hard mask is blurred a little
    besides, against its steps; a soft one has its softness from the segmenter, whose edges are about twice as wide as a
    camera's: they are made twice as steep. Beyond the picture's border the mask goes on as at the border, so that legs cut
    by it stay whole.
    """
    alpha = np.clip(STEEPNESS * (alpha - 0.5) + 0.5, 0, 1)
    pulled = (alpha + cv2.erode(alpha, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)) / 2
    if is_soft(alpha):
        return pulled
    return cv2.GaussianBlur(pulled, (0, 0), 0.45, borderType=cv2.BORDER_REPLICATE)


def is_soft(alpha: np.ndarray) -> bool:
    """Whether a mask (H, W) has soft edges: values between .05 and .95 along at least a third of its outline."""
    soft = np.count_nonzero((alpha > 0.05) & (alpha < 0.95))
    solid = (alpha > 0.5).astype(np.uint8)
    edge = np.count_nonzero(solid) - np.count_nonzero(cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1))
    return bool(soft > edge / 3)


def paste(image: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`image` over `plate`: both (H, W, 3) uint8 or float32 in [0, 255]; alpha (H, W); gives (H, W, 3) uint8."""
    weight = alpha[:, :, None]
    mixed = weight * image.astype(np.float32) + (1 - weight) * plate.astype(np.float32)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


BLENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"hard": hard, "feather": feather}
