"""Fronts of buildings as flat textures (h, w, 3) uint8, PIXELS to the metre, and putting them up in a scene."""

import cv2
import numpy as np

from reid_data.synth.paint.brush import Brush, Colour, jitter, leaf_patch, noise_patch, tone
from reid_data.synth.place.ground import Lens

PIXELS = 40


def wall(kind: str, width: float, height: float, rng: np.random.Generator) -> np.ndarray:
    """A front of a `kind`: shops, panels, glass, brick, hall, plaster; `width` and `height` in metres."""
    size = (int(height * PIXELS), int(width * PIXELS))
    brush = Brush.blank(size)
    {"shops": _shops, "panels": _panels, "glass": _glass, "brick": _brick, "hall": _hall, "plaster": _plaster}[kind](
        brush, rng
    )
    grime = 1 + 0.05 * noise_patch(rng, size, 3.0, 1.2) + 0.025 * rng.normal(0, 1, size)
    down = np.linspace(0.06, -0.08, size[0])[:, None]
    return np.clip(brush.image * (grime + down)[..., None], 0, 255).astype(np.uint8)


def put_up(
    image: np.ndarray, texture: np.ndarray, lens: Lens, ends: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    """Draw a front that stands on the ground line `ends` = ((x, z), (x, z)) metres, left end first, onto `image`."""
    height, width = texture.shape[:2]
    tall = height / PIXELS
    corners = []
    for x, z in ends:
        corners.append((lens.column(x, z), lens.row(z) - tall * lens.scale(z)))
        corners.append((lens.column(x, z), lens.row(z)))
    source = np.array([[0, 0], [0, height], [width, 0], [width, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, np.array(corners, np.float32))
    shrunk = cv2.GaussianBlur(texture, (0, 0), 0.6)
    cv2.warpPerspective(
        shrunk, matrix, image.shape[1::-1], dst=image, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )


def _text(
    brush: Brush, left: float, top: float, right: float, bottom: float, colour: Colour, rng: np.random.Generator
) -> None:
    """Something that looks like lettering from afar."""
    tall = bottom - top
    x = left
    while x < right - tall * 0.6:
        wide = tall * rng.uniform(0.45, 0.8)
        if rng.uniform() < 0.85:
            points = [
                (x + rng.uniform(0, wide * 0.8), top + rng.uniform(0, tall)) for _ in range(int(rng.integers(3, 6)))
            ]
            brush.line(points, colour, max(1, tall * 0.16))
        x += wide


def _clutter(brush: Brush, box: tuple[float, float, float, float], rng: np.random.Generator, count: int) -> None:
    """Dim things behind a window: shelves, posters, people-free rooms, lamps, reflections."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    for _ in range(count):
        x, y = left + rng.uniform(0, wide * 0.85), top + rng.uniform(0.1, 0.8) * tall
        colour = rng.uniform(25, 150, 3) * rng.uniform(0.4, 1.0)
        brush.box(
            x,
            y,
            min(x + rng.uniform(0.05, 0.3) * wide, right),
            min(y + rng.uniform(0.06, 0.3) * tall, bottom),
            tuple(colour),
        )
    for _ in range(int(count / 3)):
        x = left + rng.uniform(0, wide)
        brush.ellipse(x, top + rng.uniform(0.05, 0.2) * tall, rng.uniform(2, 5), 2, (235, 228, 200))


def _window(
    brush: Brush,
    box: tuple[float, float, float, float],
    rng: np.random.Generator,
    frame: Colour,
    *,
    busy: int = 6,
    bars: int = 0,
) -> None:
    left, top, right, bottom = box
    brush.box(left - 3, top - 3, right + 3, bottom + 3, frame)
    glass = jitter(rng, (44, 52, 58), 12)
    brush.box(left, top, right, bottom, glass)
    _clutter(brush, box, rng, busy)
    sheen = np.linspace(0, 1, 8)
    if rng.uniform() < 0.7:
        start = rng.uniform(-0.2, 0.6)
        points = [
            (left + (right - left) * (start + part), y)
            for part, y in ((0.35, top), (0.65, top), (0.3, bottom), (0.0, bottom))
        ]
        clipped = [(min(max(x, left), right), y) for x, y in points]
        brush.polygon(clipped, tone(glass, 1.5 + 0.5 * sheen[2]))
    for number in range(bars):
        x = left + (right - left) * (number + 1) / (bars + 1)
        brush.line([(x, top), (x, bottom)], frame, 2)
    if bars:
        brush.line([(left, top + (bottom - top) * 0.4), (right, top + (bottom - top) * 0.4)], frame, 2)


def _shops(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    stone = jitter(rng, (132, 128, 122), 18)
    brush.box(0, 0, width, height, stone)
    x = 0.0
    while x < width:
        bay = rng.uniform(2.6, 5.5) * PIXELS
        sign = jitter(
            rng,
            [(150, 36, 34), (36, 70, 140), (40, 110, 70), (190, 150, 50), (60, 60, 64), (170, 170, 172)][
                int(rng.integers(6))
            ],
            14,
        )
        top = height - 3.1 * PIXELS
        brush.box(x, top - 0.9 * PIXELS, x + bay, top, sign)
        _text(
            brush,
            x + 0.2 * bay,
            top - 0.7 * PIXELS,
            x + 0.8 * bay,
            top - 0.25 * PIXELS,
            (236, 232, 220) if rng.uniform() < 0.7 else (30, 30, 30),
            rng,
        )
        if rng.uniform() < 0.25:
            brush.box(x + 8, top, x + bay - 8, height - 4, jitter(rng, (120, 122, 126), 14))
            for y in np.arange(top, height, 5):
                brush.line([(x + 8, y), (x + bay - 8, y)], (96, 98, 102), 1)
        else:
            door = rng.uniform(0.2, 0.8)
            _window(
                brush,
                (x + 10, top + 6, x + bay - 10, height - 0.35 * PIXELS),
                rng,
                jitter(rng, (70, 70, 72), 20),
                busy=16,
                bars=int(rng.integers(1, 4)),
            )
            brush.box(
                x + door * bay * 0.8,
                top + 0.7 * PIXELS,
                x + door * bay * 0.8 + 0.9 * PIXELS,
                height,
                jitter(rng, (32, 34, 38), 8),
            )
        if rng.uniform() < 0.3:
            awning = jitter(rng, [(160, 40, 40), (40, 90, 60), (200, 190, 160)][int(rng.integers(3))], 12)
            brush.polygon([(x, top), (x + bay, top), (x + bay, top + 0.6 * PIXELS), (x, top + 0.6 * PIXELS)], awning)
            for stripe in np.arange(x, x + bay, 26):
                brush.box(stripe, top, stripe + 13, top + 0.6 * PIXELS, tone(awning, 1.35))
        brush.box(x - 7, 0, x + 7, height, tone(stone, rng.uniform(0.8, 1.1)))
        x += bay
    brush.box(0, height - 0.25 * PIXELS, width, height, tone(stone, 0.7))


def _panels(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    base = jitter(rng, (138, 140, 144), 16)
    brush.box(0, 0, width, height, base)
    step = rng.uniform(0.45, 0.9) * PIXELS
    for number, y in enumerate(np.arange(height, 0, -step)):
        for x in np.arange((number % 2) * step, width, step * 3):
            brush.box(x, y - step, x + step * 3, y, tone(base, rng.uniform(0.93, 1.06)))
        brush.line([(0, y), (width, y)], tone(base, 0.62), 2)
        brush.line([(0, y + 2), (width, y + 2)], tone(base, 1.18), 1)
    for _ in range(int(width / (6 * PIXELS))):
        x = rng.uniform(0, width)
        wide = rng.uniform(1.2, 4) * PIXELS
        brush.box(x, height - 2.5 * PIXELS, x + wide, height, jitter(rng, (24, 25, 28), 6))
        _clutter(brush, (x, height - 2.5 * PIXELS, x + wide, height - 0.4 * PIXELS), rng, 5)
    for _ in range(int(width / (5 * PIXELS))):
        x, y = rng.uniform(0, width), height - rng.uniform(1.2, 2.2) * PIXELS
        brush.box(x, y, x + rng.uniform(12, 40), y + rng.uniform(12, 30), tuple(rng.uniform(40, 230, 3)))


def _glass(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    frame = jitter(rng, (92, 96, 100), 20)
    brush.box(0, 0, width, height, frame)
    step = rng.uniform(1.1, 1.8) * PIXELS
    for x in np.arange(0, width, step):
        for y in np.arange(height - 2.4 * PIXELS, -3 * PIXELS, -2.4 * PIXELS):
            _window(
                brush,
                (x + 4, y + 4, x + step - 4, y + 2.4 * PIXELS - 4),
                rng,
                tone(frame, rng.uniform(0.8, 1.1)),
                busy=int(rng.integers(1, 8)),
            )
    brush.box(0, height - 0.3 * PIXELS, width, height, tone(frame, 0.6))


def _bricks(brush: Brush, rng: np.random.Generator, base: Colour) -> None:
    height, width = brush.mask.shape
    brush.box(0, 0, width, height, tone(base, 1.22))
    tall, wide = 0.085 * PIXELS, 0.25 * PIXELS
    rows, columns = int(height / tall) + 1, int(width / wide) + 2
    shades = rng.normal(1, 0.09, (rows, columns))
    for row in range(rows):
        y = row * tall
        for column in range(columns):
            x = (column - 0.5 * (row % 2)) * wide
            cv2.rectangle(
                brush.image,
                (int(x), int(y)),
                (int(x + wide - 2), int(y + tall - 1.2)),
                [float(part * shades[row, column]) for part in base],
                -1,
            )


def _brick(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    _bricks(brush, rng, jitter(rng, [(134, 74, 58), (150, 96, 72), (112, 66, 56)][int(rng.integers(3))], 9))
    stone = jitter(rng, (182, 174, 156), 12)
    brush.box(0, height - 0.55 * PIXELS, width, height, tone(stone, 0.85))
    x = rng.uniform(0.5, 2.0) * PIXELS
    while x < width:
        wide = rng.uniform(0.9, 1.6) * PIXELS
        if rng.uniform() < 0.22:
            brush.box(x - 8, height - 2.7 * PIXELS, x + wide + 8, height, stone)
            brush.box(x, height - 2.5 * PIXELS, x + wide, height, jitter(rng, (58, 48, 40), 14))
            brush.line([(x + wide / 2, height - 2.5 * PIXELS), (x + wide / 2, height)], (30, 26, 24), 2)
        else:
            for floor in (0.9, 4.0):
                box = (x, height - (floor + 1.75) * PIXELS, x + wide, height - floor * PIXELS)
                _window(brush, box, rng, (214, 210, 200), busy=4, bars=int(rng.integers(1, 3)))
                brush.box(x - 7, height - floor * PIXELS, x + wide + 7, height - floor * PIXELS + 6, stone)
        x += wide + rng.uniform(0.8, 2.4) * PIXELS
    if rng.uniform() < 0.5:
        _ivy(brush, rng)


def _hall(brush: Brush, rng: np.random.Generator) -> None:
    """Stone blocks with tall arches, as in old campus halls."""
    height, width = brush.mask.shape
    base = jitter(rng, (148, 138, 118), 10)
    brush.box(0, 0, width, height, tone(base, 0.72))
    for row, y in enumerate(np.arange(height, 0, -0.38 * PIXELS)):
        x = -rng.uniform(0, 1) * PIXELS
        while x < width:
            wide = rng.uniform(0.4, 1.1) * PIXELS
            shade = tone(jitter(rng, base, 6), rng.uniform(0.86, 1.1))
            brush.box(x, y - 0.36 * PIXELS, x + wide - 2, y - (row % 2), shade)
            x += wide
    for x in np.arange(rng.uniform(0.5, 2) * PIXELS, width, rng.uniform(2.6, 4) * PIXELS):
        wide, top = rng.uniform(0.5, 0.8) * PIXELS, height - rng.uniform(2.2, 3.0) * PIXELS
        for grow, colour in ((6, tone(base, 1.2)), (0, jitter(rng, (34, 34, 38), 6))):
            brush.ellipse(x, top, wide + grow, wide * 1.3 + grow, colour)
            brush.box(x - wide - grow, top, x + wide + grow, height - 0.5 * PIXELS, colour)
        for bar in (-0.4, 0.0, 0.4):
            brush.line([(x + bar * wide, top - wide), (x + bar * wide, height - 0.5 * PIXELS)], (90, 88, 84), 1)


def _plaster(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    base = jitter(rng, [(186, 178, 160), (170, 172, 174), (196, 170, 130)][int(rng.integers(3))], 10)
    brush.box(0, 0, width, height, base)
    brush.box(0, height - 0.6 * PIXELS, width, height, tone(base, 0.66))
    for x in np.arange(rng.uniform(0, 1.5) * PIXELS, width, rng.uniform(2.0, 3.5) * PIXELS):
        box = (x, height - 2.6 * PIXELS, x + 1.1 * PIXELS, height - 1.0 * PIXELS)
        _window(brush, box, rng, tone(base, 0.55), busy=4, bars=1)
    for _ in range(3):
        x = rng.uniform(0, width)
        brush.line([(x, 0), (x, height)], tone(base, 0.6), 3)


def _ivy(brush: Brush, rng: np.random.Generator) -> None:
    height, width = brush.mask.shape
    wide = int(rng.uniform(0.15, 0.4) * width)
    alpha = np.clip((noise_patch(rng, (height, wide), 2.0, 1.3) + 0.5) * 3, 0, 1)
    alpha *= np.clip(1.6 - 2 * np.abs(np.linspace(-1, 1, wide)), 0, 1)[None]
    brush.paste(leaf_patch(rng, (height, wide), 1, 1.0), alpha, int(rng.uniform(0, width - wide)), 0)
