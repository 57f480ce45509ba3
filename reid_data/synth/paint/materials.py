"""The materials of one appearance: every texture it needs, painted once and kept for its next pictures."""

from functools import lru_cache

import cv2
import numpy as np

from reid_data.synth.paint.surface import Material
from reid_data.synth.person.appearance import Appearance, Colour, Garment
from reid_data.synth.person.cloth import LEG, TORSO, add_logo, grid, linear, mix, pattern, plain

HEAD = (64, 96)


def dark(colour: Colour, share: float) -> Colour:
    """`colour` with its sRGB values times `share`."""
    return tuple(int(np.clip(part * share, 4, 250)) for part in colour)  # type: ignore[return-value]


@lru_cache(maxsize=256)
def materials(person: Appearance) -> dict[str, Material]:
    """Materials by the name of the part that wears them."""
    rng = np.random.default_rng([person.seed, 5])
    skin = plain((32, 32), person.skin, rng, 0.02)
    bag = plain((48, 48), person.bag_colour, rng, 0.04)
    _bag_details(bag, person.bag_colour)
    return {
        "skin": Material(skin, folds=0.10, fold_map=6, shine=0.10),
        "head": Material(_face(person, rng), shine=0.12),
        "hair": Material(
            _hair(person, rng), folds=0.25, fold_map=7, fold_scale=(2, 1), shine=0.12, cutout=_hairline(person)
        ),
        "mane": Material(
            _hair(person, rng), folds=0.25, fold_map=7, fold_scale=(2, 1), shine=0.12, cutout=_mane_cutout()
        ),
        "lock": Material(_hair(person, rng), folds=0.25, fold_map=7, shine=0.12),
        "hat": Material(plain((16, 48), person.hat_colour, rng, 0.04), folds=0.15, fold_map=6),
        "upper": _torso(person),
        "sleeve": _sleeve(person),
        "lower": _lower(person.lower),
        "pelvis": Material(
            pattern(person.lower.pattern, TORSO, list(person.lower.colours), np.random.default_rng(person.lower.seed)),
            0.3,
            4,
        ),
        "shoe": Material(_shoe(person, rng), folds=0.1, fold_map=6, shine=0.2),
        "sock": Material(plain((8, 8), person.socks or person.skin, rng), folds=0.1),
        "bag": Material(bag, folds=0.35, fold_map=6, shine=0.08),
        "strap": Material(plain((8, 8), dark(person.bag_colour, 0.8), rng)),
        "tyre": Material(plain((8, 8), (24, 24, 26), rng)),
        "frame": Material(plain((8, 8), person.bicycle_colour, rng), shine=0.5),
        "metal": Material(plain((8, 8), (140, 142, 146), rng), shine=0.5),
    }


def _torso(person: Appearance) -> Material:
    garment = person.upper
    rng = np.random.default_rng(garment.seed)
    texture = pattern(garment.pattern, TORSO, list(garment.colours), rng)
    u, v = grid(TORSO)
    if garment.logo is not None:
        add_logo(texture, garment.logo, rng)
        if garment.logo_back:
            add_logo(texture, garment.logo, rng, at=0.0)
    if garment.open_front is not None:
        mix(texture, (rng.uniform(0.03, 0.06) + 0.03 * v - np.abs(u - 0.5)) * 120, garment.open_front)
        mix(texture, 0.5 * (1 - np.abs(np.abs(u - 0.5) - 0.075) * 90) + v * 0, (10, 10, 10))
    elif garment.kind in ("shirt", "polo", "jacket", "hoodie", "coat"):
        end = 0.3 if garment.kind == "polo" else 1.0
        mix(texture, 0.35 * (1 - np.abs(u - 0.5) * 140) * (v < end), (12, 12, 12))
    if garment.collar is not None or garment.kind in ("shirt", "polo"):
        mix(texture, (0.085 - v) * 60 + u * 0, garment.collar or dark(garment.colours[0], 1.12))
    if garment.kind in ("tee", "vest", "dress", "blouse"):
        depth = 0.045 + rng.uniform(0.0, 0.05)
        mix(texture, (depth * np.exp(-(((u - 0.5) / 0.09) ** 2)) + 0.02 - v) * 90, person.skin)
    mix(texture, 0.25 * (v > 0.975) + u * 0, (8, 8, 8))
    _straps(texture, person.bag, dark(person.bag_colour, 0.85), u, v)
    return Material(
        texture, folds=0.36 if garment.kind != "vest" else 0.22, fold_map=int(rng.integers(0, 7)), fold_scale=(1.0, 1.0)
    )


