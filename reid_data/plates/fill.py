"""Inventing what stood behind a person; the table `FILLS`.

Every fill takes (H, W, 3) uint8 RGB, the hole (H, W) bool and a seed, and gives (H, W, 3) uint8 RGB that differs from the
picture inside the hole only.
"""

from collections.abc import Callable

import cv2
import numpy as np

VERSIONS = {"fill-rows": 1, "fill-telea": 1}  # one for each of FILLS

Fill = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

BANDS = ((0.0, 0.8, 0.8), (0.8, 2.0, 1.0), (2.0, 4.0, 0.8))  # from blur, to blur, share of the measured strength


def fill_telea(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """March inwards from the rim (Telea, 2004). No detail, and wedges that show the old silhouette; uses no randomness."""
    return cv2.inpaint(image, hole.astype(np.uint8), 4, cv2.INPAINT_TELEA)


def fill_rows(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """Carry what is visible across the hole row by row, then lay matched grain over it.

    Scenes are layered (ground, kerb, wall, sky), so colours travel far sideways and little upwards. Where a row shows
    too little, wider surroundings take over.
    """
    visible = (~hole).astype(np.float32)
    if not hole.any() or visible.sum() < 0.02 * visible.size:
        return image.copy()
    pixels = image.astype(np.float32)
    layers = _carry(pixels, visible)
    filled = np.where(hole[:, :, None], layers + _grain(pixels, visible, seed), pixels)
    return np.rint(np.clip(filled, 0, 255)).astype(np.uint8)


def _carry(pixels: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Means of the visible pixels under windows from near to far, each used where it sees enough; (H, W, 3) float32."""
    height, width = visible.shape
    mean = (pixels * visible[:, :, None]).sum(axis=(0, 1)) / visible.sum()
    result = np.broadcast_to(mean, pixels.shape).astype(np.float32)
    for sideways, upwards in ((1.0, 0.25), (0.6, 0.08), (0.35, 0.025), (0.12, 0.012), (0.03, 0.01)):
        colour, weight = _window_mean(pixels, visible, sideways * width, upwards * height)
        trust = np.clip(weight / 0.15, 0, 1)[:, :, None]
        result = trust * colour + (1 - trust) * result
    return result


def _window_mean(pixels: np.ndarray, visible: np.ndarray, across: float, along: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean visible colour under a window with standard deviations `across` columns and `along` rows, and the share seen."""
    stack = np.dstack([pixels * visible[:, :, None], visible])
    for _ in range(2):  # two boxes are near enough to a Gaussian, at a cost that does not grow with the window
        box = (1 + 2 * max(0, round(1.2 * across)), 1 + 2 * max(0, round(1.2 * along)))
        stack = cv2.blur(stack, box, borderType=cv2.BORDER_CONSTANT)
    seen = stack[:, :, 3]
    return stack[:, :, :3] / np.maximum(seen, 1e-4)[:, :, None], seen


def _grain(pixels: np.ndarray, visible: np.ndarray, seed: int) -> np.ndarray:
    """Random grain as strong as the visible part's, height by height, in three bands of detail; (H, W, 3) float32."""
    rng = np.random.default_rng(seed)
    height, width = visible.shape
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    inner = cv2.erode(visible, np.ones((5, 5), np.uint8), borderValue=1)
    result = np.zeros_like(pixels)
    for narrow, wide, share in BANDS:
        detail = np.abs(_band(grey, narrow, wide))
        seen = detail[inner > 0]
        if seen.size == 0:
            continue
        detail = np.minimum(detail, 4 * np.median(seen))  # outlines of things are no grain
        strength, weight = _window_mean(np.repeat(detail[:, :, None], 3, axis=2), inner, 2.0 * width, 0.1 * height)
        trust = np.clip(weight / 0.05, 0, 1)[:, :, None]
        strength = (
            trust * strength + (1 - trust) * detail[inner > 0].mean()
        )  # where a height shows nothing: as elsewhere
        noise = rng.standard_normal((height, width, 3)).astype(np.float32)
        noise = 0.95 * noise[:, :, :1] + 0.15 * noise  # mostly grey, as the grain of cameras and of the ground is
        noise = _band(noise, narrow, wide)
        result += share * strength * noise / max(float(np.abs(noise).mean()), 1e-6)
    return result


def _band(plane: np.ndarray, narrow: float, wide: float) -> np.ndarray:
    """Detail between two blurs; a `narrow` of 0 is the picture itself."""
    fine = cv2.GaussianBlur(plane, (0, 0), narrow) if narrow else plane
    return fine - cv2.GaussianBlur(plane, (0, 0), wide)


FILLS: dict[str, Fill] = {"rows": fill_rows, "telea": fill_telea}
