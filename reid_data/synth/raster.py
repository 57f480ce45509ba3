"""Surfaces -> pixels: dense splatting into a depth buffer, then deferred shading of the visible points only.

The camera is the one of the scenes: it looks level, so the horizon is a row of the picture and upright lines stay
upright; a point (X, Y, Z) of a person standing `distance` metres away appears at
x = f X / (distance - Z), y = f (camera height - Y) / (distance - Z) below the horizon, f in pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.synth.surface import Material, Surface

STEP = 0.75  # largest distance of two splats, in supersampled pixels: below 1, so that no hole is left
MAX_PARTS = 40


@dataclass(frozen=True)
class View:
    """Where the camera stands: `distance` and `height` in metres, `heading` of the person in radians (0 = towards us)."""

    distance: float
    height: float
    heading: float


@dataclass(frozen=True)
class Canvas:
    """The raster: its `size` = (height, width) in supersampled pixels, `scale` in pixels per metre at the person's
    distance, and `foot` = (x, y), where the point below the person on the ground falls."""

    size: tuple[int, int]
    scale: float
    foot: tuple[float, float]


@dataclass
class Buffers:
    """The visible points of a raster; `pixel` (N,) flat indices, the rest per point: `normal` (N, 3) in camera space,
    `uv` (N, 2), `surface` (N,) index of the surface, `height` (N,) metres above ground, `depth` the whole (H, W) map
    in metres towards the camera (-inf: nothing)."""

    pixel: np.ndarray
    normal: np.ndarray
    uv: np.ndarray
    surface: np.ndarray
    height: np.ndarray
    depth: np.ndarray


def project(points: np.ndarray, view: View, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Pixel x and y of world points (..., 3) (already turned by the heading)."""
    shrink = view.distance / (view.distance - points[..., 2])
    x = canvas.foot[0] + canvas.scale * points[..., 0] * shrink
    y = canvas.foot[1] + canvas.scale * ((view.height - points[..., 1]) * shrink - view.height)
    return x, y


def splat(surfaces: list[Surface], view: View, canvas: Canvas) -> Buffers:
    """Find what is visible: every surface is refined until its points lie closer than a pixel, the nearest wins."""
    grids = [_grid(surface, view, canvas) for surface in surfaces]
    parts = [
        part
        for number in range(len(surfaces))
        if (part := _refine(number, surfaces[number], grids[number], canvas)) is not None
    ]
    pixel, near, surface, u, v = (np.concatenate(column) for column in zip(*parts))
    depth = np.full(canvas.size[0] * canvas.size[1], -np.inf, np.float32)
    np.maximum.at(depth, pixel, near)
    owner = np.full(depth.size, -1, np.int32)
    seen = np.flatnonzero(near >= depth[pixel]).astype(np.int32)
    owner[pixel[seen]] = seen
    shown = np.flatnonzero(owner >= 0)
    winner = owner[shown]
    surface, uv = surface[winner], np.stack([u[winner], v[winner]], axis=1)
    values = np.empty((shown.size, 4), np.float32)
    for number, grid in enumerate(grids):
        mine = np.flatnonzero(surface == number)
        if mine.size:
            values[mine] = _at(grid[..., 3:7], uv[mine])
    normal = values[:, :3]
    normal = normal / np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-6)[:, None]
    return Buffers(shown, normal, uv, surface, values[:, 3], depth.reshape(canvas.size))


def _grid(surface: Surface, view: View, canvas: Canvas) -> np.ndarray:
    """Per grid point (R, U, 8): pixel x, y, nearness, normal (3), height above ground, how much it faces the camera."""
    points = surface.points
    grid = np.empty((*points.shape[:2], 8), np.float32)
    grid[..., 0], grid[..., 1] = project(points, view, canvas)
    grid[..., 2] = points[..., 2]
    normal = surface_normals(points)
    grid[..., 3:6] = normal
    grid[..., 6] = points[..., 1]
    grid[..., 7] = (
        normal[..., 0] * -points[..., 0]
        + normal[..., 1] * (view.height - points[..., 1])
        + normal[..., 2] * (view.distance - points[..., 2])
    )
    return grid


