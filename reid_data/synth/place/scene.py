"""The places: large pictures without people, each with its camera geometry and its light, several per camera."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.errors import unknown_name
from reid_data.synth.paint.brush import Brush, noise_patch
from reid_data.synth.person.figure import Light
from reid_data.synth.place.facade import put_up, wall
from reid_data.synth.place.ground import Floor, Lens, asphalt, dapple, floor_of, lawn, paving, strip
from reid_data.synth.place.scenery import PAINTERS

VERSIONS = {"synth-place": 1}  # draw_scene and all that it draws with

SIZE = (512, 1024)
MOST_SCENES = 4  # per camera
SATURATION = 0.62
NEAREST, FARTHEST = 5.6, 11.5  # metres: where people stand


@dataclass(frozen=True)
class Network:
    """What the cameras of one network see: their number, and the kinds of fronts and things with their weights."""

    cameras: int
    walls: tuple[str, ...]
    things: tuple[str, ...]
    grounds: tuple[str, ...]


NETWORKS = {
    "market": Network(
        cameras=6,
        walls=("shops", "shops", "panels", "panels", "glass", "none"),
        things=(
            "bike row",
            "bike row",
            "tree",
            "tree",
            "railing",
            "bollard",
            "bin",
            "sign",
            "pole",
            "flowers",
            "low wall",
            "stall",
            "bench",
            "hedge",
            "car",
        ),
        grounds=("slabs", "slabs", "bricks", "squares", "asphalt"),
    ),
    "duke": Network(
        cameras=8,
        walls=("brick", "brick", "hall", "plaster", "glass", "none"),
        things=(
            "tree",
            "tree",
            "tree",
            "hedge",
            "hedge",
            "bench",
            "car",
            "car",
            "pole",
            "sign",
            "bin",
            "bicycle",
            "low wall",
            "flowers",
            "bollard",
        ),
        grounds=("lawn", "lawn", "path", "asphalt", "bricks"),
    ),
}


@dataclass(frozen=True)
class Scene:
    """A place: `image` (512, 1024, 3) uint8 RGB, its camera and its light."""

    image: np.ndarray
    lens: Lens
    light: Light


def network_of(name: str) -> Network:
    """A network by name; raises UsageError with the names there are."""
    if name not in NETWORKS:
        raise unknown_name("synthetic network", name, NETWORKS)
    return NETWORKS[name]


def draw_scene(seed: int, network: str, camera: int, number: int) -> Scene:
    """Scene `number` of a camera. Scenes of one camera share its height, its light's character and its kind of place."""
    plan = network_of(network)
    site = np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(network.encode()), camera, 21])
    rng = np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(network.encode()), camera, 22, number])
    height, horizon = float(site.uniform(1.5, 2.9)), float(site.uniform(95, 150))
    lens = Lens(SIZE, horizon + float(rng.normal(0, 4)), 900.0, height)
    walls = [str(name) for name in site.choice(plan.walls, 2)]
    ground = str(site.choice(plan.grounds))
    light = _light(site, rng)
    image = np.empty((*SIZE, 3), np.uint8)
    _sky(image, lens, rng)
    floor = floor_of(lens)
    painted = _ground(floor, ground, rng) * _ground_light(floor, rng, light)[..., None]
    image[floor.top - 3 : floor.top] = np.clip(painted[:1], 0, 255).astype(np.uint8)
    image[floor.top :] = np.clip(painted, 0, 255).astype(np.uint8)
    _back(image, lens, rng, str(rng.choice(walls)), plan)
    _fronts(image, lens, rng, walls)
    _things(image, lens, rng, plan)
    _sun_patches(image, rng, light)
    return Scene(_air(image, rng), lens, light)


def _light(site: np.random.Generator, rng: np.random.Generator) -> Light:
    side = site.uniform(-1, 1) + rng.normal(0, 0.15)
    hard = float(np.clip(site.choice([0.05, 0.15, 0.5, 0.85]) + rng.normal(0, 0.05), 0, 1))
    direction = np.array([side, site.uniform(0.7, 1.3), site.uniform(-0.3, 0.8)])
    direction /= np.linalg.norm(direction)
    return Light(
        direction=(float(direction[0]), float(direction[1]), float(direction[2])),
        key=0.42 + 0.72 * hard,
        ambient=0.92 - 0.42 * hard,
        sky=(0.96, 1.0, 1.06),
        bounce=(0.50, 0.47, 0.43),
        hard=hard,
        patchy=float(rng.choice([0.0, rng.uniform(0.4, 0.9)])) if hard > 0.3 else 0.0,
    )


