"""The ground of a scene in perspective: paving, asphalt, lawn, paths, painted lines, stains, shadows of trees."""

from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.paint.brush import Colour, noise


@dataclass(frozen=True)
class Lens:
    """The camera of a scene: it looks level; `horizon` row, `focal` in pixels, `height` above the ground in metres."""

    size: tuple[int, int]
    horizon: float
    focal: float
    height: float

    def row(self, distance: float) -> float:
        """Row of the ground at a distance in metres."""
        return self.horizon + self.focal * self.height / distance

    def scale(self, distance: float) -> float:
        """Pixels per metre at a distance."""
        return self.focal / distance

    def column(self, x: float, distance: float) -> float:
        """Column of a point `x` metres right of the axis."""
        return self.size[1] / 2 + self.focal * x / distance


@dataclass(frozen=True)
class Floor:
    """Coordinates of the ground below the horizon: `x`, `z` (rows, W) float32 in metres, `blur` (rows, 1) the size of a
    pixel on the ground along the view, in metres; `top` the first row."""

    x: np.ndarray
    z: np.ndarray
    blur: np.ndarray
    top: int


def floor_of(lens: Lens) -> Floor:
    """World coordinates of every ground pixel."""
    top = int(lens.horizon) + 3
    rows = np.arange(top, lens.size[0], dtype=np.float32)[:, None]
    z = lens.focal * lens.height / (rows - lens.horizon)
    x = (np.arange(lens.size[1], dtype=np.float32)[None] - lens.size[1] / 2) * z / lens.focal
    blur = z**2 / (lens.focal * lens.height)
    return Floor(x, np.repeat(z, x.shape[1], axis=1), blur, top)


def world_noise(floor: Floor, metres: float, number: int, roughness: float = 1.0) -> np.ndarray:
    """Noise of spread about 1 that lies on the ground; one tile covers `metres`. Fades where a pixel covers much of it."""
    scale = 256 / metres
    tile = noise(number, roughness)
    if metres >= 5:  # smooth over several pixels: a quarter of the points is enough
        x, z = floor.x[::4, ::4] * scale % 256, floor.z[::4, ::4] * scale % 256
        coarse = cv2.remap(tile, x, z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        found = cv2.resize(coarse, floor.x.shape[::-1], interpolation=cv2.INTER_LINEAR)
    else:
        column, row = (floor.x * scale + 65536).astype(np.int32) & 255, (floor.z * scale).astype(np.int32) & 255
        found = np.take(tile, (row << 8) + column)
    return found * np.minimum(np.maximum(metres / 90 / floor.blur, 0.12), 1)


def paving(
    floor: Floor, rng: np.random.Generator, colours: list[Colour], slab: tuple[float, float], turn: float, bond: float
) -> np.ndarray:
    """Slabs of size `slab` metres with joints; `bond` shifts every second row by that share; colours drawn per slab."""
    sine, cosine = float(np.sin(turn)), float(np.cos(turn))
    across, along = (floor.x * cosine + floor.z * sine) / slab[0], (floor.z * cosine - floor.x * sine) / slab[1]
    row = np.floor(along)
    across = across + bond * (row % 2)
    column = np.floor(across)
    table = rng.integers(0, len(colours), 1009)
    tint = rng.normal(1, 0.07, 1009).astype(np.float32)
    cell = ((column * 31 + row * 173) % 1009).astype(np.int32)
    fade = np.clip(min(slab) / (floor.blur * 1.2), 0, 1)
    palette = np.asarray(colours, np.float32)
    shown = palette[table] * tint[:, None]
    mean = shown.mean(axis=0)
    image = mean + (np.take(shown, cell, axis=0) - mean) * fade[..., None]
    edge = np.minimum(0.5 - np.abs(across - column - 0.5), 9) * slab[0]
    edge = np.minimum(edge, (0.5 - np.abs(along - row - 0.5)) * slab[1])
    width = 0.008 + 0.35 * floor.blur
    joint = np.clip(1 - edge / width, 0, 1) * np.clip(0.010 / width, 0, 1)
    return (
        image
        * (1 - 0.55 * joint)[..., None]
        * (1 + 0.05 * world_noise(floor, 9, 0) + 0.05 * world_noise(floor, 2.0, 1, 0.6))[..., None]
    )


def asphalt(floor: Floor, rng: np.random.Generator, colour: Colour) -> np.ndarray:
    """Asphalt or concrete with patches and grain."""
    image = np.empty((*floor.x.shape, 3), np.float32)
    image[:] = colour
    value = 1 + 0.06 * world_noise(floor, 14, 0, 1.3) + 0.07 * world_noise(floor, 1.7, 1, 0.4)
    crack = np.abs(world_noise(floor, 11, 2, 1.5))
    value -= 0.25 * np.clip(1 - crack * 22, 0, 1) * np.clip(0.02 / floor.blur, 0, 1)
    return image * value[..., None]


def lawn(floor: Floor, rng: np.random.Generator, colour: Colour) -> np.ndarray:
    """Grass with worn and lush places."""
    image = np.empty((*floor.x.shape, 3), np.float32)
    image[:] = colour
    lush = world_noise(floor, 16, 1, 1.2)
    blades = 0.12 * world_noise(floor, 2.2, 2, 0.35) + 0.10 * world_noise(floor, 0.9, 0, 0.3)
    image *= (1 + 0.10 * lush + blades)[..., None]
    dry = np.clip(world_noise(floor, 23, 0, 1.4) - 0.6, 0, 1)[..., None] * 0.6
    return image * (1 - dry) + np.array([134, 118, 78], np.float32) * dry


def strip(floor: Floor, turn: float, centre: float, width: float, wave: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(inside, rim) masks 0..1 of a band on the ground: `turn` 0 runs across the view, pi/2 away from us."""
    line = floor.x * float(np.sin(turn)) + floor.z * float(np.cos(turn)) - centre
    if wave:
        line = line + wave * np.sin(floor.x * 0.35 + 1.3)
    distance = width / 2 - np.abs(line)
    soft = np.maximum(floor.blur * 0.7, 0.02)
    inside = np.clip(distance / soft + 0.5, 0, 1)
    rim = np.clip(1 - np.abs(distance) / (0.07 + soft), 0, 1) * np.clip(0.14 / (0.07 + soft), 0, 1)
    return inside, rim


def dapple(floor: Floor, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Factor (rows, W) of the shadows that trees and clouds throw on the ground."""
    blob = world_noise(floor, float(rng.uniform(14, 26)), int(rng.integers(3)), 1.5) + 0.45 * world_noise(
        floor, 6, int(rng.integers(3)), 1.0
    )
    return 1 - amount * np.clip(blob * 1.6 + rng.uniform(-0.6, 0.6), 0, 1)