def _straps(texture: np.ndarray, bag: str, colour: Colour, u: np.ndarray, v: np.ndarray) -> None:
    if bag == "backpack":
        front = np.abs(np.abs(u - 0.5) - 0.10 - 0.05 * v)
        mix(texture, (0.016 - front) * 120 * (v < 0.48), colour)
    elif bag == "shoulder":
        for start, end in ((0.40, 0.72), (1.06, 0.72)):
            line = start + (end - start) * v / 0.72
            mix(texture, (0.014 - np.abs((u - line + 0.5) % 1 - 0.5)) * 120 * (v < 0.8), colour)


def _sleeve(person: Appearance) -> Material:
    garment = person.upper
    rng = np.random.default_rng([garment.seed, 2])
    colours = list(garment.colours)
    kind = garment.pattern
    if kind == "block":
        kind, colours = "plain", [garment.colours[1], *garment.colours]
    texture = pattern(kind, (64, 48), colours, rng, coarse=1.6)
    _, v = grid((64, 48))
    mix(texture, 0.3 * (v > 0.95), (8, 8, 8))
    return Material(texture, folds=0.38, fold_map=int(rng.integers(3, 7)), fold_scale=(1.0, 0.9))


def _lower(garment: Garment) -> Material:
    rng = np.random.default_rng([garment.seed, 3])
    skirt = garment.kind == "skirt"
    texture = pattern(
        garment.pattern, TORSO if skirt else LEG, list(garment.colours), rng, coarse=1.0 if skirt else 0.7
    )
    u, v = grid(texture.shape[:2])
    if garment.logo is not None:
        mix(texture, (0.035 - np.minimum(np.abs(u - 0.25), np.abs(u - 0.75))) * 80 + v * 0, garment.logo)
    if not skirt:
        mix(texture, 0.25 * (1 - np.abs(np.minimum(np.abs(u - 0.25), np.abs(u - 0.75))) * 60) + v * 0, (8, 8, 8))
    mix(texture, 0.25 * (v > 0.97) + u * 0, (8, 8, 8))
    strength = {"leggings": 0.12, "skirt": 0.4, "jeans": 0.30}.get(garment.kind, 0.34)
    number = int(rng.integers(0, 3)) if skirt else int(rng.integers(3, 7))
    return Material(texture, folds=strength, fold_map=number, fold_scale=(2.0, 0.5) if skirt else (1.0, 1.3))


