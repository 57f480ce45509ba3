"""From an appearance and a posture to the surfaces of the person, the clothes and the carried things."""

import numpy as np

from reid_data.synth.paint.materials import materials
from reid_data.synth.paint.surface import Material, Surface, cross, tube, unit, wavy
from reid_data.synth.person.appearance import Appearance
from reid_data.synth.person.carried import bags
from reid_data.synth.person.heads import head
from reid_data.synth.person.limbs import arms, legs
from reid_data.synth.person.pose import SIDES, Body, Joints, Pose, skeleton

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


def dress(person: Appearance, pose: Pose) -> list[Surface]:
    """All surfaces of a person in a posture. The person faces +z and stands above the origin."""
    joints = skeleton(person.body, pose)
    made = materials(person)
    return [
        *head(person, pose, joints, made),
        *arms(person, joints, made),
        *legs(person, joints, made),
        *_trunk(person, joints, made),
        *bags(person, joints, made),
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
    shirt = wavy(tube(centres, radii, axes, num_u=30, power=2.35), upper.seed, 0.022)
    surfaces.append(Surface(shirt, made["upper"], over=0.08 if upper.kind == "coat" else 0.035))
    if lower.kind == "skirt":
        surfaces.append(Surface(_skirt(person, joints), made["lower"], over=0.03))
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
    return wavy((middle + (points - middle) * factor[..., None]).astype(np.float32), garment.seed, 0.02)
