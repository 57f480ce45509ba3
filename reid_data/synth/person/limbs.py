"""Arms and legs, with their sleeves, trousers and shoes."""

import numpy as np

from reid_data.synth.paint.surface import Material, Surface, bent, cross, ellipsoid, even, profile, tube, unit, wavy
from reid_data.synth.person.appearance import Appearance
from reid_data.synth.person.pose import SIDES, Body, Joints

# Along a limb, the radius as a share of its thickest.
ARM = np.array(
    [[0, 0.40], [0.03, 0.80], [0.10, 1.0], [0.30, 0.95], [0.52, 0.80], [0.62, 0.82], [0.85, 0.62], [1, 0.52]]
)
LEG = np.array(
    [[0, 1.0], [0.08, 1.03], [0.25, 0.92], [0.47, 0.67], [0.53, 0.64], [0.66, 0.68], [0.85, 0.46], [1, 0.38]]
)


def _limb(
    path: np.ndarray, keys: np.ndarray, thick: float, rings: int, *, end: float = 1.0, ease: float = 1.0, seed: int = 0
) -> np.ndarray:
    """A limb or its sleeve: the first `end` of `path`, `keys` of the radius as shares of `thick`, widened by `ease`."""
    along = even(rings) * end
    centres = np.stack([np.interp(along, even(len(path)), column) for column in path.T], axis=1)
    radius = np.interp(along, keys[:, 0], keys[:, 1]) * thick * ease
    points = tube(centres, np.stack([radius, radius], axis=1), num_u=18)
    return wavy(points, seed, 0.03) if seed else points


def arms(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    """Both arms, sleeves and hands."""
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


def legs(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    """Both legs, trousers and shoes."""
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
    along = even(16)[:, None]
    centres = heel + (toe - heel) * along + up * (radii[:, 1:] * 0.92 + 0.002)
    shoe = tube(centres.astype(np.float32), radii, num_u=16, power=2.4)
    calf = np.stack([ankle + (joints[f"{side} knee"] - ankle) * 0.12, ankle, heel * 0.62 + toe * 0.38])
    collar = tube(bent(calf, 8), np.full((8, 2), 0.0215 * size), num_u=14)
    return [Surface(shoe, made["shoe"]), Surface(collar, made["sock"])]
