"""Painting with OpenCV on a picture and, at the same time, on the mask of what was painted."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

VERSIONS = {"synth-paint": 1}  # the brush, its patches and noise

Colour = tuple[float, float, float]
SHIFT = 3  # fixed-point bits of drawing coordinates


@dataclass
class Brush:
    """`image` (H, W, 3) uint8 RGB and `mask` (H, W) uint8; everything painted becomes 255 in the mask, with soft edges."""

    image: np.ndarray
    mask: np.ndarray

    @classmethod
    def blank(cls, size: tuple[int, int]) -> "Brush":
        """An empty layer of `size` = (height, width)."""
        return cls(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8))

    def polygon(self, points: np.ndarray | list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon of (x, y) points."""
        fixed = np.rint(np.asarray(points, np.float64) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], _ints(colour), cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self.mask, [fixed], 255, cv2.LINE_AA, SHIFT)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: np.ndarray | list[tuple[float, float]], colour: Colour, width: float) -> None:
        """A polyline; lines thinner than a pixel are drawn one pixel wide."""
        fixed = np.rint(np.asarray(points, np.float64) * (1 << SHIFT)).astype(np.int32)
        thickness = max(1, round(width))
        cv2.polylines(self.image, [fixed], False, _ints(colour), thickness, cv2.LINE_AA, SHIFT)
        cv2.polylines(self.mask, [fixed], False, 255, thickness, cv2.LINE_AA, SHIFT)

    def ellipse(
        self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, width: int = -1, angle: float = 0.0
    ) -> None:
        """An ellipse, filled, or as an outline of `width` pixels."""
        centre = (round(x * 8), round(y * 8))
        axes = (max(1, round(radius_x * 8)), max(1, round(radius_y * 8)))
        cv2.ellipse(self.image, centre, axes, angle, 0, 360, _ints(colour), width, cv2.LINE_AA, SHIFT)
        cv2.ellipse(self.mask, centre, axes, angle, 0, 360, 255, width, cv2.LINE_AA, SHIFT)

    def paste(self, texture: np.ndarray, alpha: np.ndarray, left: int, top: int) -> None:
        """Blend `texture` (h, w, 3) by `alpha` (h, w) in 0..1 with its corner at (left, top); parts outside are cut."""
        height, width = self.mask.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + alpha.shape[0], height), min(left + alpha.shape[1], width)
        if y0 >= y1 or x0 >= x1:
            return
        part = alpha[y0 - top : y1 - top, x0 - left : x1 - left]
        colours = texture[y0 - top : y1 - top, x0 - left : x1 - left]
        view, mask = self.image[y0:y1, x0:x1], self.mask[y0:y1, x0:x1]
        view[:] = (view + part[..., None] * (colours.astype(np.float32) - view)).astype(np.uint8)
        mask[:] = (mask + part * (255.0 - mask)).astype(np.uint8)

    def darken(self, x: float, y: float, radius_x: float, radius_y: float, amount: float) -> None:
        """A soft dark ellipse: the shadow of a thing on the ground. Changes colours only where something is painted."""
        reach_x, reach_y = int(radius_x * 1.6) + 2, int(radius_y * 1.6) + 2
        left, top = int(x) - reach_x, int(y) - reach_y
        yy, xx = np.mgrid[0 : 2 * reach_y, 0 : 2 * reach_x].astype(np.float32)
        distance = np.hypot((xx - reach_x) / max(radius_x, 1), (yy - reach_y) / max(radius_y, 1))
        shade = np.clip(1.4 - distance, 0, 1) * amount
        y0, x0 = max(top, 0), max(left, 0)
        view = self.image[y0 : max(top + 2 * reach_y, 0), x0 : max(left + 2 * reach_x, 0)]
        shade = shade[y0 - top : y0 - top + view.shape[0], x0 - left : x0 - left + view.shape[1]]
        if view.size:
            view[:] = (view * (1 - shade[..., None])).astype(np.uint8)


def _ints(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(part, 0), 255)) for part in colour)
    return red, green, blue


