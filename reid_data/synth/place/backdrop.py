"""What lies around a person in a crop: the box, the window of the scene, and wilder backdrops for training."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.paint.brush import Brush
from reid_data.synth.paint.raster import Canvas
from reid_data.synth.place.ground import Lens
from reid_data.synth.place.scene import FARTHEST, NEAREST, Scene
from reid_data.synth.place.scenery import PAINTERS

SIZE = (128, 64)
"""Size of every picture: (height, width)."""


@dataclass(frozen=True)
class Nuisance:
    """How much goes wrong in the pictures: chances of other people and of things in front; `spread` of the camera's
    deviations and `loose` of the box (1 as a detector's); `stretch` (mean, spread) of the logarithm of how much the
    crop is widened, as boxes narrower than 1:2 are; `wild`: chance that the backdrop is not the scene as it stands
    (0 in data sets, where a background must tell its camera)."""

    others: float = 0.16
    occluders: float = 0.08
    spread: float = 1.0
    loose: float = 1.0
    stretch: tuple[float, float] = (0.15, 0.09)
    wild: float = 0.0


@dataclass(frozen=True)
class Window:
    """Where a crop lies: a person's `foot` (column, row) in the scene, `box` = (left, top, height, width) in scene pixels."""

    foot: tuple[float, float]
    distance: float
    box: tuple[float, float, float, float]


def draw_window(lens: Lens, stature: float, rng: np.random.Generator, nuisance: Nuisance) -> Window:
    """A place to stand and a detector's box around a person there: tight, a little off, now and then cutting."""
    loose = nuisance.loose
    lowest = 0.93 * lens.size[0]
    nearest = max(NEAREST, lens.focal * lens.height / (lowest - lens.horizon))
    distance = float(rng.uniform(nearest, FARTHEST))
    scale = lens.scale(distance)
    tall = stature * scale
    row = lens.row(distance)
    above = rng.uniform(0.0, 0.055) + (abs(rng.normal(0, 0.05)) if rng.uniform() < 0.25 else 0) * loose
    below = rng.uniform(-0.005, 0.045) + (abs(rng.normal(0, 0.05)) if rng.uniform() < 0.2 else 0) * loose
    if rng.uniform() < 0.07 * loose:
        below -= rng.uniform(0.05, 0.22)
    if rng.uniform() < 0.03 * loose:
        above -= rng.uniform(0.03, 0.08)
    height = tall * (1 + above + below)
    width = height / 2 / float(np.exp(rng.normal(*nuisance.stretch)))
    margin = width / 2 + 4
    column = float(rng.uniform(margin, lens.size[1] - margin))
    top = row - tall * (1 + above)
    left = column - width / 2 + float(rng.normal(0, 0.03)) * height * loose
    return Window((column, row), distance, (float(left), float(top), float(height), float(width)))


def cut(scene: Scene, box: tuple[float, float, float, float]) -> np.ndarray:
    """The `box` of the scene as (128, 64, 3) float32; what lies outside the scene repeats its edge."""
    left, top, height, width = box
    grow = SIZE[0] / height
    x0, y0 = max(int(left) - 8, 0), max(int(top) - 8, 0)
    image = scene.image[y0 : max(int(top + height) + 8, y0 + 1), x0 : max(int(left + width) + 8, x0 + 1)]
    if grow < 0.75:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / grow)
    matrix = np.array([[width / SIZE[1], 0, left - x0], [0, 1 / grow, top - y0]])
    found = cv2.warpAffine(
        image, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return found.astype(np.float32)


def canvas_at(window: Window, lens: Lens, distance: float, column: float) -> Canvas:
    """The raster of a person who stands at a `distance` in the `column` of the scene."""
    left, top, height, width = window.box
    grow, across = SIZE[0] / height, SIZE[1] / width
    foot = ((column - left) * across, (lens.row(distance) - top) * grow)
    return Canvas(SIZE, lens.scale(distance) * grow, foot, across / grow)


def painted_layer(paint: Callable[[Brush, int], None]) -> tuple[np.ndarray, np.ndarray]:
    """What `paint(brush, factor)` paints on an empty canvas `factor` times the picture's size:
    (colour times cover (H, W, 3), cover (H, W) 0..1), float32 at picture size."""
    factor = 2
    brush = Brush.blank((SIZE[0] * factor, SIZE[1] * factor))
    paint(brush, factor)
    cover = cv2.resize(brush.mask, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.resize(brush.image, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32), cover


def elsewhere(scene: Scene, window: Window, rng: np.random.Generator) -> np.ndarray:
    """Another window of the scene (128, 64, 3), of any size and height: heads before fronts, trees and sky."""
    height = float(rng.uniform(0.28, 0.95)) * scene.image.shape[0]
    width = height / 2
    left = float(rng.uniform(0, scene.image.shape[1] - width))
    return cut(scene, (left, float(rng.uniform(0, scene.image.shape[0] - height)), height, width))


def clutter(plate: np.ndarray, scene: Scene, window: Window, rng: np.random.Generator) -> np.ndarray:
    """The plate with up to three things that stand right behind the person: trunks, pillars, posts, bicycles, cars."""
    for distance in np.sort(window.distance * rng.uniform(1.04, 1.9, int(rng.integers(0, 4))))[::-1]:
        kind = str(
            rng.choice(["tree", "pillar", "pole", "pillar", "bicycle", "sign", "bin", "car", "hedge", "bench", "stall"])
        )
        canvas = canvas_at(window, scene.lens, float(distance), window.foot[0])
        x = SIZE[1] * float(rng.uniform(-0.2, 1.2))

        def paint(brush: Brush, factor: int, kind: str = kind, x: float = x, canvas: Canvas = canvas) -> None:
            PAINTERS[kind](brush, x * factor, canvas.foot[1] * factor, canvas.scale * factor, rng)

        colour, cover = painted_layer(paint)
        plate = plate * (1 - cover)[..., None] + colour
    return plate


def liven(plate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plate with another brightness, contrast and saturation than the person will have, and patches of sun."""
    grey = plate.mean(axis=2, keepdims=True)
    plate = grey + (plate - grey) * float(rng.uniform(0.6, 1.6))
    plate = (plate - grey.mean()) * float(rng.uniform(0.8, 1.7)) + grey.mean() * float(rng.uniform(0.65, 1.45))
    if rng.uniform() < 0.4:
        coarse = rng.normal(0, 1, (int(rng.integers(4, 16)), int(rng.integers(3, 9)))).astype(np.float32)
        patches = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        plate = plate * (1 + float(rng.uniform(0.2, 0.6)) * np.clip(patches * 2, -1, 1))[..., None]
    return np.clip(plate, 0, 255).astype(np.float32)
