"""Things that stand about: trees, hedges, bicycles, railings, cars, bins, signs. Each is painted at (x, y), the pixel where
it stands, at `s` pixels per metre; the same painters serve the scenes and the occluders in front of a person."""

import numpy as np

from reid_data.synth.paint.brush import Brush, Colour, jitter, leaf_patch, noise_patch, tone


def tree(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A trunk, and a crown that often begins above the picture."""
    thick = rng.uniform(0.10, 0.24) * s
    bark = jitter(rng, (84, 72, 60), 12)
    brush.darken(x, y, thick * 5, thick * 1.2, 0.35)
    top = y - rng.uniform(2.2, 4) * s
    lean = rng.normal(0, 0.1) * s
    brush.polygon(
        [(x - thick * 0.7, y), (x + thick * 0.7, y), (x + lean + thick * 0.45, top), (x + lean - thick * 0.45, top)],
        bark,
    )
    for _ in range(14):
        start = rng.uniform(-0.5, 0.45)
        at = rng.uniform(0, 0.9)
        yy = y + (top - y) * at
        brush.line(
            [(x + lean * at + start * thick, yy), (x + lean * at + start * thick, yy - rng.uniform(0.1, 0.4) * s)],
            tone(bark, rng.uniform(0.55, 1.35)),
            1,
        )
    for _ in range(3):
        brush.line(
            [(x + lean, top + 0.2 * s), (x + lean + rng.normal(0, 0.8) * s, top - rng.uniform(0.3, 1.2) * s)],
            tone(bark, 0.8),
            thick * 0.5,
        )
    radius = rng.uniform(1.1, 2.2) * s
    foliage(brush, x + lean, top - 0.4 * radius, radius, radius * 0.75, rng)


def foliage(brush: Brush, x: float, y: float, radius_x: float, radius_y: float, rng: np.random.Generator) -> None:
    """A ragged mass of leaves around (x, y)."""
    size = (max(4, int(2.4 * radius_y)), max(4, int(2.4 * radius_x)))
    yy, xx = np.mgrid[-1.2 : 1.2 : size[0] * 1j, -1.2 : 1.2 : size[1] * 1j]
    shape = 1 - np.hypot(xx, yy) + 0.22 * noise_patch(rng, size, max(radius_x / 30, 0.5), 1.0)
    texture = leaf_patch(rng, size, int(rng.choice([0, 0, 1, 1, 2])), float(rng.uniform(0.6, 1.3)))
    texture = texture * (1.15 - 0.35 * (yy + 1))[..., None] * rng.uniform(0.7, 1.4)
    brush.paste(np.clip(texture, 0, 255), np.clip(shape * 7, 0, 1), int(x - size[1] / 2), int(y - size[0] / 2))


def hedge(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A hedge or a row of shrubs."""
    wide, tall = rng.uniform(2.0, 7.0) * s, rng.uniform(0.5, 1.4) * s
    brush.darken(x, y, wide * 0.55, 0.25 * s, 0.45)
    size = (int(tall * 1.15) + 2, int(wide) + 2)
    edge = (
        np.linspace(0, 1, size[0])[:, None]
        - 0.14
        - 0.07 * noise_patch(rng, (1, size[1]), max(s / 20, 0.5), 1.0)
        - 0.04 * noise_patch(rng, size, 1.0, 0.8)
    )
    texture = leaf_patch(rng, size, int(rng.choice([0, 1, 1])), float(rng.uniform(0.5, 1.0)))
    texture = texture * np.linspace(1.35, 0.55, size[0])[:, None, None] * rng.uniform(0.75, 1.25)
    brush.paste(np.clip(texture, 0, 255), np.clip(edge * 20, 0, 1), int(x - wide / 2), int(y - size[0]))


def flower_bed(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A low planter with flowers."""
    wide, tall = rng.uniform(0.8, 2.4) * s, rng.uniform(0.3, 0.6) * s
    stone = jitter(rng, (140, 134, 124), 14)
    brush.darken(x, y, wide * 0.6, 0.15 * s, 0.4)
    foliage(brush, x, y - tall, wide * 0.55, 0.3 * s, rng)
    brush.box(x - wide / 2, y - tall, x + wide / 2, y, stone)
    brush.box(x - wide / 2, y - tall, x + wide / 2, y - tall * 0.8, tone(stone, 1.2))
    flower = tuple(rng.uniform(120, 250, 3))
    for _ in range(18):
        brush.ellipse(
            x + rng.uniform(-0.5, 0.5) * wide,
            y - tall - rng.uniform(0, 0.35) * s,
            max(1, 0.03 * s),
            max(1, 0.03 * s),
            jitter(rng, flower, 20),
        )


def bicycle(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A parked bicycle, more or less from the side."""
    squeeze = rng.uniform(0.35, 1.0) * rng.choice([-1, 1])
    colour = jitter(
        rng, [(30, 30, 34), (150, 40, 40), (40, 70, 140), (170, 172, 176), (60, 110, 70)][int(rng.integers(5))], 14
    )
    radius = 0.33 * s
    brush.darken(x, y, 0.8 * s * abs(squeeze), 0.08 * s, 0.4)

    def at(along: float, up: float) -> tuple[float, float]:
        return x + along * s * squeeze, y - up * s

    for centre in (-0.53, 0.53):
        wheel = at(centre, 0.33)
        for angle in np.linspace(0, np.pi, 7)[:-1]:
            dx, dy = np.cos(angle) * radius * abs(squeeze), np.sin(angle) * radius
            brush.line([(wheel[0] - dx, wheel[1] - dy), (wheel[0] + dx, wheel[1] + dy)], (130, 130, 132), 1)
        brush.ellipse(*wheel, radius * abs(squeeze), radius, (24, 24, 26), max(1, round(0.045 * s)))
    crank, seat, head = at(-0.08, 0.3), at(-0.22, 0.85), at(0.36, 0.85)
    width = max(1, 0.035 * s)
    for path in (
        [at(-0.53, 0.33), crank, head, seat, at(-0.53, 0.33)],
        [seat, crank],
        [head, at(0.53, 0.33)],
        [head, at(0.34, 1.02)],
    ):
        brush.line(path, colour, width)
    brush.line([at(0.24, 1.05), at(0.40, 1.0)], (40, 40, 42), width)
    brush.ellipse(*at(-0.23, 0.92), 0.13 * s * abs(squeeze), 0.04 * s, (26, 24, 24))
    if rng.uniform() < 0.5:
        left, top = at(0.36, 1.0)
        brush.box(left, top, left + 0.3 * s * squeeze, top + 0.24 * s, jitter(rng, (96, 96, 98), 20))


def bike_row(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A crowd of parked bicycles."""
    for _ in range(int(rng.integers(3, 9))):
        bicycle(brush, x + rng.uniform(-2.2, 2.2) * s, y + rng.uniform(-0.1, 0.1) * s, s, rng)


def railing(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A railing with upright bars, or two level tubes."""
    wide, tall = rng.uniform(2.0, 6.0) * s, rng.uniform(0.7, 1.1) * s
    colour = jitter(rng, [(176, 178, 180), (60, 62, 64), (130, 60, 50), (46, 70, 56)][int(rng.integers(4))], 12)
    width = max(1, 0.04 * s)
    left, right = x - wide / 2, x + wide / 2
    brush.darken(x, y, wide / 2, 0.05 * s, 0.25)
    if rng.uniform() < 0.5:
        for post in np.arange(left, right, 0.13 * s):
            brush.line([(post, y - tall), (post, y - 0.08 * s)], colour, max(1, 0.018 * s))
        levels: tuple[float, ...] = (0.12, 1.0)
    else:
        levels = (0.5, 1.0)
    for level in levels:
        brush.line([(left, y - tall * level), (right, y - tall * level)], colour, width)
        brush.line(
            [(left, y - tall * level - width * 0.3), (right, y - tall * level - width * 0.3)],
            tone(colour, 1.3),
            max(1, width * 0.3),
        )
    for post in np.arange(left, right + 1, 1.5 * s):
        brush.line([(post, y - tall), (post, y)], tone(colour, 0.85), width * 1.2)


def pole(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A lamp post, sign post or pillar that leaves the picture at the top."""
    thick = rng.choice([0.035, 0.05, 0.09, 0.22], p=[0.35, 0.3, 0.2, 0.15]) * s
    colour = jitter(rng, [(120, 122, 124), (52, 54, 58), (168, 166, 160), (74, 92, 78)][int(rng.integers(4))], 12)
    brush.darken(x, y, thick * 2.5, thick * 0.6, 0.4)
    brush.box(x - thick, y - 6 * s, x + thick, y, colour)
    brush.box(x - thick * 0.6, y - 6 * s, x - thick * 0.1, y, tone(colour, 1.25))
    brush.box(x + thick * 0.5, y - 6 * s, x + thick, y, tone(colour, 0.7))
    brush.box(x - thick * 1.6, y - 0.25 * s, x + thick * 1.6, y, tone(colour, 0.85))
    if rng.uniform() < 0.4:
        sign(brush, x, y, s, rng)


def sign(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A board or road sign on a post."""
    colour = jitter(
        rng, [(190, 40, 40), (30, 80, 160), (220, 190, 60), (232, 232, 228), (40, 110, 70)][int(rng.integers(5))], 10
    )
    brush.line([(x, y), (x, y - 2.2 * s)], (130, 132, 134), max(1, 0.05 * s))
    top, half = y - rng.uniform(1.6, 2.3) * s, rng.uniform(0.2, 0.5) * s
    if rng.uniform() < 0.35:
        brush.ellipse(x, top, half * 0.7, half * 0.7, colour)
        brush.box(x - half * 0.45, top - half * 0.12, x + half * 0.45, top + half * 0.12, (240, 240, 238))
        return
    tall = half * rng.uniform(0.6, 1.4)
    brush.box(x - half, top - tall, x + half, top + tall, colour)
    for row in np.linspace(-0.6, 0.6, 4):
        brush.line(
            [(x - half * 0.75, top + row * tall), (x + half * rng.uniform(0.0, 0.75), top + row * tall)],
            (238, 238, 234),
            max(1, 0.04 * s),
        )


def bollard(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A short post."""
    thick, tall = rng.uniform(0.06, 0.12) * s, rng.uniform(0.6, 1.0) * s
    colour = jitter(rng, [(70, 72, 74), (150, 148, 142), (190, 170, 60)][int(rng.integers(3))], 10)
    brush.darken(x, y, thick * 2.5, thick * 0.6, 0.45)
    brush.box(x - thick, y - tall, x + thick, y, colour)
    brush.box(x + thick * 0.3, y - tall, x + thick, y, tone(colour, 0.7))
    brush.ellipse(x, y - tall, thick, thick * 0.5, tone(colour, 1.2))
    brush.box(x - thick, y - tall * 0.85, x + thick, y - tall * 0.75, (220, 216, 200))


def bin_(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A litter bin or a cabinet."""
    half, tall = rng.uniform(0.22, 0.4) * s, rng.uniform(0.8, 1.3) * s
    colour = jitter(rng, [(60, 100, 70), (70, 74, 80), (150, 110, 60), (50, 80, 130)][int(rng.integers(4))], 12)
    brush.darken(x, y, half * 1.7, half * 0.4, 0.5)
    brush.box(x - half, y - tall, x + half, y, colour)
    brush.box(x + half * 0.45, y - tall, x + half, y, tone(colour, 0.72))
    brush.ellipse(x, y - tall, half, half * 0.28, tone(colour, 1.3))
    brush.box(x - half * 0.6, y - tall * 0.8, x + half * 0.4, y - tall * 0.68, (24, 24, 26))
    brush.box(x - half * 0.5, y - tall * 0.5, x + half * 0.2, y - tall * 0.3, jitter(rng, (210, 206, 196), 20))


def bench(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A bench."""
    half = rng.uniform(0.7, 1.1) * s
    wood = jitter(rng, (124, 92, 60), 14)
    brush.darken(x, y, half, 0.15 * s, 0.4)
    for side in (-0.8, 0.8):
        brush.box(x + side * half - 0.04 * s, y - 0.45 * s, x + side * half + 0.04 * s, y, (50, 50, 52))
    for up in (0.45, 0.62, 0.74, 0.86):
        brush.box(x - half, y - up * s - 0.05 * s, x + half, y - up * s + 0.02 * s, tone(wood, rng.uniform(0.85, 1.15)))


def car(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A parked car from the side."""
    colour = jitter(
        rng,
        [(190, 192, 194), (36, 38, 42), (140, 40, 38), (50, 76, 120), (228, 228, 226), (110, 112, 116)][
            int(rng.integers(6))
        ],
        10,
    )
    flip = rng.choice([-1, 1])
    long = rng.uniform(1.9, 2.3)
    brush.darken(x, y, long * 1.05 * s, 0.28 * s, 0.6)

    def at(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x + flip * along * s, y - up * s) for along, up in points]

    brush.polygon(
        at(
            [
                (-long, 0.35),
                (-long, 0.75),
                (-long + 0.2, 0.92),
                (long - 1.0, 0.95),
                (long - 0.2, 0.82),
                (long, 0.6),
                (long, 0.3),
            ]
        ),
        colour,
    )
    brush.polygon(
        at([(-long + 0.25, 0.9), (-long + 0.75, 1.42), (0.45, 1.45), (long - 0.95, 0.93)]), tone(colour, 0.92)
    )
    brush.polygon(at([(-long + 0.45, 0.93), (-long + 0.85, 1.34), (-0.35, 1.37), (-0.35, 0.95)]), (40, 48, 54))
    brush.polygon(at([(-0.25, 0.95), (-0.25, 1.37), (0.38, 1.37), (long - 1.15, 0.96)]), (52, 60, 66))
    brush.line(at([(-long, 0.66), (long, 0.6)]), tone(colour, 1.25), max(1, 0.04 * s))
    brush.line(at([(-0.3, 0.95), (-0.32, 0.4)]), tone(colour, 0.6), max(1, 0.02 * s))
    brush.polygon(at([(-long, 0.45), (long, 0.42), (long, 0.28), (-long, 0.28)]), tone(colour, 0.6))
    for wheel in (-long + 0.62, long - 0.68):
        place = at([(wheel, 0.32)])[0]
        brush.ellipse(*place, 0.33 * s, 0.33 * s, (22, 22, 24))
        brush.ellipse(*place, 0.19 * s, 0.19 * s, (140, 142, 146))
    brush.ellipse(*at([(long - 0.1, 0.66)])[0], 0.10 * s, 0.06 * s, (236, 230, 206))
    brush.ellipse(*at([(-long + 0.08, 0.7)])[0], 0.07 * s, 0.08 * s, (170, 36, 36))


def pillar(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A column, a gatepost or a dark door jamb: about as wide as a person."""
    half, tall = rng.uniform(0.12, 0.4) * s, rng.uniform(1.6, 5.0) * s
    colour = jitter(
        rng, [(196, 188, 170), (120, 116, 110), (140, 80, 62), (56, 54, 52), (222, 220, 214)][int(rng.integers(5))], 12
    )
    brush.darken(x, y, half * 1.8, half * 0.5, 0.4)
    for part in range(8):
        left = x - half + part * half / 4
        shade = 1.15 - 0.5 * abs(part / 7 - rng.uniform(0.2, 0.4))
        brush.box(left, y - tall, left + half / 4 + 0.5, y, tone(colour, shade))
    for level in np.arange(0, tall, max(rng.uniform(0.2, 0.5) * s, 2)):
        brush.line([(x - half, y - level), (x + half, y - level)], tone(colour, rng.uniform(0.6, 0.9)), 1)
    brush.box(x - half * 1.2, y - 0.15 * s, x + half * 1.2, y, tone(colour, 0.9))
    brush.box(x - half * 1.2, y - tall, x + half * 1.2, y - tall + 0.12 * s, tone(colour, 1.1))


def low_wall(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A low wall or a flight of steps."""
    wide, step = rng.uniform(3, 9) * s, rng.uniform(0.14, 0.18) * s
    stone = jitter(rng, (142, 138, 130), 14)
    brush.darken(x, y, wide / 2, 0.15 * s, 0.4)
    for number in range(int(rng.integers(2, 6))):
        top = y - (number + 1) * step
        inset = number * 0.05 * s
        brush.box(x - wide / 2 + inset, top, x + wide / 2 - inset, top + step, tone(stone, 0.8 + 0.02 * number))
        brush.box(x - wide / 2 + inset, top - step * 0.35, x + wide / 2 - inset, top, tone(stone, 1.15))


def stall(brush: Brush, x: float, y: float, s: float, rng: np.random.Generator) -> None:
    """A kiosk or market stall under a coloured roof."""
    half, colour = rng.uniform(0.8, 1.6) * s, tuple(rng.uniform(40, 220, 3))
    brush.darken(x, y, half * 1.2, 0.25 * s, 0.5)
    brush.box(x - half, y - 0.9 * s, x + half, y, jitter(rng, (130, 124, 116), 20))
    for _ in range(14):
        left = x + rng.uniform(-0.95, 0.75) * half
        brush.box(
            left,
            y - 0.9 * s - rng.uniform(0.1, 0.4) * s,
            left + rng.uniform(0.1, 0.3) * s,
            y - 0.88 * s,
            tuple(rng.uniform(40, 230, 3)),
        )
    brush.line([(x - half, y), (x - half, y - 2.2 * s)], (120, 120, 122), max(1, 0.05 * s))
    brush.line([(x + half, y), (x + half, y - 2.2 * s)], (120, 120, 122), max(1, 0.05 * s))
    roof: Colour = colour  # type: ignore[assignment]
    brush.polygon(
        [
            (x - half * 1.2, y - 2.0 * s),
            (x + half * 1.2, y - 2.0 * s),
            (x + half, y - 2.5 * s),
            (x - half, y - 2.5 * s),
        ],
        roof,
    )


PAINTERS = {
    "tree": tree, "hedge": hedge, "flowers": flower_bed, "bicycle": bicycle, "bike row": bike_row, "railing": railing, "pole": pole,
    "sign": sign, "bollard": bollard, "bin": bin_, "bench": bench, "car": car, "low wall": low_wall, "stall": stall, "pillar": pillar,
}  # fmt: skip