def _sky(image: np.ndarray, lens: Lens, rng: np.random.Generator) -> None:
    top = np.asarray([(196, 204, 212), (176, 196, 220), (206, 206, 204)][int(rng.integers(3))], np.float32)
    fade = np.linspace(0, 1, SIZE[0])[:, None, None]
    image[:] = np.clip(top * (1 + 0.06 * fade) + 4 * noise_patch(rng, SIZE, 5, 1.5)[..., None], 0, 255).astype(np.uint8)


def _back(image: np.ndarray, lens: Lens, rng: np.random.Generator, kind: str, plan: Network) -> None:
    """What closes the view: a far front, and trees before and above it."""
    far = float(rng.uniform(17, 30))
    if kind != "none":
        half = SIZE[1] / 2 * far / lens.focal + 2
        put_up(image, wall(kind, min(2 * half, 36), float(rng.uniform(6, 9)), rng), lens, ((-half, far), (half, far)))
    brush = Brush(image, np.zeros(SIZE, np.uint8))
    for _ in range(int(rng.integers(4, 14)) if kind != "none" else 26):
        distance = far * rng.uniform(0.8, 1.1)
        x = lens.column(float(rng.uniform(-1, 1)) * distance * 0.75, distance)
        PAINTERS["tree" if rng.uniform() < 0.7 else "hedge"](brush, x, lens.row(distance), lens.scale(distance), rng)


def _ground(floor: Floor, kind: str, rng: np.random.Generator) -> np.ndarray:
    grey = rng.normal(0, 10)
    base = np.array([154, 151, 146]) + grey + rng.normal(0, 3, 3)
    shades = [tuple(base * share) for share in (0.9, 0.97, 1.0, 1.05)]
    turn = float(rng.uniform(-0.6, 0.6))
    if kind == "slabs":
        image = paving(floor, rng, shades, (float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.3, 0.5))), turn, 0.5)
    elif kind == "squares":
        second = [tuple(base * np.array([1.1, 1.0, 0.94])), tuple(base * 0.78)]
        image = paving(floor, rng, shades[:2] + second[: int(rng.integers(1, 3))], (0.5, 0.5), turn, 0.0)
    elif kind == "bricks":
        tint = np.array([[146, 124, 112], [132, 130, 127], [150, 138, 122]][int(rng.integers(3))]) + grey
        image = paving(floor, rng, [tuple(tint * share) for share in (0.85, 0.95, 1.0, 1.1)], (0.24, 0.12), turn, 0.5)
    elif kind == "asphalt":
        image = asphalt(floor, rng, tuple(base * rng.uniform(0.8, 1.15)))
    else:
        image = lawn(floor, rng, (92 + grey, 112 + grey, 58 + grey * 0.6))
    return _bands(image, floor, kind, rng, shades)


def _bands(image: np.ndarray, floor: Floor, kind: str, rng: np.random.Generator, shades: list) -> np.ndarray:
    """Paths, kerbs, rows of other slabs, painted lines, drains."""
    if kind in ("lawn", "path"):
        wide = float(rng.uniform(2.2, 5.0) if kind == "lawn" else rng.uniform(4, 8))
        inside, rim = strip(
            floor,
            float(rng.choice([0.0, 0.3, -0.4, 1.2])),
            float(rng.uniform(6.5, 9)),
            wide,
            float(rng.uniform(0, 0.4)),
        )
        path = (
            asphalt(floor, rng, (152, 146, 136))
            if rng.uniform() < 0.5
            else paving(floor, rng, shades, (0.6, 0.6), 0.2, 0.0)
        )
        image = image * (1 - inside[..., None]) + path * inside[..., None]
        return image * (1 - 0.25 * rim[..., None]) + 40 * rim[..., None]
    for _ in range(int(rng.integers(1, 4))):
        inside, rim = strip(
            floor, float(rng.uniform(-1.2, 1.2)), float(rng.uniform(2, 14)), float(rng.choice([0.12, 0.3, 0.6, 1.5]))
        )
        colour = np.asarray(
            [(178, 158, 136), (92, 90, 88), (204, 200, 190), (146, 118, 104), (186, 172, 110)][int(rng.integers(5))],
            np.float32,
        )
        weight = (0.55 * inside)[..., None]
        image = image * (1 - weight) + colour * weight
        image = image * (1 - 0.2 * rim[..., None])
    if rng.uniform() < 0.4:
        inside, rim = strip(
            floor, float(rng.uniform(-0.2, 0.2)), float(rng.uniform(11, 15)), float(rng.uniform(1.5, 4))
        )
        image = image * (1 - inside[..., None]) + lawn(floor, rng, (88, 110, 56)) * inside[..., None]
        image = image * (1 - 0.3 * rim[..., None]) + 50 * rim[..., None]
    return image


