"""From an appearance and a posture to the surfaces of the person, the clothes and the carried things."""

import numpy as np

from reid_data.synth.appearance import Appearance
from reid_data.synth.materials import materials
from reid_data.synth.pose import SIDES, Body, Pose, skeleton
from reid_data.synth.surface import Material, Surface, bent, cross, ellipsoid, profile, rotation_y, tube, unit

Joints = dict[str, np.ndarray]
UP = np.array([0.0, 1.0, 0.0], np.float32)

# Level below the base of the neck (shares of stature), half width, half depth, shift forwards; man and woman of weight 1.
MAN = np.array([
    [0.000, 0.040, 0.040, -0.004], [0.014, 0.064, 0.047, -0.006], [0.030, 0.092, 0.054, -0.007], [0.050, 0.103, 0.061, -0.004],
    [0.090, 0.104, 0.067, 0.000], [0.140, 0.097, 0.066, 0.002], [0.205, 0.086, 0.060, 0.004], [0.260, 0.088, 0.063, 0.001],
    [0.305, 0.094, 0.068, -0.007], [0.345, 0.094, 0.068, -0.010], [0.380, 0.088, 0.062, -0.006],
])  # fmt: skip
WOMAN = np.array([
    [0.000, 0.035, 0.036, -0.004], [0.014, 0.056, 0.042, -0.006], [0.030, 0.082, 0.049, -0.007], [0.050, 0.092, 0.056, -0.002],
    [0.090, 0.094, 0.068, 0.008], [0.140, 0.086, 0.064, 0.008], [0.205, 0.073, 0.054, 0.003], [0.260, 0.087, 0.063, -0.002],
    [0.305, 0.101, 0.072, -0.012], [0.345, 0.102, 0.071, -0.013], [0.380, 0.096, 0.064, -0.008],
])  # fmt: skip
ARM = np.array(
    [[0, 0.40], [0.03, 0.80], [0.10, 1.0], [0.30, 0.95], [0.52, 0.80], [0.62, 0.82], [0.85, 0.62], [1, 0.52]]
)
LEG = np.array(
    [[0, 1.0], [0.08, 1.03], [0.25, 0.92], [0.47, 0.67], [0.53, 0.64], [0.66, 0.68], [0.85, 0.46], [1, 0.38]]
)


def dress(person: Appearance, pose: Pose) -> list[Surface]:
    """All surfaces of a person in a posture. The person faces +z and stands above the origin."""
    joints = skeleton(person.body, pose)
    made = materials(person)
    return [
        *_head(person, pose, joints, made),
        *_arms(person, joints, made),
        *_legs(person, joints, made),
        *_trunk(person, joints, made),
        *_bag(person, joints, made),
    ]


