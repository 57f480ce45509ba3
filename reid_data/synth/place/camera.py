"""From a clean picture to what a surveillance camera keeps: cast, exposure, blur, sharpening, noise, JPEG."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.paint.surface import dot


@dataclass(frozen=True)
class Look:
    """The fixed character of a camera: `gains` (red, green, blue), `gamma`, `contrast`, `saturation`, `blur` in pixels of
    the crop, `sharpen` strength of the halo that cameras add, `noise` grey levels, `quality` of its JPEGs."""

    gains: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    blur: float
    sharpen: float
    noise: float
    quality: int


@dataclass(frozen=True)
class Shot:
    """One picture's own deviations from its camera's look, and the seed of its noise; `motion` = (length, angle) of
    smear in pixels and radians, `shrink` <= 1: the resolution the camera really had."""

    exposure: float
    gains: tuple[float, float, float]
    blur: float
    motion: tuple[float, float]
    shrink: float
    noise: float
    quality: int
    seed: int


def draw_look(seed: int, network: str, camera: int, *, spread: float = 1.0) -> Look:
    """The look of a camera; moderate casts, since clothes must stay recognisable across cameras."""
    rng = np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(network.encode()), camera, 31])
    warm, green = rng.normal(0, 0.05 * spread), rng.normal(0, 0.025 * spread)
    return Look(
        gains=(float(1 + warm), float(1 + green), float(1 - warm)),
        gamma=float(np.exp(rng.normal(0, 0.13 * spread))),
        contrast=float(rng.normal(1.06, 0.07 * spread)),
        saturation=float(np.clip(rng.normal(0.92, 0.10 * spread), 0.5, 1.25)),
        blur=float(rng.uniform(0.3, 0.62)),
        sharpen=float(rng.choice([0.0, 0.4, 0.8, 1.2]) * rng.uniform(0.6, 1.2)),
        noise=float(rng.uniform(0.5, 2.0)),
        quality=int(rng.integers(82, 96)),
    )


def draw_shot(rng: np.random.Generator, look: Look, *, spread: float = 1.0) -> Shot:
    """One picture's deviations; `spread` widens them (above 1, as for the segmenter's training, one in four is
    overexposed too)."""
    glare = float(rng.uniform(1.15, 1.6)) if spread > 1 and rng.uniform() < 0.25 else 1.0
    moving = rng.uniform() < 0.12 * spread
    return Shot(
        exposure=float(np.exp(rng.normal(0, 0.10 * spread))) * glare,
        gains=tuple(float(part) for part in 1 + rng.normal(0, 0.012 * spread, 3)),  # type: ignore[arg-type]
        blur=float(np.hypot(look.blur, abs(rng.normal(0, 0.28 * spread)))),
        motion=(float(rng.uniform(1.5, 4.0)) if moving else 0.0, float(rng.normal(0, 0.35))),
        shrink=float(rng.uniform(0.6, 1.0) if rng.uniform() < 0.35 else 1.0),
        noise=float(look.noise * np.exp(rng.normal(0, 0.3 * spread))),
        quality=int(np.clip(look.quality + rng.normal(0, 4 * spread), 30 if spread > 1 else 70, 97)),
        seed=int(rng.integers(2**31)),
    )


def optics(layer: np.ndarray, shot: Shot) -> np.ndarray:
    """What the lens and the resolution do, to a picture (H, W, 3) or a mask (H, W) float32: linear, so that masks stay exact."""
    height, width = layer.shape[:2]
    if shot.shrink < 0.999:
        small = cv2.resize(
            layer,
            (max(8, round(width * shot.shrink)), max(16, round(height * shot.shrink))),
            interpolation=cv2.INTER_AREA,
        )
        layer = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if shot.motion[0]:
        layer = cv2.filter2D(layer, -1, _smear(*shot.motion), borderType=cv2.BORDER_REFLECT)
    return cv2.GaussianBlur(layer, (0, 0), max(shot.blur, 0.2), borderType=cv2.BORDER_REFLECT)


def _smear(length: float, angle: float) -> np.ndarray:
    kernel = np.zeros((9, 9), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    for part in np.linspace(-1, 1, 17):
        x, y = 4 + reach[0] * part, 4 + reach[1] * part
        kernel[round(float(y)), round(float(x))] += 1
    return kernel / kernel.sum()


def develop(pictures: list[np.ndarray], look: Look, shot: Shot) -> list[np.ndarray]:
    """Sensor and processing, after `optics`: (H, W, 3) float32 0..255 -> uint8 each, all with the very same noise."""
    height, width = pictures[0].shape[:2]
    noise = np.random.default_rng(shot.seed).standard_normal((height, width, 4), np.float32) * np.float32(
        shot.noise / 255
    )
    noise = 0.75 * noise[..., 3:] + 0.5 * noise[..., :3]
    gains = np.asarray(look.gains, np.float32) * np.asarray(shot.gains, np.float32) * np.float32(shot.exposure)
    developed = []
    for picture in pictures:
        value = np.clip(picture / 255, 0, 1) ** look.gamma * gains
        value = 0.45 + (value - 0.45) * look.contrast
        grey = dot(value, np.array([0.3, 0.59, 0.11], np.float32))[..., None]
        value = grey + (value - grey) * look.saturation
        value = np.where(value > 0.9, 0.9 + np.tanh((value - 0.9) * 6) / 10, value).astype(np.float32)
        value += noise * (1.2 - 0.5 * np.clip(value, 0, 1))
        if look.sharpen:
            value += look.sharpen * (value - cv2.GaussianBlur(value, (0, 0), 1.1))
        developed.append(np.rint(np.clip(value, 0, 1) * 255).astype(np.uint8))
    return developed