def _refine(number: int, surface: Surface, grid: np.ndarray, canvas: Canvas) -> tuple[np.ndarray, ...] | None:
    """Points closer than a pixel: flat pixel index, nearness, surface number, u, v of those inside and facing us."""
    rings, around = grid.shape[:2]
    across, along = _parts(np.diff(grid[..., :2], axis=1)), _parts(np.diff(grid[..., :2], axis=0))
    coarse = np.ascontiguousarray(grid[..., [0, 1, 2, 7]])
    fine = cv2.resize(coarse, (around * across, rings * along), interpolation=cv2.INTER_LINEAR)
    top, left = (along - 1) // 2, (across - 1) // 2
    fine = fine[top : fine.shape[0] - top, left : fine.shape[1] - left]
    column, row = np.rint(fine[..., 0]).astype(np.int32), np.rint(fine[..., 1]).astype(np.int32)
    keep = (column >= 0) & (column < canvas.size[1]) & (row >= 0) & (row < canvas.size[0])
    if not surface.open_back:
        keep &= fine[..., 3] > -0.15
    u = _places(fine.shape[1], left, across, around)
    v = _places(fine.shape[0], top, along, rings)
    if surface.material.cutout is not None:
        keep &= _lookup(surface.material.cutout, u, v)
    chosen = np.flatnonzero(keep)
    if not chosen.size:
        return None
    pixel = (row * canvas.size[1] + column).ravel()[chosen]
    at_row, at_column = np.divmod(chosen.astype(np.int32), np.int32(fine.shape[1]))
    owner = np.full(chosen.size, number, np.int32)
    return pixel, fine[..., 2].ravel()[chosen], owner, u[at_column], v[at_row]


def _parts(steps: np.ndarray) -> int:
    """Into how many parts a cell is cut, from the (dx, dy) between neighbours (R, U, 2)."""
    longest = float(np.sqrt(np.einsum("rui,rui->ru", steps, steps).max()))
    return int(min(max(np.ceil(longest / STEP), 1), MAX_PARTS))


def _places(count: int, first: int, parts: int, length: int) -> np.ndarray:
    """Where in 0..1 the refined points lie (cv2.resize puts point i at (i + 0.5) / parts - 0.5, clamped at the ends)."""
    return (np.clip((np.arange(first, first + count) + 0.5) / parts - 0.5, 0, length - 1) / (length - 1)).astype(
        np.float32
    )


def _at(grid: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values (N, C) of a grid (R, U, C) at `uv` (N, 2) in 0..1."""
    rings, around = grid.shape[:2]
    return _remap(np.ascontiguousarray(grid), uv[:, 0] * (around - 1), uv[:, 1] * (rings - 1), cv2.BORDER_REPLICATE)


def _lookup(mask: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    rows, columns = (
        np.minimum((v * height).astype(np.int64), height - 1),
        np.minimum((u * width).astype(np.int64), width - 1),
    )
    return mask[np.ix_(rows, columns)]


def surface_normals(points: np.ndarray) -> np.ndarray:
    """Outward normals (R, U, 3) of a closed grid (R, U, 3): across the rings and around them."""
    down = np.empty_like(points)
    down[1:-1] = points[2:] - points[:-2]
    down[0], down[-1] = points[1] - points[0], points[-1] - points[-2]
    around = np.empty_like(points)
    around[:, 1:-1] = points[:, 2:] - points[:, :-2]
    around[:, 0] = around[:, -1] = points[:, 1] - points[:, -2]
    normal = np.cross(around, down)
    normal /= np.maximum(np.sqrt(np.einsum("rui,rui->ru", normal, normal)), 1e-9)[..., None]
    outward = points - points[:, :-1].mean(axis=1, keepdims=True)
    return normal if np.sum(normal * outward) >= 0 else -normal


def sample_texture(material: Material, uv: np.ndarray) -> np.ndarray:
    """Texture colours (N, 3) at `uv` (N, 2), bilinear."""
    height, width = material.texture.shape[:2]
    x = (uv[:, 0] * width - 0.5).reshape(1, -1)
    y = (uv[:, 1] * height - 0.5).reshape(1, -1)
    return _remap(material.texture, x, y, cv2.BORDER_REPLICATE)


def _remap(texture: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> np.ndarray:
    """cv2.remap over flat lists: it takes at most 32,766 columns, so long lists are folded."""
    count = x.size
    width = 4096
    rows = -(-count // width)
    padded = np.zeros((2, rows * width), np.float32)
    padded[0, :count], padded[1, :count] = x.ravel(), y.ravel()
    padded = padded.reshape(2, rows, width)
    found = cv2.remap(texture, padded[0], padded[1], cv2.INTER_LINEAR, borderMode=border)
    return found.reshape(rows * width, -1)[:count]


def sample_tiled(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values (N, C) of a tileable texture at (u, v) in tiles."""
    height, width = texture.shape[:2]
    return _remap(texture, (u % 1) * width, (v % 1) * height, cv2.BORDER_WRAP)