def _ground_light(floor: Floor, rng: np.random.Generator, light: Light) -> np.ndarray:
    shade = dapple(floor, rng, 0.12 + 0.38 * light.hard * float(rng.uniform(0, 1)))
    across = np.linspace(-1, 1, SIZE[1])[None] * rng.normal(0, 0.05)
    return shade * (1 + across) * (0.95 + 0.2 * light.hard)


def _fronts(image: np.ndarray, lens: Lens, rng: np.random.Generator, walls: list[str]) -> None:
    """Perhaps a nearer building, straight on or running away from us at one side."""
    kind = str(rng.choice(walls))
    if kind == "none" or rng.uniform() < 0.25:
        return
    style = rng.uniform()
    if style < 0.45:
        near, far = float(rng.uniform(10, 12.5)), float(rng.uniform(12, 19))
        side = rng.choice([-1, 1])
        inner, outer = side * rng.uniform(0.0, 3.5), side * far * 0.8
        ends = ((min(inner, outer), near), (max(inner, outer), near))
    elif style < 0.8:
        near, far = float(rng.uniform(8.5, 11)), float(rng.uniform(20, 34))
        side = rng.choice([-1, 1])
        a, b = (side * near * rng.uniform(0.5, 0.75), near), (side * far * rng.uniform(0.15, 0.3), far)
        ends = (a, b) if a[0] < b[0] else (b, a)
    else:
        near = float(rng.uniform(12, 15))
        ends = ((-near * 0.8, near), (near * 0.8, near))
    long = float(np.hypot(ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]))
    put_up(image, wall(kind, min(long, 30), float(rng.uniform(4.5, 8)), rng), lens, ends)


def _things(image: np.ndarray, lens: Lens, rng: np.random.Generator, plan: Network) -> None:
    """Things from far to near, none nearer than the people stand (those are drawn as occluders)."""
    brush = Brush(image, np.zeros(SIZE, np.uint8))
    count = int(rng.integers(9, 22))
    for distance in np.sort(rng.uniform(FARTHEST - 0.8, 19, count))[::-1]:
        x = lens.column(float(rng.uniform(-0.75, 0.75)) * distance, distance)
        PAINTERS[str(rng.choice(plan.things))](brush, x, lens.row(distance), lens.scale(distance), rng)


def _sun_patches(image: np.ndarray, rng: np.random.Generator, light: Light) -> None:
    """Light and shade of trees and clouds on everything upright too, the stronger the sun."""
    patch = noise_patch(rng, (SIZE[0] // 4, SIZE[1] // 4), float(rng.uniform(0.4, 1.5)), 1.4)
    factor = 1 + (0.06 + 0.30 * max(light.patchy, 0.3 * light.hard)) * np.clip(patch * 1.5, -1, 1)
    factor = cv2.resize(factor.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    image[:] = cv2.multiply(image, cv2.merge([factor] * 3), dtype=cv2.CV_8U)


def _air(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lens: a little blur and fine grain, so that painted edges are no sharper than the people; calmer colours."""
    soft = cv2.GaussianBlur(image, (0, 0), 0.7)
    calm = (np.full((3, 3), (1 - SATURATION) / 3) + SATURATION * np.eye(3)).astype(np.float32)
    grain = (noise_patch(rng, SIZE, 1.0, 0.0) * 1.5 + 128.5).astype(np.uint8)
    return cv2.subtract(
        cv2.add(cv2.transform(soft, calm), cv2.merge([grain] * 3), dtype=cv2.CV_16S),
        (128.0, 128.0, 128.0),
        dtype=cv2.CV_8U,
    )
