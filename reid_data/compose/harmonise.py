"""Steps that make person and plate look like one photograph; each a pure function, none of them changes a hue."""

import cv2
import numpy as np

from reid_data.images import luminance

VERSIONS = {"light": 1, "sharpness": 1, "shadow": 1}  # luminance_gain, brighten; match_sharpness; contact_shadow

GAIN_RANGE = (0.85, 1.18)
BLURS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)


def luminance_gain(image: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> float:
    """By how much the person should be brightened for the plate's light, in GAIN_RANGE.

    The lights are compared by what stands around the person in both pictures, never by the person's own brightness,
    which is their clothes'. Half of the ratio (in stops) is taken, since part of it is the scene's own colour. 1 where
    the source shows no surroundings.
    """
    around = alpha < 0.1
    if np.count_nonzero(around) < 0.05 * around.size:
        return 1.0
    before, after = float(luminance(image)[around].mean()), float(luminance(plate).mean())
    return float(np.clip(np.sqrt((after + 8) / (before + 8)), *GAIN_RANGE))


def brighten(image: np.ndarray, gain: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB times `gain`, the same for all channels, as float32 in [0, 255].

    A pixel whose largest channel would leave the range is scaled to its end instead, so that its hue stays.
    """
    pixels = image.astype(np.float32)
    peak = np.maximum(pixels.max(axis=2, keepdims=True), 1)
    return pixels * np.minimum(gain, 255 / peak)


def sharpness(image: np.ndarray, weight: np.ndarray) -> float:
    """How sharp a region is, whatever it shows: energy of its finest detail over that of the next coarser band.

    `image`: (H, W, 3) RGB; `weight`: (H, W) in [0, 1], the region. A blur lowers the first much more than the second.
    0 for an empty or flat region.
    """
    return _grey_sharpness(luminance(image), weight)


def _grey_sharpness(grey: np.ndarray, weight: np.ndarray) -> float:
    fine = cv2.GaussianBlur(grey, (0, 0), 0.8)
    coarse = cv2.GaussianBlur(fine, (0, 0), 1.6)
    energy = float((weight * (fine - coarse) ** 2).sum())
    return float((weight * (grey - fine) ** 2).sum() / energy) if energy > 1e-3 else 0.0


def match_sharpness(plate: np.ndarray, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blur the plate, (H, W, 3) uint8 RGB, until it is no sharper than the photograph; the person is never sharpened.

    The photograph's sharpness is the person's or that of the whole picture, whichever is higher: plain clothes tell little.

    The least of the blurs `BLURS` (sigma in pixels) that suffices, found by halving since sharpness falls with each; the
    strongest if none does, none if the plate is not the sharper one.
    """
    inside = cv2.erode((alpha > 0.9).astype(np.float32), np.ones((3, 3), np.uint8))
    if inside.sum() < 100:
        return plate
    everywhere = np.ones(alpha.shape, np.float32)
    own, grey = luminance(image), luminance(plate)
    wanted = max(_grey_sharpness(own, inside), _grey_sharpness(own, everywhere))
    if wanted <= 0 or _grey_sharpness(grey, everywhere) <= wanted:
        return plate
    low, high = 0, len(BLURS) - 1
    while low < high:
        middle = (low + high) // 2
        if _grey_sharpness(cv2.GaussianBlur(grey, (0, 0), BLURS[middle]), everywhere) <= wanted:
            high = middle
        else:
            low = middle + 1
    return cv2.GaussianBlur(plate, (0, 0), BLURS[low])


def contact_shadow(plate: np.ndarray, alpha: np.ndarray, strength: float = 0.4) -> np.ndarray:
    """Darken the ground under the feet: a flat blurred ellipse, its middle darker by `strength`.

    `plate`: (H, W, 3) uint8 RGB. Nothing is done where the mask touches the bottom row (feet cut off) or is empty.
    """
    mask = alpha > 0.5
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0 or rows[-1] >= mask.shape[0] - 1:
        return plate
    height = mask.shape[0]
    lowest = rows[-1]
    columns = np.flatnonzero(mask[max(0, lowest - height // 16) : lowest + 1].any(axis=0))
    centre = ((columns[0] + columns[-1]) / 2, float(lowest))
    radii = (max(2.0, 0.6 * (columns[-1] - columns[0] + 1)), max(1.5, 1.5 * height / 128))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    shade = np.exp(-(((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2))
    return np.rint(plate * (1 - strength * shade[:, :, None])).astype(np.uint8)
