"""Grids of points in space: tubes, ellipsoids and boxes, the stuff that bodies, clothes and things are made of.

Space is in metres: x to the person's left, y up, z the way the person faces. A surface is a (R, U, 3) float32 grid of
R rings of U points; a ring runs back (u = 0), left (0.25), front (0.5), right (0.75), back (1), and rings run from the
top, or from the trunk, outwards.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FORWARD = np.array([0.0, 0.0, 1.0], np.float32)
LEFT = np.array([1.0, 0.0, 0.0], np.float32)
TURN = 2 * np.pi
PERSON = 1
THING = 2


@dataclass(frozen=True)
class Material:
    """How a surface looks: `texture` (h, w, 3) float32 linear RGB over (v, u), folds and shine.

    `fold_map` picks one of the fold maps, `folds` is their strength (0 none), `shine` the strength of the highlight.
    `cutout` (h, w) bool over (v, u), where given: False = no surface there (hairlines, straw hats).
    """

    texture: np.ndarray
    folds: float = 0.0
    fold_map: int = 0
    fold_scale: tuple[float, float] = (1.0, 1.0)
    shine: float = 0.0
    cutout: np.ndarray | None = None


@dataclass(frozen=True)
class Surface:
    """A grid of points (R, U, 3) with its material; `layer` is PERSON or THING; `open_back` keeps the inside visible.

    `over` metres: how far something below may bulge through before it shows (a thigh through a skirt).
    """

    points: np.ndarray
    material: Material
    layer: int = PERSON
    open_back: bool = False
    over: float = 0.0


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross product over the last axis of (..., 3) arrays; many times faster than NumPy's on small ones."""
    a, b, c = first[..., 0], first[..., 1], first[..., 2]
    d, e, f = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=-1)


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dot product of (..., 3) with a vector (3,); not by BLAS, whose last bit may depend on its number of threads."""
    return first[..., 0] * second[0] + first[..., 1] * second[1] + first[..., 2] * second[2]


@lru_cache(maxsize=128)
def even(count: int, last: float = 1.0) -> np.ndarray:
    """`count` even steps from 0 to `last`; shared, not to be written to."""
    return np.linspace(0, last, count)


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` (..., 3) scaled to length 1."""
    return vector / np.maximum(np.sqrt((vector * vector).sum(axis=-1, keepdims=True)), 1e-9)


def tube(
    centres: np.ndarray, radii: np.ndarray, lateral: np.ndarray = LEFT, *, num_u: int = 20, power: float = 2.0
) -> np.ndarray:
    """A tube (R, num_u, 3) around `centres` (R, 3) with `radii` (R, 2) = (sideways, front to back).

    `lateral` (3,) or (R, 3) is the sideways axis, `power` the exponent of the superellipse (2 = ellipse, 4 = box).
    """
    step = centres[1:] - centres[:-1]
    direction = unit(np.concatenate([step[:1], step[:-1] + step[1:], step[-1:]]))
    side = unit(lateral - (lateral * direction).sum(axis=1, keepdims=True) * direction)
    front = cross(direction, side)
    sine, cosine = _ring(num_u, power)
    ring = side[:, None] * (radii[:, :1] * sine)[..., None] - front[:, None] * (radii[:, 1:] * cosine)[..., None]
    return (centres[:, None] + ring).astype(np.float32)


@lru_cache(maxsize=64)
def _ring(num_u: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Sines and cosines of a superellipse around one ring."""
    angle = even(num_u, TURN)
    sine, cosine = np.sin(angle), np.cos(angle)
    sine = np.sign(sine) * np.abs(sine) ** (2 / power)
    cosine = np.sign(cosine) * np.abs(cosine) ** (2 / power)
    return sine.astype(np.float32), cosine.astype(np.float32)


def profile(keys: np.ndarray, num_rings: int) -> np.ndarray:
    """Resample `keys` (K, C), the first column rising from 0 to 1, at `num_rings` even steps; smooth between the keys.

    Returns (num_rings, C - 1): the columns after the first.
    """
    steps, fine = even(num_rings), even(num_rings * 4 - 3)
    columns = [np.interp(fine, keys[:, 0], column) for column in keys.T[1:]]
    kernel = np.array([1, 3, 4, 3, 1]) / 12
    smooth = [np.convolve(np.pad(column, 2, mode="edge"), kernel, mode="valid") for column in columns]
    return np.stack([np.interp(steps, fine, column) for column in smooth], axis=1).astype(np.float32)


def bent(joints: np.ndarray, num_rings: int, *, rounding: int = 2) -> np.ndarray:
    """Centres (num_rings, 3) along the polyline `joints` (J, 3), with rounded corners and even steps per length."""
    joints = np.asarray(joints)
    steps = joints[1:] - joints[:-1]
    lengths = np.sqrt((steps * steps).sum(axis=1))
    along = np.concatenate([[0], np.cumsum(lengths)])
    places = even(num_rings) * along[-1]
    line = np.stack([np.interp(places, along, column) for column in joints.T], axis=1)
    for _ in range(rounding):
        inner = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
        line = np.concatenate([line[:1], inner, line[-1:]])
    return line.astype(np.float32)


def ellipsoid(
    centre: np.ndarray, radii: np.ndarray, axes: np.ndarray | None = None, *, power: float = 2.0
) -> np.ndarray:
    """An ellipsoid or rounded box (11, 18, 3); `radii` (3,) sideways, up, front; `axes` (3, 3) rows the same three."""
    axes = np.eye(3, dtype=np.float32) if axes is None else axes
    tilt = np.linspace(0.02, np.pi - 0.02, 11)
    height, width = np.cos(tilt), np.sin(tilt)
    if power != 2.0:
        height = np.sign(height) * np.abs(height) ** (2 / power)
        width = np.abs(width) ** (2 / power)
    sine, cosine = _ring(18, power)
    cosine = -cosine
    local = np.stack(
        [
            width[:, None] * sine * radii[0],
            np.broadcast_to(height[:, None] * radii[1], (11, 18)),
            width[:, None] * cosine * radii[2],
        ],
        axis=-1,
    )
    return (centre + local @ axes).astype(np.float32)


def rotation_y(angle: float) -> np.ndarray:
    """Matrix (3, 3) for row vectors: turns forward towards left by `angle` radians."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], np.float32)


def wavy(points: np.ndarray, seed: int, amount: float) -> np.ndarray:
    """Points (R, U, 3) pushed in and out a little, growing towards the hem: uneven outlines."""
    rng = np.random.default_rng([seed, 77])
    rings, around = points.shape[:2]
    angle = even(around, TURN)
    wave = sum(rng.normal(0, 1) * np.cos(count * angle + rng.uniform(0, 6)) for count in (2, 3, 5)) / 2
    along = np.convolve(rng.normal(0, 1, rings + 4), [0.25, 0.3, 0.25, 0.2], mode="valid")[:rings]
    grow = 0.25 + 0.75 * even(rings)
    centre = points[:, :-1].mean(axis=1, keepdims=True)
    factor = 1 + amount * (grow[:, None] * np.asarray(wave)[None] + 0.8 * along[:, None])
    return (centre + (points - centre) * factor[..., None]).astype(np.float32)
