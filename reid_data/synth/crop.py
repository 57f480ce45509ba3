"""One picture of a person: a window of a camera's scene, the people and things in it, and the camera's look.

The order of painting: scene, other people and the target's own bicycle behind, shadow of the target, the target, occluders
and people in front. The plate is painted the same without the target and the target's shadow.
"""

from dataclasses import dataclass

import numpy as np

from reid_data.synth.paint.brush import foliage_strip
from reid_data.synth.paint.raster import View
from reid_data.synth.person.appearance import Appearance, draw_appearance
from reid_data.synth.person.figure import Drawing, draw_figure
from reid_data.synth.person.pose import draw_pose
from reid_data.synth.place.backdrop import (
    SIZE,
    Nuisance,
    Window,
    canvas_at,
    clutter,
    cut,
    draw_window,
    elsewhere,
    liven,
    painted_layer,
)
from reid_data.synth.place.camera import Look, develop, draw_shot, optics
from reid_data.synth.place.scene import Scene
from reid_data.synth.place.scenery import PAINTERS

VERSIONS = {"synth-picture": 1}  # compose, with backdrop.py and camera.py


@dataclass(frozen=True)
class Picture:
    """`image` and `plate` (128, 64, 3) uint8 RGB before JPEG, `alpha` (128, 64) float32 0..1: the target's exact share of
    every pixel, `quality` of the JPEG."""

    image: np.ndarray
    plate: np.ndarray
    alpha: np.ndarray
    quality: int


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
    plate = elsewhere(scene, window, rng) if rng.uniform() < nuisance.wild else cut(scene, window.box)
    if rng.uniform() < nuisance.wild:
        plate = liven(clutter(plate, scene, window, rng), rng)
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
        before = rng.uniform() < 0.2 + 0.25 * nuisance.wild
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
    kind = str(rng.choice(["pole", "railing", "hedge", "bicycle", "bollard", "leaves", "leaves", "flowers"]))
    if kind == "leaves":
        return painted_layer(lambda brush, factor: foliage_strip(brush, rng))
    nearer = window.distance * float(rng.uniform(0.70, 0.92))
    canvas = canvas_at(window, scene.lens, nearer, window.foot[0])
    aside = rng.choice([rng.uniform(-0.05, 0.3), rng.uniform(0.7, 1.05)])
    x = SIZE[1] * float(rng.uniform(0, 1) if kind in ("railing", "hedge") else aside)
    return painted_layer(
        lambda brush, factor: PAINTERS[kind](brush, x * factor, canvas.foot[1] * factor, canvas.scale * factor, rng)
    )
