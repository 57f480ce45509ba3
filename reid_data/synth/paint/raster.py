"""Surfaces -> pixels: dense splatting into a depth buffer, then attributes of the visible points only.

The camera is the one of the scenes: it looks level, so the horizon is a row of the picture and upright lines stay
upright; a point (X, Y, Z) of a person standing `distance` metres away appears at
x = f X / (distance - Z), y = f (camera height - Y) / (distance - Z) below the horizon, f in pixels.

All grids lie one after the other in flat arrays, since most surfaces are small and NumPy's cost is per call.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from reid_data.synth.paint.surface import Surface, cross, dot

STEP = 0.75  # largest distance of two splats along x or y, in supersampled pixels: below 1, so that no hole is left
MAX_PARTS = 60
BACK = -0.15  # a point this much turned away is dropped; 0 would nibble at outlines


@dataclass(frozen=True)
class View:
    """Where the camera stands: `distance` and `height` in metres, `heading` of the person in radians (0 = towards us)."""

    distance: float
    height: float
    heading: float


@dataclass(frozen=True)
class Canvas:
    """The raster: its `size` = (height, width) in supersampled pixels, `scale` in pixels per metre at the person's
    distance, and `foot` = (x, y), where the point below the person on the ground falls; `stretch` widens the picture
    sideways, as detectors' boxes of another shape do when they are resized to 1:2."""

    size: tuple[int, int]
    scale: float
    foot: tuple[float, float]
    stretch: float = 1.0


@dataclass(frozen=True)
class Buffers:
    """The visible points of a raster: `pixel` (N,) flat indices and, per point, `normal` (N, 3) in camera space, `uv` (N, 2),
    `surface` (N,) number of the surface, `height` (N,) metres above ground; `depth` is the whole (H, W) map in metres
    towards the camera (-inf: nothing)."""

    pixel: np.ndarray
    normal: np.ndarray
    uv: np.ndarray
    surface: np.ndarray
    height: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """All grids of a figure in a row: `points`, `normal` (M, 3) in camera space; `shapes` (S, 2) and `starts` (S,) of the grids."""

    points: np.ndarray
    normal: np.ndarray
    shapes: np.ndarray
    starts: np.ndarray


def gather(surfaces: list[Surface], turn: np.ndarray) -> Mesh:
    """The surfaces as one mesh, turned by the matrix `turn` (3, 3)."""
    points = np.concatenate([surface.points.reshape(-1, 3) for surface in surfaces]).astype(np.float32)
    points = np.stack([dot(points, column) for column in turn.T], axis=1)
    shapes = tuple(surface.points.shape[:2] for surface in surfaces)
    starts, (before, after, above, below), grid = _neighbours(shapes)
    normal = cross(
        np.take(points, after, axis=0) - np.take(points, before, axis=0),
        np.take(points, below, axis=0) - np.take(points, above, axis=0),
    )
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-12)[:, None]
    centre = (
        np.add.reduceat(points, starts, axis=0) / np.add.reduceat(np.ones(len(points), np.float32), starts)[:, None]
    )
    outward = np.add.reduceat(np.einsum("ij,ij->i", normal, points - centre[grid]), starts)
    normal *= np.where(outward < 0, -1, 1).astype(np.float32)[grid][:, None]
    return Mesh(points, normal, np.array(shapes), starts)


@lru_cache(maxsize=512)
def _neighbours(shapes: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, tuple[np.ndarray, ...], np.ndarray]:
    """Start of each grid, for every point the indices of its neighbours (back, on, up, down; closed rings), and its grid."""
    sizes = np.array([rings * around for rings, around in shapes])
    starts = np.cumsum(sizes) - sizes
    found: list[list[np.ndarray]] = [[], [], [], []]
    for start, (rings, around) in zip(starts, shapes):
        index = start + np.arange(rings * around).reshape(rings, around)
        before, after = np.roll(index, 1, axis=1), np.roll(index, -1, axis=1)
        before[:, 0], after[:, -1] = index[:, -2], index[:, 1]
        above, below = np.concatenate([index[:1], index[:-1]]), np.concatenate([index[1:], index[-1:]])
        for column, part in zip(found, (before, after, above, below)):
            column.append(part.ravel())
    return starts, tuple(np.concatenate(column) for column in found), np.repeat(np.arange(len(shapes)), sizes)


