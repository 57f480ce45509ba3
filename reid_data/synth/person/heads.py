"""Heads with hair and hats."""

import numpy as np

from reid_data.synth.paint.surface import Material, Surface, bent, ellipsoid, profile, rotation_y, tube, wavy
from reid_data.synth.person.appearance import Appearance
from reid_data.synth.person.pose import Joints, Pose


def head(person: Appearance, pose: Pose, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    """Head, neck, ears, hair and hat."""
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
    grow = {"crop": 1.035, "bald": 1.012, "short": 1.09, "bun": 1.07, "ponytail": 1.07}.get(person.hair, 1.13)
    lift = axes[1] * 0.004 * size - axes[2] * 0.003 * size
    parts = [
        Surface(wavy(_head_shape(centre + lift, axes, size, grow), person.seed, 0.012), made["hair"], open_back=True)
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
            Surface(wavy(tube(path, shape * size, axes[0], num_u=26), person.seed, 0.03), made["mane"], open_back=True)
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
