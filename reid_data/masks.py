"""Mask algebra: parts, growth, agreement, and the verdict on a mask. A mask is (H, W), bool or float32 in [0, 1]."""

from dataclasses import dataclass

import cv2
import numpy as np

VERSIONS = {"mask-clean-up": 1, "mask-quality": 1}  # parts to grow, thumbnail; judge, looseness, edge_support

THUMBNAIL = (32, 16)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks; 1 when both are empty."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 1.0


def looseness(alpha: np.ndarray) -> float:
    """IoU of alpha > .3 and alpha > .7: 1 for a hard mask, low where the segmenter was unsure; 0 when nothing is > .3."""
    wide = alpha > 0.3
    return iou(wide, alpha > 0.7) if wide.any() else 0.0


def parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected parts (8 neighbours) of a bool mask: labels (H, W) int32 with 0 outside, and areas indexed by label."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return labels, areas


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a bool mask; all False when the mask is empty."""
    labels, areas = parts(mask)
    return labels == np.argmax(areas) if areas.any() else np.zeros_like(mask)


def fill_holes(mask: np.ndarray, max_share: float) -> np.ndarray:
    """A bool mask with those enclosed holes filled that are smaller than `max_share` of the mask's area."""
    labels, areas = parts(~mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    small = areas < max_share * np.count_nonzero(mask)
    small[edge] = False
    small[0] = False
    return mask | small[labels]


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """A bool mask grown by a disc of radius `pixels`."""
    if not mask.any():
        return mask.copy()
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= pixels


def edge_support(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean gradient of (H, W, 3) uint8 RGB along a bool mask's outline over that of the whole picture; 0 without outline.

    The gradient is that of the channel where it is steepest.
    About 2 where a mask follows the person, about 1 where its outline is drawn at random.
    """
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1)
    gradient = np.hypot(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1)).max(axis=2)
    solid = mask.astype(np.uint8)
    outline = (solid - cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1)) > 0
    return float(gradient[outline].mean() / (gradient.mean() + 1)) if outline.any() else 0.0


def thumbnail(mask: np.ndarray) -> np.ndarray:
    """A mask of any size as (32, 16) uint8: the share covered of each cell, 255 = all of it."""
    plane = mask.astype(np.float32) * 255
    return np.rint(cv2.resize(plane, THUMBNAIL[::-1], interpolation=cv2.INTER_AREA)).astype(np.uint8)


@dataclass(frozen=True)
class Verdict:
    """What is thought of a mask: `quality` in [0, 1], the reasons that lowered it, and the share of the crop it covers."""

    quality: float
    reasons: tuple[str, ...]
    area: float


def judge(alpha: np.ndarray) -> Verdict:
    """Judge a person's mask by its shape alone: looseness times one factor each for area, height, sides and fragments.

    Every factor falls in a straight line from 1 (as in an ordinary crop of one standing person) to 0 (cannot be one).
    """
    mask = alpha > 0.5
    area = float(mask.mean())
    if area < 0.02:
        return Verdict(0.0, ("no person found",), area)
    rows = np.flatnonzero(mask.any(axis=1))
    extent = (rows[-1] - rows[0] + 1) / mask.shape[0]
    sides = max(mask[:, 0].mean(), mask[:, -1].mean())
    _, areas = parts(mask)
    scraps = 1 - areas.max() / areas.sum()
    firm = looseness(alpha)
    factors = [
        (firm, f"unsure outline (looseness {firm:.2f})"),
        (_ramp(area, 0.03, 0.12), f"covers only {area:.0%} of the crop"),
        (_ramp(area, 0.85, 0.60), f"covers {area:.0%} of the crop: several people, or leaked into the background"),
        (_ramp(extent, 0.25, 0.60), f"only {extent:.0%} of the crop's height: head or legs missing"),
        (_ramp(sides, 0.80, 0.30), f"runs along {sides:.0%} of a side: leaked into the background"),
        (_ramp(scraps, 0.50, 0.05), f"{scraps:.0%} of it in scraps"),
    ]
    quality = float(np.prod([factor for factor, _ in factors]))
    return Verdict(quality, tuple(reason for factor, reason in factors if factor < 0.9), area)


def _ramp(value: float, bad: float, good: float) -> float:
    """0 at `bad`, 1 at `good`, straight between (either may be the larger)."""
    return float(np.clip((value - bad) / (good - bad), 0, 1))
