"""Cloth: colours, woven and printed patterns, folds. Textures are (h, w, 3) float32 linear RGB over (v, u).

v runs down a garment, u around it: 0 and 1 the back, 0.25 the left, 0.5 the front, 0.75 the right.
"""

from functools import lru_cache

import cv2
import numpy as np

TORSO = (128, 160)
LEG = (96, 48)

COLOURS = {
    "black": (26, 26, 29), "charcoal": (54, 55, 60), "grey": (126, 127, 130), "silver": (176, 178, 180),
    "white": (232, 231, 227), "cream": (222, 211, 186), "beige": (187, 166, 130), "brown": (98, 68, 46),
    "navy": (32, 38, 70), "blue": (44, 84, 156), "sky": (122, 168, 214), "teal": (36, 108, 112),
    "green": (44, 104, 62), "mint": (148, 206, 178), "olive": (98, 96, 52), "lime": (152, 180, 70),
    "yellow": (216, 188, 76), "orange": (206, 112, 50), "red": (178, 36, 44), "wine": (106, 24, 44),
    "pink": (224, 132, 160), "coral": (228, 104, 98), "magenta": (164, 44, 108), "purple": (92, 58, 124),
    "lilac": (174, 156, 208), "denim": (66, 86, 122), "pale denim": (124, 146, 176), "khaki": (146, 128, 90),
}  # fmt: skip