def _face(person: Appearance, rng: np.random.Generator) -> np.ndarray:
    texture = plain(HEAD, person.skin, rng, 0.015)
    u, v = grid(HEAD)
    across = np.abs(u - 0.5)

    def spot(at_u: float, at_v: float, wide: float, high: float) -> np.ndarray:
        return np.exp(-(((across - at_u) / wide) ** 2) - ((v - at_v) / high) ** 2)

    flush = tuple(int(part) for part in np.clip(np.asarray(person.skin) * [1.0, 0.80, 0.78], 0, 255))
    mix(texture, 0.35 * spot(0.10, 0.62, 0.06, 0.08), flush)  # type: ignore[arg-type]
    mix(texture, 0.35 * spot(0.07, 0.47, 0.055, 0.05), dark(person.skin, 0.62))
    mix(texture, 0.85 * spot(0.068, 0.485, 0.026, 0.022), (34, 26, 24))
    mix(texture, 0.75 * spot(0.072, 0.415, 0.042, 0.016), dark(person.hair_colour, 0.9))
    mix(texture, 0.45 * spot(0.0, 0.645, 0.035, 0.022), dark(person.skin, 0.55))
    mix(
        texture,
        0.7 * spot(0.0, 0.735, 0.05, 0.02),
        (150, 66, 62) if person.body.female > 0.3 else dark(person.skin, 0.55),
    )
    mix(texture, 0.5 * spot(0.25, 0.55, 0.035, 0.10), dark(person.skin, 0.7))
    if person.beard:
        mix(texture, 0.65 * np.clip((v - 0.66) * 12, 0, 1) * np.clip((0.24 - across) * 14, 0, 1), person.hair_colour)
    if person.glasses:
        ring = np.abs(np.hypot((across - 0.072) / 0.052, (v - 0.485) / 0.055) - 1)
        mix(texture, 0.8 * (1 - ring * 3), (30, 28, 30))
        mix(texture, 0.6 * (1 - np.abs(v - 0.47) * 70) * (across > 0.10) * (across < 0.27), (30, 28, 30))
    return texture


def _hair(person: Appearance, rng: np.random.Generator) -> np.ndarray:
    strands = cv2.GaussianBlur(rng.normal(0, 1, HEAD).astype(np.float32), (0, 0), sigmaX=0.7, sigmaY=6)
    base = linear(person.hair_colour)[None, None] * np.ones((*HEAD, 1), np.float32)
    return (base * np.clip(1 + 0.9 * strands[..., None], 0.35, 2.2)).astype(np.float32)


def _hairline(person: Appearance) -> np.ndarray:
    """Where the hair on the head is: down to the hairline, lower at the sides, lowest at the back."""
    u, v = grid(HEAD)
    rng = np.random.default_rng([person.seed, 8])
    across = np.abs(u - 0.5)
    brow = {"crop": 0.22, "short": 0.27, "bald": 0.0, "bob": 0.33}.get(person.hair, 0.27) + float(
        rng.uniform(-0.03, 0.04)
    )
    side = {"crop": 0.45, "short": 0.50, "bald": 0.3}.get(person.hair, 0.62)
    neck = {"crop": 0.62, "short": 0.72, "bald": 0.66}.get(person.hair, 0.82)
    line = np.interp(
        across[0], [0, 0.13, 0.19, 0.26, 0.34, 0.5], [brow, brow + 0.02, side - 0.08, side, neck - 0.04, neck]
    )
    if person.hair == "bald":
        return np.broadcast_to((v > 0.42) & (across > 0.22) & (v < 0.64), HEAD).copy()
    ragged = cv2.GaussianBlur(rng.normal(0, 1, (1, HEAD[1])).astype(np.float32), (0, 0), 1.0)
    return v < line[None] + 0.02 * ragged


def _mane_cutout() -> np.ndarray:
    u, v = grid(HEAD)
    return np.abs(u - 0.5) > 0.16 + 0.07 * v


def _shoe(person: Appearance, rng: np.random.Generator) -> np.ndarray:
    texture = plain((48, 32), person.shoes, rng, 0.04)
    u, v = grid((48, 32))
    below = np.minimum(u, 1 - u)
    mix(texture, (0.21 - below) * 60 + v * 0, person.sole)
    mix(texture, 0.6 * (1 - np.abs(v - 0.55) * 14) * (np.abs(u - 0.5) < 0.08), person.sole)
    return texture


def _bag_details(texture: np.ndarray, colour: Colour) -> None:
    u, v = grid(texture.shape[:2])
    shade, light = dark(colour, 0.5), dark(colour, 1.5)
    mix(texture, 0.7 * (1 - np.abs(v - 0.36) * 60) + u * 0, shade)
    mix(texture, 0.6 * (1 - np.abs(v - 0.6) * 60) + u * 0, light)
    mix(texture, 0.5 * (1 - np.abs(np.abs((u + 0.5) % 1 - 0.5) - 0.13) * 60) * (v > 0.36), shade)
