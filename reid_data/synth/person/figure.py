"""Draw one pedestrian: colour, exact soft mask, shadow on the ground."""

from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.paint.brush import noise
from reid_data.synth.paint.raster import Buffers, Canvas, Mesh, View, gather, project, splat, texels
from reid_data.synth.paint.surface import PERSON, THING, Surface, cross, dot, rotation_y
from reid_data.synth.person.appearance import Appearance
from reid_data.synth.person.carried import bicycle
from reid_data.synth.person.cloth import fold_maps
from reid_data.synth.person.pose import Pose
from reid_data.synth.person.wardrobe import dress

VERSIONS = {"synth-person": 1}  # draw_appearance, draw_pose, draw_figure and all that they draw with

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Light:
    """The light of a scene, the same for people and ground.

    `direction` (3,) unit vector towards the sun (x right, y up, z to the camera); `key` and `ambient` strengths;
    `sky` and `bounce` linear colours of the light from above and from the ground; `hard` 0 (overcast) .. 1 (sun);
    `patchy` 0..1: how much of the sun leaves and branches take away, in patches.
    """

    direction: tuple[float, float, float]
    key: float
    ambient: float
    sky: tuple[float, float, float]
    bounce: tuple[float, float, float]
    hard: float
    patchy: float = 0.0


@dataclass(frozen=True)
class Drawing:
    """Layers of a drawn person, all float32 at picture size.

    `colour` (H, W, 3) sRGB 0..255 times `alpha` (H, W): the person with clothes and carried things. `thing_colour`,
    `thing_alpha`: the bicycle where it is seen. `bare_colour`, `bare_alpha`: the bicycle without the rider.
    `shadow`, `thing_shadow` (H, W) 0..1: how much the ground darkens.
    """

    colour: np.ndarray
    alpha: np.ndarray
    thing_colour: np.ndarray
    thing_alpha: np.ndarray
    bare_colour: np.ndarray
    bare_alpha: np.ndarray
    shadow: np.ndarray
    thing_shadow: np.ndarray


def draw_figure(person: Appearance, pose: Pose, view: View, light: Light, canvas: Canvas) -> Drawing:
    """Draw `person` in `pose`; `canvas` is in picture pixels (supersampling happens inside)."""
    surfaces = dress(person, pose)
    things = bicycle(person, pose)
    turn = rotation_y(view.heading)
    everything = surfaces + things
    mesh = gather(everything, turn)
    (colour, alpha), (thing_colour, thing_alpha) = _render(everything, mesh, view, light, canvas)
    ours = sum(surface.points.shape[0] * surface.points.shape[1] for surface in surfaces)
    shadow = cast_shadow(mesh.points[:ours], view, light, canvas)
    bare_colour, bare_alpha, thing_shadow = np.zeros_like(colour), np.zeros_like(alpha), np.zeros_like(alpha)
    if things:
        bare_colour, bare_alpha = _render(things, gather(things, turn), view, light, canvas)[1]
        thing_shadow = cast_shadow(mesh.points[ours:], view, light, canvas)
    return Drawing(colour, alpha, thing_colour, thing_alpha, bare_colour, bare_alpha, shadow, thing_shadow)