def project(points: np.ndarray, view: View, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Pixel x and y of points (..., 3) in camera space."""
    shrink = view.distance / (view.distance - points[..., 2])
    x = canvas.foot[0] + canvas.scale * canvas.stretch * points[..., 0] * shrink
    y = canvas.foot[1] + canvas.scale * ((view.height - points[..., 1]) * shrink - view.height)
    return x, y


def splat(surfaces: list[Surface], mesh: Mesh, view: View, canvas: Canvas) -> Buffers:
    """Find what is visible: every surface is refined until its points lie closer than a pixel, the nearest wins."""
    points, normal = mesh.points, mesh.normal
    seen = np.empty((len(points), 4), np.float32)
    seen[:, 0], seen[:, 1] = project(points, view, canvas)
    seen[:, 2] = points[:, 2] + np.repeat([surface.over for surface in surfaces], mesh.shapes.prod(axis=1))
    seen[:, 3] = (
        normal[:, 0] * -points[:, 0]
        + normal[:, 1] * (view.height - points[:, 1])
        + normal[:, 2] * (view.distance - points[:, 2])
    )
    parts = []
    for number, (surface, start, (rings, around)) in enumerate(zip(surfaces, mesh.starts, mesh.shapes)):
        part = _refine(number, surface, seen[start : start + rings * around].reshape(rings, around, 4), canvas)
        if part is not None:
            parts.append(part)
    if not parts:
        none = np.zeros(0, np.int64)
        return Buffers(
            none,
            np.zeros((0, 3), np.float32),
            np.zeros((0, 2), np.float32),
            none,
            none,
            np.full(canvas.size, -np.inf, np.float32),
        )
    pixel, near, number_of, u, v = (np.concatenate(column) for column in zip(*parts))
    depth = np.full(canvas.size[0] * canvas.size[1], -np.inf, np.float32)
    np.maximum.at(depth, pixel, near)
    owner = np.full(depth.size, -1, np.int32)
    first = np.flatnonzero(near >= np.take(depth, pixel)).astype(np.int32)
    owner[pixel[first]] = first
    shown = np.flatnonzero(owner >= 0)
    winner = owner[shown]
    surface_of, uv = number_of[winner], np.stack([u[winner], v[winner]], axis=1)
    values = _bilinear(np.concatenate([normal, points[:, 1:2]], axis=1), mesh, surface_of, uv)
    bent = values[:, :3] / np.maximum(np.sqrt(np.einsum("ij,ij->i", values[:, :3], values[:, :3])), 1e-6)[:, None]
    return Buffers(shown, bent, uv, surface_of, values[:, 3], depth.reshape(canvas.size))


def _refine(number: int, surface: Surface, grid: np.ndarray, canvas: Canvas) -> tuple[np.ndarray, ...] | None:
    """Points closer than a pixel: flat pixel index, nearness, surface number, u, v of those inside and facing us.

    `grid` (R, U, 4): pixel x, y, nearness, how much a point faces the camera.
    """
    rings, around = grid.shape[:2]
    first, arc = _facing_arc(surface, grid[..., 3])
    if arc < 2:
        return None
    if arc < around:
        grid = np.take(grid, np.arange(first, first + arc) % (around - 1), axis=1)
    low_v, part_v = _stops(np.abs(grid[1:, :, :2] - grid[:-1, :, :2]).max(axis=(1, 2)))
    low_u, part_u = _stops(np.abs(grid[:, 1:, :2] - grid[:, :-1, :2]).max(axis=(0, 2)))
    rows = grid[low_v] + part_v[:, None, None] * (grid[low_v + 1] - grid[low_v])
    left = np.take(rows, low_u, axis=1)
    fine = left + part_u[:, None] * (np.take(rows, low_u + 1, axis=1) - left)
    least = (-0.499, -0.499, -1e9, -1e9 if surface.open_back else BACK)
    keep = cv2.inRange(fine, least, (canvas.size[1] - 0.501, canvas.size[0] - 0.501, 1e9, 1e9)).view(bool)
    u = (low_u + part_u + np.float32(first)) / np.float32(around - 1) % 1
    v = (low_v + part_v) / np.float32(rings - 1)
    if surface.material.cutout is not None:
        keep &= _lookup(surface.material.cutout, u, v)
    chosen = np.flatnonzero(keep)
    if not chosen.size:
        return None
    inside = np.take(fine.reshape(-1, 4), chosen, axis=0)
    column, row = (inside[:, 0] + 0.5).astype(np.int32), (inside[:, 1] + 0.5).astype(np.int32)
    at_row = chosen // fine.shape[1]
    owner = np.full(chosen.size, number, np.int32)
    return row * np.int32(canvas.size[1]) + column, inside[:, 2], owner, u[chosen - at_row * fine.shape[1]], v[at_row]


def _facing_arc(surface: Surface, facing: np.ndarray) -> tuple[int, int]:
    """First column and number of columns of a closed grid that can be seen; the whole grid if its inside shows too."""
    around = facing.shape[1]
    if surface.open_back:
        return 0, around
    hidden = np.flatnonzero(facing[:, :-1].max(axis=0) <= BACK)
    if hidden.size < 4:
        return 0, around
    gaps = np.diff(hidden, append=hidden[0] + around - 1)
    widest = int(gaps.argmax())
    return int(hidden[widest]), min(int(gaps[widest]) + 1, around)


def _stops(longest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where to put points between the grid's rings or columns: every gap is cut by its own `longest` step (G,) pixels.

    Returns the gap (P,) int64 and the place within it (P,) float32 in 0..1.
    """
    counts = np.minimum(np.maximum(np.ceil(longest / STEP), 1), MAX_PARTS).astype(np.int64)
    low = np.repeat(np.arange(counts.size + 1), np.append(counts, 1))
    part = (np.arange(low.size) - (np.cumsum(counts) - counts).take(low, mode="clip")) / counts.take(low, mode="clip")
    low[-1], part[-1] = counts.size - 1, 1
    return low, part.astype(np.float32)


def _lookup(mask: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    rows = np.minimum((v * height).astype(np.int64), height - 1)
    columns = np.minimum((u * width).astype(np.int64), width - 1)
    return mask[np.ix_(rows, columns)]


def _bilinear(values: np.ndarray, mesh: Mesh, surface: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values (N, C) between the grid points of a flat (M, C) array, at `uv` (N, 2) of the points' surfaces (N,)."""
    rings, around = mesh.shapes[:, 0][surface], mesh.shapes[:, 1][surface]
    x, y = uv[:, 0] * (around - 1), uv[:, 1] * (rings - 1)
    column, row = np.minimum(x.astype(np.int64), around - 2), np.minimum(y.astype(np.int64), rings - 2)
    at = mesh.starts[surface] + row * around + column
    right, down = (x - column).astype(np.float32)[:, None], (y - row).astype(np.float32)[:, None]
    top, bottom = np.take(values, at, axis=0), np.take(values, at + around, axis=0)
    top += right * (np.take(values, at + 1, axis=0) - top)
    bottom += right * (np.take(values, at + around + 1, axis=0) - bottom)
    return top + down * (bottom - top)


def texels(surfaces: list[Surface], seen: Buffers) -> np.ndarray:
    """Texture colours (N, 3) of the visible points, nearest texel (the raster is finer than the picture)."""
    textures = [surface.material.texture for surface in surfaces]
    sizes = np.array([texture.shape[:2] for texture in textures])
    starts = np.cumsum(sizes.prod(axis=1)) - sizes.prod(axis=1)
    atlas = np.concatenate([texture.reshape(-1, 3) for texture in textures])
    height, width = sizes[:, 0][seen.surface], sizes[:, 1][seen.surface]
    row = np.minimum((seen.uv[:, 1] * height).astype(np.int64), height - 1)
    column = np.minimum((seen.uv[:, 0] * width).astype(np.int64), width - 1)
    return np.take(atlas, starts[seen.surface] + row * width + column, axis=0)
