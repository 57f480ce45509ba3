"""One picture of a person: a window of a camera's scene, the people and things in it, and the camera's look.

The order of painting: scene, other people and the target's own bicycle behind, shadow of the target, the target, occluders
and people in front. The plate is painted the same without the target and the target's shadow.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.appearance import Appearance, draw_appearance
from reid_data.synth.brush import Brush, foliage_strip
from reid_data.synth.camera import Look, develop, draw_shot, optics
from reid_data.synth.figure import Drawing, draw_figure
from reid_data.synth.ground import Lens
from reid_data.synth.pose import draw_pose
from reid_data.synth.raster import Canvas, View
from reid_data.synth.scene import FARTHEST, NEAREST, Scene
from reid_data.synth.scenery import PAINTERS

SIZE = (128, 64)
"""Size of every picture: (height, width)."""


@dataclass(frozen=True)
class Nuisance:
    """How much goes wrong in the pictures: chances of other people, things in front, cut-off people; `spread` of
    the camera's deviations and `loose` of the box (1 as a detector's); `stretch` (mean, spread) of the logarithm of how
    much the crop is widened, as boxes narrower than 1:2 are."""

    others: float = 0.16
    occluders: float = 0.08
    spread: float = 1.0
    loose: float = 1.0
    stretch: tuple[float, float] = (0.15, 0.09)


@dataclass(frozen=True)
class Picture:
    """`image` and `plate` (128, 64, 3) uint8 RGB before JPEG, `alpha` (128, 64) float32 0..1: the target's exact share of
    every pixel, `quality` of the JPEG."""

    image: np.ndarray
    plate: np.ndarray
    alpha: np.ndarray
    quality: int


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


def cut(scene: Scene, window: Window) -> np.ndarray:
    """The window of the scene as (128, 64, 3) float32; what lies outside the scene repeats its edge."""
    left, top, height, width = window.box
    grow = SIZE[0] / height
    matrix = np.array([[width / SIZE[1], 0, left], [0, 1 / grow, top]])
    image = scene.image
    if grow < 0.75:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / grow)
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


def draw_person(
    person: Appearance, scene: Scene, window: Window, rng: np.random.Generator, *, heading: float
) -> Drawing:
    """The target in a random posture, seen from `heading`."""
    style = str(rng.choice(["walk"] * 8 + ["stand"] * 2))
    if person.bicycle and rng.uniform() < 0.5:
        style = str(rng.choice(["ride", "push"]))
    pose = draw_pose(rng, style, _arms(person))
    view = View(window.distance, scene.lens.height, heading)
    return draw_figure(person, pose, view, scene.light, canvas_at(window, scene.lens, window.distance, window.foot[0]))


def _arms(person: Appearance) -> tuple[str, str]:
    carried = person.bag in ("handbag", "shopping")
    strap = person.bag == "backpack" and person.seed % 4 == 0
    return ("strap" if strap else "swing", "carry" if carried else "swing")


@dataclass(frozen=True)
class Layers:
    """A painted picture before the camera: `picture` and `plate` (128, 64, 3) float32 0..255, and `alpha` (128, 64)."""

    picture: np.ndarray
    plate: np.ndarray
    alpha: np.ndarray


def paint(
    person: Appearance | None, scene: Scene, rng: np.random.Generator, nuisance: Nuisance, heading: float
) -> Layers:
    """Paint `person` (None: an empty place) into a scene. Where nothing but the target is painted,
    picture = alpha * person + (1 - alpha) * (1 - shadow) * plate."""
    stature = person.body.stature if person is not None else 1.7
    window = draw_window(scene.lens, stature, rng, nuisance)
    plate = cut(scene, window)
    behind, front = _others(scene, window, rng, nuisance, empty=person is None)
    for drawing in behind:
        plate = _over(plate, drawing)
    picture, alpha = plate, np.zeros(SIZE, np.float32)
    if person is not None:
        drawing = draw_person(person, scene, window, rng, heading=heading)
        picture, alpha = _over(plate, drawing), drawing.alpha
        plate = plate * (1 - drawing.thing_shadow)[..., None]
        plate = plate * (1 - drawing.bare_alpha)[..., None] + drawing.bare_colour
    for drawing in front:
        picture, plate = _over(picture, drawing), _over(plate, drawing)
        alpha = alpha * (1 - drawing.alpha)
    if rng.uniform() < nuisance.occluders:
        colour, cover = _occluder(scene, window, rng)
        picture, plate = (layer * (1 - cover)[..., None] + colour for layer in (picture, plate))
        alpha = alpha * (1 - cover)
    return Layers(picture, plate, alpha)


def compose(
    person: Appearance | None, scene: Scene, look: Look, rng: np.random.Generator, nuisance: Nuisance, heading: float
) -> Picture:
    """One picture of `person` (None: an empty place) in a scene through a camera."""
    layers = paint(person, scene, rng, nuisance, heading)
    shot = draw_shot(rng, look, spread=nuisance.spread)
    image, plate = develop([optics(layers.picture, shot), optics(layers.plate, shot)], look, shot)
    return Picture(image, plate, np.clip(optics(layers.alpha, shot), 0, 1), shot.quality)


def _over(picture: np.ndarray, drawing: Drawing) -> np.ndarray:
    """A drawn person with shadow and bicycle over a picture (H, W, 3)."""
    darker = picture * ((1 - drawing.shadow) * (1 - drawing.thing_shadow))[..., None]
    left = 1 - drawing.alpha - drawing.thing_alpha
    return darker * left[..., None] + drawing.colour + drawing.thing_colour


def _others(
    scene: Scene, window: Window, rng: np.random.Generator, nuisance: Nuisance, *, empty: bool
) -> tuple[list[Drawing], list[Drawing]]:
    """Other people in the crop: most beside and behind the target, a few partly in front."""
    behind: list[Drawing] = []
    front: list[Drawing] = []
    if empty or rng.uniform() >= nuisance.others:
        return behind, front
    for _ in range(1 + int(rng.uniform() < 0.25)):
        person = draw_appearance(int(rng.integers(2**31)), "passers-by", 1)
        before = rng.uniform() < 0.2
        distance = window.distance * float(
            rng.uniform(0.86, 0.97) if before else rng.choice([rng.uniform(1.03, 1.3), rng.uniform(1.3, 2.6)])
        )
        apart = rng.choice([-1, 1]) * window.box[2] * float(rng.uniform(0.2, 0.32) if before else rng.uniform(0.1, 0.3))
        pose = draw_pose(rng, str(rng.choice(["walk", "walk", "stand"])), _arms(person))
        canvas = canvas_at(window, scene.lens, distance, window.foot[0] + float(apart))
        view = View(distance, scene.lens.height, float(rng.uniform(0, 2 * np.pi)))
        (front if before else behind).append(draw_figure(person, pose, view, scene.light, canvas))
    return behind, front


def _occluder(scene: Scene, window: Window, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A thing between camera and target: (colour times cover (H, W, 3), cover (H, W)), float32."""
    factor = 2
    brush = Brush.blank((SIZE[0] * factor, SIZE[1] * factor))
    kind = str(rng.choice(["pole", "railing", "hedge", "bicycle", "bollard", "leaves", "leaves", "flowers"]))
    if kind == "leaves":
        foliage_strip(brush, rng)
    else:
        nearer = window.distance * float(rng.uniform(0.70, 0.92))
        canvas = canvas_at(window, scene.lens, nearer, window.foot[0])
        x = SIZE[1] * float(
            rng.choice([rng.uniform(-0.05, 0.3), rng.uniform(0.7, 1.05)])
            if kind not in ("railing", "hedge")
            else rng.uniform(0, 1)
        )
        PAINTERS[kind](brush, x * factor, canvas.foot[1] * factor, canvas.scale * factor, rng)
    cover = cv2.resize(brush.mask, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colour = cv2.resize(brush.image, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return colour, cover