def _render(
    surfaces: list[Surface], mesh: Mesh, view: View, light: Light, canvas: Canvas
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(colour, alpha) of the person's and of the things' pixels, at picture size."""
    factor = SUPERSAMPLING
    height, width = canvas.size
    foot = ((canvas.foot[0] + 0.5) * factor - 0.5, (canvas.foot[1] + 0.5) * factor - 0.5)
    fine = Canvas((height * factor, width * factor), canvas.scale * factor, foot, canvas.stretch)
    seen = splat(surfaces, mesh, view, fine)
    colour = shade(seen, surfaces, light, fine)
    layers = np.array([surface.layer for surface in surfaces])[seen.surface]
    found = []
    for layer in (PERSON, THING):
        mine = layers == layer
        if not mine.any():
            found.append((np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)))
            continue
        raster = np.zeros((fine.size[0] * fine.size[1], 4), np.float32)
        raster[seen.pixel[mine], :3] = colour[mine]
        raster[seen.pixel[mine], 3] = 1
        small = cv2.resize(raster.reshape(*fine.size, 4), (width, height), interpolation=cv2.INTER_AREA)
        found.append((small[..., :3], small[..., 3]))
    return found


def shade(seen: Buffers, surfaces: list[Surface], light: Light, canvas: Canvas) -> np.ndarray:
    """sRGB colours (N, 3) 0..255 of the visible points: texture, folds, sun, sky, bounce, occlusion, highlight."""
    albedo = texels(surfaces, seen)
    slope = _folds(surfaces, seen)
    shine = np.array([surface.material.shine for surface in surfaces], np.float32)[seen.surface]
    normal = _bend(seen.normal, slope)
    up = normal[:, 1]
    sun = np.asarray(light.direction, np.float32)
    wrap = 0.35 * (1 - light.hard)
    towards = np.clip((dot(normal, sun) + wrap) / (1 + wrap), 0, 1)
    ambient_occlusion, sun_occlusion = _occlusion(seen, light, canvas)
    if light.patchy:
        sun_occlusion = sun_occlusion * (1 - light.patchy * _leaf_shadow(seen, canvas))
    hemisphere = (0.5 + 0.5 * up)[:, None] * np.asarray(light.sky, np.float32) + (0.5 - 0.5 * up)[:, None] * np.asarray(
        light.bounce, np.float32
    )
    lit = hemisphere * (light.ambient * ambient_occlusion * (1 - 0.45 * slope[:, 2]))[:, None]
    lit += (light.key * towards * sun_occlusion)[:, None]
    half = sun + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip(dot(normal, half), 0, 1) ** 12 * shine * light.key * 0.35
    return 255 * np.sqrt(np.clip(albedo * lit + gloss[:, None], 0, 1))


def _folds(surfaces: list[Surface], seen: Buffers) -> np.ndarray:
    """Slope along u, slope along v and hollow (N, 3) of the cloth at the visible points."""
    maps = fold_maps()
    size = maps.shape[1]
    settings = np.array(
        [(item.material.fold_map, *item.material.fold_scale, item.material.folds) for item in surfaces], np.float32
    )
    number, scale_u, scale_v, strength = settings[seen.surface].T
    shift = 0.37 * seen.surface
    column = ((seen.uv[:, 0] * scale_u + shift) * size).astype(np.int64) % size
    row = ((seen.uv[:, 1] * scale_v + shift) * size).astype(np.int64) % size
    return (
        np.take(maps.reshape(-1, 3), (number.astype(np.int64) * size + row) * size + column, axis=0) * strength[:, None]
    )


def _bend(normal: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Tilt normals (N, 3) by the slopes of the folds along u and v."""
    down = normal * normal[:, 1:2]
    down[:, 1] -= 1
    down /= np.maximum(np.sqrt(np.einsum("ij,ij->i", down, down)), 0.2)[:, None]
    around = cross(normal, down)
    bent = normal - slope[:, :1] * around - slope[:, 1:2] * down
    return bent / np.sqrt(np.einsum("ij,ij->i", bent, bent))[:, None]


def _leaf_shadow(seen: Buffers, canvas: Canvas) -> np.ndarray:
    """Shadow (N,) 0..1 of leaves on a person: soft patches some twenty centimetres wide, other ones at every place."""
    grain = 256 / (3.0 * canvas.scale)
    start = int(canvas.foot[0] * 37 + canvas.foot[1] * 91)
    row, column = seen.pixel // canvas.size[1], seen.pixel % canvas.size[1]
    tile = noise(0, 1.6)
    found = tile[
        (row * grain + start % 256).astype(np.int64) % 256, (column * grain + start // 7 % 256).astype(np.int64) % 256
    ]
    return np.clip(0.5 + 1.6 * found, 0, 1)


def _occlusion(seen: Buffers, light: Light, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Shares (N,) of the sky's and of the sun's light that reach the points, from the depth map's surroundings."""
    shrink = 3
    depth = seen.depth[::shrink, ::shrink]
    present = (depth > -1e6).astype(np.float32)
    solid = np.where(present > 0, depth, 0).astype(np.float32)
    scale = canvas.scale / shrink
    sigma = max(0.055 * scale, 0.8)
    near = cv2.GaussianBlur(np.dstack([solid, present]), (0, 0), sigma)
    bump = np.where(present > 0, near[..., 0] - near[..., 1] * solid, 0)
    shift = 0.09 * scale
    offset = np.array([[1, 0, -light.direction[0] * shift], [0, 1, light.direction[1] * shift]], np.float32)
    moved = cv2.warpAffine(near, offset, near.shape[1::-1], flags=cv2.INTER_LINEAR)
    block = np.where(present > 0, moved[..., 0] - moved[..., 1] * (solid + 0.03), 0)
    row, column = seen.pixel // canvas.size[1] // shrink, seen.pixel % canvas.size[1] // shrink
    ambient = 1 - np.clip(bump * 7, 0, 0.6)
    sun = 1 - np.clip(block * 9, 0, 0.3 + 0.5 * light.hard)
    ground = np.clip(0.72 + 0.28 * seen.height / 0.5, 0.72, 1)
    return ambient[row, column] * ground, sun[row, column]


def cast_shadow(points: np.ndarray, view: View, light: Light, canvas: Canvas) -> np.ndarray:
    """Darkness (H, W) 0..1 that `points` (M, 3) throw on the ground: contact below the feet and the sun's shadow."""
    sun = np.asarray(light.direction, np.float32)
    thrown = points - sun * (points[:, 1] / max(float(sun[1]), 0.2))[:, None]
    low = points[points[:, 1] < 0.22] * np.array([1, 0, 1], np.float32)
    soft = cv2.GaussianBlur(_count_points(thrown, view, canvas), (0, 0), 1.0 + 3.0 * (1 - light.hard))
    touch = cv2.GaussianBlur(_count_points(low, view, canvas), (0, 0), sigmaX=2.2, sigmaY=0.9)
    long = np.clip(soft * 1.2, 0, 1) * (0.16 + 0.42 * light.hard)
    return 1 - (1 - long) * (1 - np.clip(touch * 0.5, 0, 0.62))


def _count_points(points: np.ndarray, view: View, canvas: Canvas) -> np.ndarray:
    x, y = project(points, view, canvas)
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    inside = (column >= 0) & (column < canvas.size[1]) & (row >= 0) & (row < canvas.size[0])
    counts = np.bincount(row[inside] * canvas.size[1] + column[inside], minlength=canvas.size[0] * canvas.size[1])
    return np.minimum(counts, 2).reshape(canvas.size).astype(np.float32)