def linear(colour: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """sRGB 0..255 -> linear light 0..1, float32 (plain squares: fast, and close enough)."""
    return (np.asarray(colour, np.float32) / 255) ** 2


def near_colour(rng: np.random.Generator, name: str, amount: float = 12.0) -> tuple[int, int, int]:
    """A colour near the named one: the same shift in all channels plus a little of its own in each."""
    shift = rng.normal(0, amount) + rng.normal(0, amount * 0.5, 3)
    red, green, blue = np.clip(np.asarray(COLOURS[name]) + shift, 14, 242).astype(int)
    return int(red), int(green), int(blue)


def grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of the texel centres: (1, w) and (h, 1) float32."""
    height, width = size
    u = ((np.arange(width) + 0.5) / width).astype(np.float32)[None]
    v = ((np.arange(height) + 0.5) / height).astype(np.float32)[:, None]
    return u, v


def plain(
    size: tuple[int, int], colour: tuple[int, int, int], rng: np.random.Generator, heather: float = 0.015
) -> np.ndarray:
    """One colour with the fine unevenness of cloth."""
    base = np.empty((*size, 3), np.float32)
    base[:] = linear(colour)
    fine = rng.normal(0, heather, size).astype(np.float32)
    coarse = cv2.resize(rng.normal(0, 0.05, (8, 6)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return base * np.clip(1 + fine + coarse, 0.5, 1.6)[..., None]


def mix(texture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Blend `colour` into `texture` where `mask` (h, w) in [0, 1] says."""
    weight = np.broadcast_to(np.clip(mask, 0, 1), texture.shape[:2])[..., None]
    texture += weight * (linear(colour) - texture)


def pattern(
    kind: str,
    size: tuple[int, int],
    colours: list[tuple[int, int, int]],
    rng: np.random.Generator,
    *,
    coarse: float = 1.0,
) -> np.ndarray:
    """A cloth of a `kind`: plain, heather, hoops, pinstripes, checks, dots, floral, camouflage, block, fade, denim."""
    texture = plain(size, colours[0], rng, 0.07 if kind in ("heather", "denim") else 0.015)
    u, v = grid(size)
    if kind == "hoops":
        count = rng.uniform(5, 13) / coarse
        mix(texture, _band(v * count + u * 0, rng.uniform(0.3, 0.6)), colours[1])
    elif kind == "pinstripes":
        count = int(rng.integers(10, 26))
        mix(texture, 0.85 * _band(u * count + v * 0, rng.uniform(0.2, 0.5)), colours[1])
    elif kind == "checks":
        count = rng.uniform(5, 10)
        mix(texture, 0.55 * _band(v * count / coarse + u * 0, 0.5), colours[1])
        mix(texture, 0.55 * _band(u * int(count * 2) + v * 0, 0.5), colours[1])
        mix(texture, 0.7 * _band(v * count / coarse + 0.3 + u * 0, 0.12), colours[2])
    elif kind == "dots":
        count = rng.uniform(7, 13)
        row = np.floor(v * count)
        across = (u * int(count * 2) + 0.5 * (row % 2)) % 1 - 0.5
        mix(texture, 1 - 8 * (np.hypot(across, (v * count) % 1 - 0.5) - rng.uniform(0.18, 0.3)), colours[1])
    elif kind in ("floral", "camouflage"):
        blob = 0.05 if kind == "floral" else 0.11
        for colour in colours[1:]:
            mix(texture, _blobs(size, blob * coarse, rng, 0.62 if kind == "floral" else 0.55), colour)
    elif kind == "block":
        edge = rng.uniform(0.22, 0.6)
        mix(texture, (edge - v) * 60 + u * 0, colours[1])
        mix(texture, 1.5 - np.abs(v - edge) * 60 + u * 0, colours[2])
    elif kind == "fade":
        mix(texture, np.clip(v * 1.3 - 0.2, 0, 1) + u * 0, colours[1])
    elif kind == "denim":
        worn = np.exp(-(((v - 0.35) / 0.25) ** 2)) * np.exp(-(((u - 0.5) / 0.13) ** 2))
        mix(texture, 0.45 * worn, tuple(min(255, int(part * 1.5 + 20)) for part in colours[0]))  # type: ignore[arg-type]
    return texture


def _band(position: np.ndarray, share: float) -> np.ndarray:
    """1 on the first `share` of every unit of `position`, with soft edges."""
    distance = np.abs(position % 1 - 0.5)
    return np.clip((share / 2 - distance) * 14 + 0.5, 0, 1)


def _blobs(size: tuple[int, int], blob: float, rng: np.random.Generator, share: float) -> np.ndarray:
    cells = (max(3, int(1 / blob)), max(3, int(1.4 / blob)))
    noise = cv2.resize(rng.normal(0, 1, cells).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    edge = np.quantile(noise, share)
    return np.clip((noise - edge) * 6 + 0.5, 0, 1)


def add_logo(texture: np.ndarray, colour: tuple[int, int, int], rng: np.random.Generator, *, at: float = 0.5) -> None:
    """Print something on the chest (`at` 0.5) or the back (0.0): letters, a ring, a picture, a number, a small badge."""
    height, width = texture.shape[:2]
    kind = str(rng.choice(["letters", "ring", "picture", "number", "badge", "letters", "picture"]))
    patch = np.zeros((64, 64), np.float32)
    if kind == "letters":
        for row in range(int(rng.integers(1, 4))):
            y = 20 + 14 * row
            for x in range(6, 58, int(rng.integers(7, 10))):
                cv2.rectangle(patch, (x, y), (x + int(rng.integers(2, 6)), y + 8), 1.0, -1)
                cv2.line(patch, (x, y + 4), (x + 5, y + int(rng.integers(0, 9))), 0.0, 2)
    elif kind == "ring":
        cv2.circle(patch, (32, 32), int(rng.integers(16, 26)), 1.0, int(rng.integers(4, 9)), cv2.LINE_AA)
        cv2.line(patch, (22, 32), (42, 32), 1.0, 5, cv2.LINE_AA)
    elif kind == "picture":
        noise = cv2.resize(rng.normal(0, 1, (7, 7)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
        across = np.hypot(*np.mgrid[-1:1:64j, -1:1:64j])
        patch[:] = np.clip((noise - across + 0.5) * 4, 0, 1)
    elif kind == "number":
        corners = [(8, 10), (24, 10), (24, 31), (24, 53), (8, 53), (8, 31)]
        for left in (0, 32):
            stroke = [corners[at] for at in rng.permutation(6)[: int(rng.integers(4, 6))]]
            cv2.polylines(patch, [np.add(stroke, [left, 0])], False, 1.0, 7)
    else:
        cv2.circle(patch, (46, 18), 7, 1.0, -1, cv2.LINE_AA)
    size = int(width * rng.uniform(0.17, 0.26))
    patch = cv2.resize(patch, (size, int(size * rng.uniform(0.8, 1.3))), interpolation=cv2.INTER_AREA)
    top = int(height * rng.uniform(0.2, 0.3))
    columns = (np.arange(size) + int(at * width) - size // 2) % width
    view = texture[top : top + patch.shape[0], columns]
    texture[top : top + patch.shape[0], columns] = view + 0.92 * patch[: view.shape[0], :, None] * (
        linear(colour) - view
    )


@lru_cache(maxsize=1)
def fold_maps() -> np.ndarray:
    """Eight tileable fold maps (8, 128, 128, 3) float32: slope along u, slope along v, hollow (0..1, dark creases).

    Filtered noise, ridged: 0-2 mostly upright folds, 3-5 slanting and level ones, 6 mixed and fine, 7 hair strands.
    """
    rng = np.random.default_rng(20240229)
    shapes = [(2.0, 0.8, 0.15), (1.7, 1.0, -0.3), (2.4, 0.7, 0.1), (0.8, 1.6, 0.5), (0.9, 1.5, -0.5), (0.8, 1.8, 0.2)]
    return np.stack([_fold_map(rng, *shape) for shape in [*shapes, (1.5, 1.5, 0.0), (9.0, 0.5, 0.0)]])


def _fold_map(rng: np.random.Generator, along_u: float, along_v: float, slant: float) -> np.ndarray:
    size = 128
    fu, fv = np.fft.fftfreq(size)[None] * size, np.fft.fftfreq(size)[:, None] * size
    across_u, across_v = fu * np.cos(slant) + fv * np.sin(slant), fv * np.cos(slant) - fu * np.sin(slant)

    def noise(across: float, down: float) -> np.ndarray:
        band = np.hypot(across_u / across, across_v / down)
        made = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (size, size))) * np.exp(-((band - 1) ** 2) / 0.3)).real
        return made / made.std()

    total = np.zeros((size, size))
    for octave in (1.0, 1.8, 3.2):
        ridge = 1 - np.abs(noise(along_u * octave * 1.3, along_v * octave * 1.3))
        total += ridge * np.clip(0.5 + 0.6 * noise(1.3, 1.3), 0, 2) / octave**1.5
    slope_u = (np.roll(total, -1, 1) - np.roll(total, 1, 1)) * 5
    slope_v = (np.roll(total, -1, 0) - np.roll(total, 1, 0)) * 5
    hollow = np.clip(-total, 0, 2.0) / 2.0
    return np.stack([slope_u, slope_v, hollow], axis=-1).astype(np.float32)
