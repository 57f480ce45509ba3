"""The rim of a pasted person: cleaning it of the old background, and judging how well that went."""

import cv2
import numpy as np

from reid_data.compose.blend import is_soft
from reid_data.images import luminance

VERSIONS = {"rim": 1, "rim-judges": 1}  # decontaminate; seam_ratio, old_background

REACH = 2.0
DARK = 60.0
HEADS = 6


def decontaminate(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give a person's rim colours from the solid inside: the soft band of a soft mask, the two outermost pixels of a hard one.

    It holds a mixture with the old background, and the halo that sharpening in the camera left. `image`: (H, W, 3) uint8
    RGB or float32 in [0, 255]; `alpha`: (H, W) in [0, 1]; gives float32. Left alone: what has no core at least five pixels
    wide beside it (thin limbs, loose hair, where the inside's colour is a guess), the head (hair would take the face's
    colour), and where inside and outside are both dark (replacing paints a pale seam).
    """
    pixels = image.astype(np.float32)
    solid = (alpha > 0.9).astype(np.uint8)
    core = cv2.erode(solid, np.ones((5, 5), np.uint8), borderValue=1).astype(np.float32)
    inside, near = _local_mean(pixels, core)
    outside, _ = _local_mean(pixels, (alpha < 0.1).astype(np.float32))
    dark = (luminance(inside) < DARK) & (luminance(outside) < DARK)
    own = solid if is_soft(alpha) else core
    weight = np.clip(near / 0.15, 0, 1) * (1 - own) * ~dark * ~_head(alpha)
    weight = weight[:, :, None]
    return weight * inside + (1 - weight) * pixels


def _head(alpha: np.ndarray) -> np.ndarray:
    """(H, 1) bool: the rows of the topmost sixth of the person."""
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    head = np.zeros((alpha.shape[0], 1), bool)
    if rows.size:
        head[: rows[0] + round((rows[-1] - rows[0]) / HEADS)] = True
    return head


def _local_mean(pixels: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour of the nearby pixels in `where` (float 0 or 1), and how many there are as a share of the window."""
    total = cv2.GaussianBlur(pixels * where[:, :, None], (0, 0), REACH, borderType=cv2.BORDER_REPLICATE)
    share = cv2.GaussianBlur(where, (0, 0), REACH, borderType=cv2.BORDER_REPLICATE)
    return total / np.maximum(share, 1e-6)[:, :, None], share


def outline(alpha: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels on either side of the mask's edge; the picture's border is none."""
    solid = (alpha > 0.5).astype(np.uint8)
    three = np.ones((3, 3), np.uint8)
    return cv2.dilate(solid, three) > cv2.erode(solid, three, borderValue=1)


def seam_ratio(composite: np.ndarray, source: np.ndarray, alpha: np.ndarray) -> float | None:
    """Mean gradient of the luma along the mask's outline, in the composite over that in the source; aim .9 to 1.1.

    More: the person looks cut out; less: smeared. Both (H, W, 3) uint8. None where the mask has no outline.
    """
    edge = outline(alpha)
    if not edge.any():
        return None
    return float(_gradient(composite)[edge].mean() / max(float(_gradient(source)[edge].mean()), 1.0))


def _gradient(image: np.ndarray) -> np.ndarray:
    grey = luminance(image)
    return np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))


def old_background(composite: np.ndarray, source: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> float | None:
    """How much of the old background is left in the two outermost pixels of the person, in [0, 1]; aim under .2.

    Each of these pixels is explained (least squares) as a mixture of three colours: the person's further in, the old
    background's beside it (both local means over the source), and the plate's at this place. The shares of the old
    background are averaged, weighted by the squared length of that part of its difference from the person which the plate
    cannot explain. All pictures (H, W, 3) uint8; None where there is too little to tell the three apart.
    """
    mask = (alpha > 0.5).astype(np.uint8)
    core = cv2.erode(mask, np.ones((5, 5), np.uint8), borderValue=1)
    pixels = source.astype(np.float32)
    inside, near = _local_mean(pixels, core.astype(np.float32))
    outside, beside = _local_mean(pixels, 1.0 - cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32))
    rim = (mask > core) & (near > 0.05) & (beside > 0.05)
    old, new = (outside - inside)[rim], (plate.astype(np.float32) - inside)[rim]
    own = old - (old * new).sum(1, keepdims=True) / np.maximum((new**2).sum(1, keepdims=True), 1.0) * new
    weight = (own**2).sum(axis=1)
    clear = weight > 20.0**2
    if np.count_nonzero(clear) < 20:
        return None
    share = ((composite.astype(np.float32) - inside)[rim] * own).sum(axis=1)[clear] / weight[clear]
    return float(np.average(np.clip(share, 0, 1), weights=weight[clear]))