def tone(colour: Colour, share: float) -> Colour:
    """`colour` made darker or lighter."""
    return colour[0] * share, colour[1] * share, colour[2] * share


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 10.0) -> Colour:
    """A colour near `colour`."""
    shift = rng.normal(0, amount) + rng.normal(0, amount * 0.35, 3)
    return colour[0] + shift[0], colour[1] + shift[1], colour[2] + shift[2]


@lru_cache(maxsize=64)
def noise(number: int, roughness: float = 1.0) -> np.ndarray:
    """A tileable (256, 256) float32 noise of spread 1; the spectrum falls with frequency to the power `roughness`."""
    rng = np.random.default_rng([number, 4242])
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]) * 256
    spectrum = np.fft.fft2(rng.normal(0, 1, (256, 256))) / np.maximum(frequency, 1) ** roughness
    spectrum[0, 0] = 0
    made = np.fft.ifft2(spectrum).real
    return (made / made.std()).astype(np.float32)


def noise_patch(rng: np.random.Generator, size: tuple[int, int], grain: float, roughness: float = 1.0) -> np.ndarray:
    """A window (h, w) of a noise of spread 1; `grain` in pixels per noise sample."""
    height, width = size
    start = rng.uniform(0, 256, 2)
    x = np.tile((np.arange(width, dtype=np.float32) / grain + start[0]) % 256, (height, 1))
    y = np.tile(((np.arange(height, dtype=np.float32) / grain + start[1]) % 256)[:, None], (1, width))
    return cv2.remap(
        noise(int(rng.integers(3)), roughness),
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


@lru_cache(maxsize=4)
def leaves(kind: int) -> np.ndarray:
    """A (256, 256, 3) uint8 texture of foliage: thousands of leaves, the upper ones lighter. `kind` 0 broad, 1 fine, 2 dry."""
    rng = np.random.default_rng([kind, 99])
    image = np.full((256, 256, 3), (26, 36, 22), np.uint8)
    base = np.array([(78, 104, 52), (68, 98, 56), (122, 110, 66)][kind], np.float32)
    count = 5200
    place = rng.uniform(0, 256, (count, 2))
    size = rng.uniform(1.2, [3.6, 2.2, 2.8][kind], (count, 2))
    light = np.linspace(0.3, 1.55, count) * rng.uniform(0.6, 1.3, count)
    tint = rng.normal(1, 0.08, (count, 3))
    for number in range(count):
        colour = np.clip(base * light[number] * tint[number], 0, 255).astype(int).tolist()
        cv2.ellipse(
            image,
            (place[number] * 8).astype(int),
            (size[number] * 8).astype(int),
            float(rng.uniform(0, 180)),
            0,
            360,
            colour,
            -1,
            cv2.LINE_AA,
            3,
        )
    return image


def leaf_patch(rng: np.random.Generator, size: tuple[int, int], kind: int, grain: float) -> np.ndarray:
    """A window (h, w, 3) float32 of foliage with large light and dark clumps."""
    height, width = size
    start = rng.uniform(0, 256, 2)
    x = np.tile((np.arange(width, dtype=np.float32) / grain + start[0]) % 256, (height, 1)).astype(np.float32)
    y = np.tile(((np.arange(height, dtype=np.float32) / grain + start[1]) % 256)[:, None], (1, width)).astype(
        np.float32
    )
    found = cv2.remap(leaves(kind), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).astype(np.float32)
    clump = noise_patch(rng, size, max(grain * 0.5, 0.6), 1.6)
    return found * np.clip(1 + 0.35 * clump, 0.35, 1.8)[..., None]


def foliage_strip(brush: Brush, rng: np.random.Generator) -> None:
    """Leaves hanging or growing into the picture from one edge, covering up to about a quarter of it."""
    height, width = brush.mask.shape
    yy, xx = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    edge = [xx, 1 - xx, 1 - yy, 1 - yy, yy][int(rng.integers(5))]
    reach = float(rng.uniform(0.12, 0.28))
    shape = reach - edge + 0.09 * noise_patch(rng, (height, width), 0.6, 0.9)
    texture = leaf_patch(rng, (height, width), int(rng.integers(2)), float(rng.uniform(1.0, 2.5))) * rng.uniform(
        0.8, 1.4
    )
    brush.paste(np.clip(texture, 0, 255), np.clip(shape * 25, 0, 1), 0, 0)