def trunk_rings(
    body: Body, joints: Joints, levels: np.ndarray, loose: float, drape: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (R, 3), radii (R, 2) and sideways axes (R, 3) at `levels` (R,) below the neck, in shares of stature.

    `loose` widens a garment over the body; `drape` 0 follows the waist, 1 hangs straight from the chest.
    """
    keys = MAN * (1 - body.female) + WOMAN * body.female
    width, depth, shift = (np.interp(levels, keys[:, 0], keys[:, column]) for column in (1, 2, 3))
    belly = np.exp(-(((levels - 0.22) / 0.08) ** 2))
    width = width * (0.80 + 0.20 * body.weight + 0.22 * (body.weight - 1) * belly)
    depth = depth * (0.62 + 0.38 * body.weight + 0.75 * max(body.weight - 1, 0) * belly)
    shift = shift + 0.035 * max(body.weight - 1, 0) * belly
    hang = levels > 0.09
    for radius in (width, depth):
        running = np.maximum.accumulate(np.where(hang, radius, 0))
        radius[hang] = (radius * (1 - drape) + running * drape)[hang]
    ease = 1 + (loose - 1) * np.clip(levels / 0.06, 0.25, 1)
    radii = np.stack([width * ease, depth * ease], axis=1) * body.stature
    part = np.clip(levels / 0.305, 0, None)[:, None]
    centres = joints["neck"] + (joints["pelvis"] - joints["neck"]) * np.minimum(part, 1)
    centres = centres - np.array([0, 1, 0]) * np.clip(levels - 0.305, 0, None)[:, None] * body.stature
    axes = unit(joints["shoulders_axis"] * (1 - np.minimum(part, 1)) + joints["hips_axis"] * np.minimum(part, 1))
    front = cross(axes, UP)
    return centres + front * (shift * body.stature)[:, None], radii, axes


def _wavy(points: np.ndarray, seed: int, amount: float) -> np.ndarray:
    """Garment points pushed in and out a little, growing towards the hem: uneven outlines."""
    rng = np.random.default_rng([seed, 77])
    rings, around = points.shape[:2]
    angle = np.linspace(0, 2 * np.pi, around)
    wave = sum(rng.normal(0, 1) * np.cos(count * angle + rng.uniform(0, 6)) for count in (2, 3, 5)) / 2
    along = np.convolve(rng.normal(0, 1, rings + 4), [0.25, 0.3, 0.25, 0.2], mode="valid")[:rings]
    grow = np.linspace(0.25, 1, rings)
    centre = points[:, :-1].mean(axis=1, keepdims=True)
    factor = 1 + amount * (grow[:, None] * np.asarray(wave)[None] + 0.8 * along[:, None])
    return (centre + (points - centre) * factor[..., None]).astype(np.float32)


def _trunk(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    body, upper, lower = person.body, person.upper, person.lower
    surfaces = []
    tucked = upper.kind in ("shirt", "vest", "blouse") and upper.seed % 3 == 0
    bottom = {"coat": 0.36 + 0.24 * upper.length, "dress": 0.30}.get(
        upper.kind, 0.275 if tucked else 0.33 + 0.3 * upper.length
    )
    drape = {"coat": 0.75, "jacket": 0.75, "hoodie": 0.85, "dress": 0.1, "vest": 0.25, "blouse": 0.5}.get(
        upper.kind, 0.65
    )
    levels = np.linspace(0, bottom, 26)
    centres, radii, axes = trunk_rings(body, joints, levels, upper.loose, drape)
    if upper.kind == "coat":
        radii *= (1 + 0.35 * np.clip(levels - 0.30, 0, None) / 0.3)[:, None]
        centres, radii = _around_legs(centres, radii, joints, levels > 0.32)
    shirt = _wavy(tube(centres, radii, axes, num_u=30, power=2.35), upper.seed, 0.022)
    surfaces.append(Surface(shirt, made["upper"]))
    if lower.kind == "skirt":
        surfaces.append(Surface(_skirt(person, joints), made["lower"]))
    else:
        levels = np.linspace(0.225, 0.385, 12)
        centres, radii, axes = trunk_rings(body, joints, levels, 1 + (lower.loose - 1) * 0.25, 0.2)
        radii[-1] *= 0.6
        surfaces.append(Surface(tube(centres, radii, axes, num_u=28, power=2.3), made["pelvis"]))
    return surfaces


def _around_legs(
    centres: np.ndarray, radii: np.ndarray, joints: Joints, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shift and widen the rings `where` so that they enclose both thighs and shins at their height."""
    centres, radii = centres.copy(), radii.copy()
    for number in np.flatnonzero(where):
        places = [_leg_at(joints, side, centres[number][1]) for side in SIDES]
        middle = (places[0] + places[1]) / 2
        centres[number, 2] = middle[2]
        apart = np.abs(places[0] - places[1]) / 2
        thick = 0.055 + 0.035 * np.clip(centres[number, 1] - 0.45, 0, 0.3) / 0.3
        radii[number, 0] = max(radii[number, 0], apart[0] + thick)
        radii[number, 1] = max(radii[number, 1], apart[2] + thick)
    return centres, radii


def _leg_at(joints: Joints, side: str, height: float) -> np.ndarray:
    """The point of a leg's axis at a height."""
    chain = np.stack([joints[f"{side} {part}"] for part in ("hip", "knee", "ankle")])
    order = np.argsort(chain[:, 1])
    return np.array([np.interp(height, chain[order, 1], chain[order, column]) for column in range(3)])


def _skirt(person: Appearance, joints: Joints) -> np.ndarray:
    body, garment = person.body, person.lower
    top, bottom = 0.235, 0.32 + 0.36 * garment.length
    levels = np.linspace(top, bottom, 20)
    centres, radii, axes = trunk_rings(body, joints, levels, 1.0, 0.3)
    part = np.clip((levels - 0.30) / max(bottom - 0.30, 0.02), 0, 1)
    flare = 0.06 + 0.5 * (garment.seed % 97) / 97
    radii *= (1.03 + flare * part)[:, None]
    centres, radii = _around_legs(centres, radii, joints, levels > 0.33)
    points = tube(centres, radii, axes, num_u=40, power=2.5)
    angle = np.linspace(0, 2 * np.pi, 40)
    pleats = np.cos(angle * (7 + garment.seed % 6) + garment.seed % 7)
    factor = 1 + 0.05 * flare / 0.3 * part[:, None] * pleats[None]
    middle = points[:, :-1].mean(axis=1, keepdims=True)
    return _wavy((middle + (points - middle) * factor[..., None]).astype(np.float32), garment.seed, 0.02)


def _limb(
    path: np.ndarray, keys: np.ndarray, thick: float, rings: int, *, end: float = 1.0, ease: float = 1.0, seed: int = 0
) -> np.ndarray:
    """A limb or its sleeve: the first `end` of `path`, `keys` of the radius as shares of `thick`, widened by `ease`."""
    along = np.linspace(0, end, rings)
    centres = np.stack([np.interp(along, np.linspace(0, 1, len(path)), column) for column in path.T], axis=1)
    radius = np.interp(along, keys[:, 0], keys[:, 1]) * thick * ease
    points = tube(centres, np.stack([radius, radius], axis=1), num_u=18)
    return _wavy(points, seed, 0.03) if seed else points


def _arms(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    body, upper = person.body, person.upper
    thick = body.stature * (0.0360 - 0.005 * body.female) * (0.6 + 0.4 * body.weight)
    surfaces = []
    for side, sign in SIDES.items():
        start = joints[f"{side} shoulder"] + np.array([-sign * 0.020, 0.001, 0]) * body.stature
        path = bent(np.stack([start, joints[f"{side} elbow"], joints[f"{side} wrist"]]), 24)
        sleeve = upper.sleeve
        if sleeve < 0.95:
            surfaces.append(Surface(_limb(path, ARM, thick, 20), made["skin"]))
        if sleeve > 0:
            loose = 1.14 + 0.55 * (upper.loose - 1) + (0.22 if sleeve < 0.6 else 0.04)
            keys = ARM.copy()
            keys[:, 1] = np.maximum(keys[:, 1], np.interp(keys[:, 0], [0, 0.1, 0.5, 1], [0, 0.86, 0.86, 0.66]))
            points = _limb(path, keys, thick, 18, end=min(sleeve, 0.99), ease=loose, seed=upper.seed + int(sign) + 2)
            surfaces.append(Surface(points, made["sleeve"]))
        surfaces.append(Surface(_hand(joints, side, body), made["skin"]))
    return surfaces


def _hand(joints: Joints, side: str, body: Body) -> np.ndarray:
    wrist, tip = joints[f"{side} wrist"], joints[f"{side} hand"]
    along = unit(wrist - tip)
    thumb = unit(np.array([0.0, 0.15, 1.0]) - along * float(along @ np.array([0.0, 0.15, 1.0])))
    axes = np.stack([cross(along, thumb), along, thumb]).astype(np.float32)
    size = body.stature
    return ellipsoid(wrist * 0.42 + tip * 0.58, np.array([0.011, 0.045, 0.021]) * size, axes, power=2.3)


def _legs(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    body, lower = person.body, person.lower
    thick = body.stature * (0.0515 + 0.002 * body.female) * (0.62 + 0.38 * body.weight)
    surfaces = []
    for side, sign in SIDES.items():
        chain = np.stack([joints[f"{side} {part}"] for part in ("hip", "knee", "ankle")])
        path = bent(chain, 30)
        covered = 1.0 if lower.kind in ("trousers", "jeans", "leggings") else 0.0
        if not covered:
            surfaces.append(Surface(_limb(path, LEG, thick, 24), made["skin"]))
        if lower.kind != "skirt":
            surfaces.append(Surface(_trouser(path, person, thick, int(sign)), made["lower"]))
        surfaces.extend(_shoe(joints, side, person, made))
    return surfaces


def _trouser(path: np.ndarray, person: Appearance, thick: float, side: int) -> np.ndarray:
    lower = person.lower
    width = {"leggings": 0.36, "jeans": 0.52, "shorts": 1.05}.get(lower.kind, 0.56 + 0.3 * (lower.seed % 11) / 11)
    keys = LEG.copy()
    keys[:, 1] = np.maximum(keys[:, 1], np.interp(keys[:, 0], [0, 0.25, 1], [1.0, 0.95, width])) * lower.loose
    keys[:2, 1] = np.minimum(keys[:2, 1], 1.1)
    return _limb(
        path, keys, thick, 30, end=lower.length if lower.kind == "shorts" else 0.985, seed=lower.seed + side + 2
    )


def _shoe(joints: Joints, side: str, person: Appearance, made: dict[str, Material]) -> list[Surface]:
    size = person.body.stature
    heel, toe, ankle = (joints[f"{side} {part}"] for part in ("heel", "toe", "ankle"))
    up = unit(ankle - (heel * 0.75 + toe * 0.25))
    keys = np.array(
        [
            [0, 0.35, 0.45],
            [0.06, 0.85, 0.85],
            [0.25, 0.95, 1.0],
            [0.45, 0.98, 0.85],
            [0.7, 1.12, 0.62],
            [0.9, 0.92, 0.5],
            [1, 0.35, 0.3],
        ]
    )
    shape = profile(keys, 16)
    radii = shape * np.array([0.0245, 0.0245]) * size
    along = np.linspace(0, 1, 16)[:, None]
    centres = heel + (toe - heel) * along + up * (radii[:, 1:] * 0.92 + 0.002)
    shoe = tube(centres.astype(np.float32), radii, num_u=16, power=2.4)
    calf = np.stack([ankle + (joints[f"{side} knee"] - ankle) * 0.12, ankle, heel * 0.62 + toe * 0.38])
    collar = tube(bent(calf, 8), np.full((8, 2), 0.0215 * size), num_u=14)
    return [Surface(shoe, made["shoe"]), Surface(collar, made["sock"])]


def _head(person: Appearance, pose: Pose, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    body = person.body
    size = body.stature * body.head
    turn = rotation_y(pose.head_yaw)
    pitch = np.array(
        [
            [1, 0, 0],
            [0, np.cos(pose.head_pitch), np.sin(pose.head_pitch)],
            [0, -np.sin(pose.head_pitch), np.cos(pose.head_pitch)],
        ]
    )
    axes = (pitch @ turn).astype(np.float32)
    centre = joints["head"]
    neck_path = np.stack(
        [centre - axes[1] * 0.035 * size - axes[2] * 0.012 * size, joints["neck"] - [0, 0.012 * size, 0]]
    )
    surfaces = [
        Surface(_head_shape(centre, axes, size, 1.0), made["head"]),
        Surface(
            tube(bent(neck_path, 6), np.full((6, 2), (0.033 - 0.005 * body.female) * size), num_u=16), made["skin"]
        ),
    ]
    for sign in (-1, 1):
        ear = centre + axes[0] * sign * 0.0475 * size - axes[1] * 0.008 * size - axes[2] * 0.006 * size
        surfaces.append(Surface(ellipsoid(ear, np.array([0.006, 0.018, 0.011]) * size, axes), made["skin"]))
    surfaces.extend(_hair_parts(person, centre, axes, size, joints, made))
    surfaces.extend(_hat_parts(person, centre, axes, size, made))
    return surfaces


def _head_shape(centre: np.ndarray, axes: np.ndarray, size: float, grow: float) -> np.ndarray:
    """A head (22, 30, 3): an egg with a jaw, and a nose where `grow` is 1 (bare head)."""
    tilt = np.linspace(0.03, np.pi - 0.03, 22)
    angle = np.linspace(0, 2 * np.pi, 30)
    v = tilt / np.pi
    jaw = np.interp(v, [0, 0.55, 0.72, 0.88, 1], [1, 1, 0.93, 0.80, 0.7])
    width = np.sin(tilt) ** 0.85 * 0.0455 * jaw
    depth = np.sin(tilt) ** 0.85 * 0.0565 * np.interp(v, [0, 0.6, 1], [1, 1, 0.86])
    local = np.stack(
        [
            width[:, None] * np.sin(angle),
            np.repeat(0.066 * np.cos(tilt)[:, None], 30, axis=1),
            -depth[:, None] * np.cos(angle),
        ],
        axis=-1,
    )
    local[..., 2] += np.interp(v, [0, 0.5, 1], [-0.004, 0.0, 0.010])[:, None]
    if grow == 1.0:
        across = np.abs(angle / (2 * np.pi) - 0.5)
        local[..., 2] += 0.013 * np.exp(-(((v - 0.58) / 0.06) ** 2))[:, None] * np.exp(-((across / 0.03) ** 2))[None]
    return (centre + (local * grow * size) @ axes).astype(np.float32)


def _hair_parts(
    person: Appearance, centre: np.ndarray, axes: np.ndarray, size: float, joints: Joints, made: dict[str, Material]
) -> list[Surface]:
    grow = {"crop": 1.035, "bald": 1.025, "short": 1.09, "bun": 1.07, "ponytail": 1.07}.get(person.hair, 1.13)
    lift = axes[1] * 0.004 * size - axes[2] * 0.003 * size
    parts = [
        Surface(_wavy(_head_shape(centre + lift, axes, size, grow), person.seed, 0.012), made["hair"], open_back=True)
    ]
    back = -axes[2]
    if person.hair in ("long", "bob"):
        length = 0.11 if person.hair == "bob" else 0.17 + 0.10 * (person.seed % 13) / 13
        low = joints["neck"] + back * 0.035 * size - np.array([0, length - 0.06, 0]) * size
        path = bent(
            np.stack(
                [centre + axes[1] * 0.02 * size + lift, centre - axes[1] * 0.05 * size + back * 0.012 * size, low]
            ),
            16,
        )
        shape = profile(
            np.array(
                [[0, 0.052, 0.062], [0.3, 0.056, 0.060], [0.6, 0.058, 0.050], [0.9, 0.055, 0.036], [1, 0.040, 0.024]]
            ),
            16,
        )
        parts.append(
            Surface(_wavy(tube(path, shape * size, axes[0], num_u=26), person.seed, 0.03), made["mane"], open_back=True)
        )
    elif person.hair == "ponytail":
        knot = centre + back * 0.06 * size + axes[1] * 0.015 * size
        low = knot + back * 0.03 * size - np.array([0, 0.13 + 0.06 * (person.seed % 5) / 5, 0]) * size
        radii = (
            profile(np.array([[0, 0.010, 0.010], [0.25, 0.020, 0.020], [0.7, 0.018, 0.018], [1, 0.006, 0.006]]), 12)
            * size
        )
        middle = (knot + low) / 2 + back * 0.025 * size
        parts.append(Surface(tube(bent(np.stack([knot, middle, low]), 12), radii, num_u=12), made["lock"]))
    elif person.hair == "bun":
        parts.append(
            Surface(
                ellipsoid(centre + back * 0.06 * size + axes[1] * 0.032 * size, np.full(3, 0.028) * size, axes),
                made["lock"],
            )
        )
    return parts


def _hat_parts(
    person: Appearance, centre: np.ndarray, axes: np.ndarray, size: float, made: dict[str, Material]
) -> list[Surface]:
    if person.hat == "none":
        return []
    top = centre + axes[1] * 0.010 * size
    dome = _head_shape(top, axes, size, 1.16)[: 11 if person.hat != "beanie" else 12]
    parts = [Surface(dome, made["hat"])]
    if person.hat == "cap":
        parts.append(
            Surface(
                ellipsoid(
                    top + axes[2] * 0.075 * size + axes[1] * 0.008 * size, np.array([0.042, 0.004, 0.045]) * size, axes
                ),
                made["hat"],
            )
        )
    elif person.hat == "sun hat":
        parts.append(
            Surface(ellipsoid(top + axes[1] * 0.004 * size, np.array([0.105, 0.007, 0.115]) * size, axes), made["hat"])
        )
    return parts


def _bag(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    size, bag = person.body.stature, person.bag
    if bag == "none":
        return []
    big = 0.85 + 0.35 * (person.seed % 17) / 17
    up = unit(joints["neck"] - joints["pelvis"])
    side = unit(joints["shoulders_axis"])
    front = cross(side, up)
    axes = np.stack([side, up, front]).astype(np.float32)
    if bag == "backpack":
        deep = 0.045 * big
        place = joints["chest"] - front * (0.060 * (0.6 + 0.4 * person.body.weight) + deep) * size - up * 0.055 * size
        return [
            Surface(
                _wavy(
                    ellipsoid(place, np.array([0.080, 0.115, deep / 0.95]) * big * size, axes, power=3.2),
                    person.seed,
                    0.02,
                ),
                made["bag"],
            )
        ]
    if bag == "shoulder":
        place = joints["pelvis"] - side * 0.125 * size + up * 0.015 * size - front * 0.01 * size
        return [Surface(ellipsoid(place, np.array([0.028, 0.055, 0.072]) * big * size, axes, power=3.4), made["bag"])]
    hand = joints["right hand"]
    if bag == "handbag":
        place = hand - np.array([0, 0.095, 0]) * size
        shape = ellipsoid(place, np.array([0.030, 0.055, 0.075]) * big * size, power=3.2)
    else:
        place = hand - np.array([0, 0.12, 0]) * size
        shape = _wavy(ellipsoid(place, np.array([0.045, 0.095, 0.065]) * big * size, power=2.6), person.seed, 0.07)
    handle = tube(
        bent(np.stack([hand + [0, 0.01, 0], place + [0, 0.04 * size, 0]]), 5), np.full((5, 2), 0.006 * size), num_u=8
    )
    return [Surface(shape, made["bag"]), Surface(handle, made["strap"])]
