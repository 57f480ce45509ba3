"""What people carry or ride: bags, and a bicycle under or beside them."""

import numpy as np

from reid_data.synth.paint.materials import materials
from reid_data.synth.paint.surface import THING, Material, Surface, bent, cross, ellipsoid, tube, unit, wavy
from reid_data.synth.person.appearance import Appearance
from reid_data.synth.person.pose import Joints, Pose

WHEEL = 0.335
BASE = 0.53  # half the distance of the axles
PUSHED_AT = -0.42


def bicycle(person: Appearance, pose: Pose) -> list[Surface]:
    """The surfaces of the bicycle that a posture asks for (none when walking or standing)."""
    if pose.style not in ("ride", "push"):
        return []
    made = materials(person)
    aside = np.array([PUSHED_AT if pose.style == "push" else 0.0, 0, 0.05 if pose.style == "ride" else 0.25])
    rear, front = np.array([0, WHEEL, -BASE]), np.array([0, WHEEL, BASE])
    crank, seat, head = np.array([0, 0.29, -0.10]), np.array([0, 0.90, -0.24]), np.array([0, 0.90, 0.36])
    parts = [_ring(centre + aside, made["tyre"]) for centre in (rear, front)]
    bars = [
        (crank, seat),
        (crank, head * [1, 0.85, 1]),
        (seat * [1, 0.88, 1], head * [1, 0.92, 1]),
        (rear, crank),
        (rear, seat * [1, 0.85, 1]),
        (front, head),
    ]
    parts += [_bar(start + aside, end + aside, 0.017, made["frame"]) for start, end in bars]
    stem = head + np.array([0, 0.13, -0.03])
    grips = stem + np.array([[-0.27, 0.02, -0.10], [-0.12, 0.0, 0.0], [0.12, 0.0, 0.0], [0.27, 0.02, -0.10]])
    parts.append(
        Surface(
            tube(bent(grips + aside, 10), np.full((10, 2), 0.014), np.array([0.0, 1.0, 0.0]), num_u=8),
            made["metal"],
            THING,
        )
    )
    parts.append(_bar(head + aside, stem + aside, 0.014, made["metal"]))
    parts.append(Surface(ellipsoid(seat + aside + [0, 0.02, 0], np.array([0.07, 0.03, 0.13])), made["tyre"], THING))
    if person.seed % 2:
        parts.append(
            Surface(
                ellipsoid(front + aside + [0, 0.42, 0.02], np.array([0.16, 0.11, 0.12]), power=4), made["metal"], THING
            )
        )
    spokes = [_bar(centre + aside, centre + aside + WHEEL * 0.95 * np.array([0, np.sin(a), np.cos(a)]), 0.004, made["metal"])
              for centre in (rear, front) for a in np.linspace(0, 2 * np.pi, 9)[:-1]]  # fmt: skip
    return parts + spokes


def _bar(start: np.ndarray, end: np.ndarray, radius: float, material: Material) -> Surface:
    return Surface(tube(bent(np.stack([start, end]), 4), np.full((4, 2), radius), num_u=8), material, THING)


def _ring(centre: np.ndarray, material: Material) -> Surface:
    angle = np.linspace(0, 2 * np.pi, 33)
    outward = np.stack([np.zeros(33), np.sin(angle), np.cos(angle)], axis=1)
    around = np.linspace(0, 2 * np.pi, 9)
    points = (
        centre
        + outward[:, None] * (WHEEL + 0.022 * np.cos(around))[None, :, None]
        + 0.022 * np.sin(around)[None, :, None] * np.array([1.0, 0, 0])
    )
    return Surface(points.astype(np.float32), material, THING, open_back=True)


def bags(person: Appearance, joints: Joints, made: dict[str, Material]) -> list[Surface]:
    """The bag of a person, if there is one; its strap across the chest belongs to the garment's texture."""
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
                wavy(
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
        shape = wavy(ellipsoid(place, np.array([0.045, 0.095, 0.065]) * big * size, power=2.6), person.seed, 0.07)
    ends = np.stack([hand, place]) + np.array([[0, 0.01, 0], [0, 0.04 * size, 0]])
    handle = tube(bent(ends, 5), np.full((5, 2), 0.006 * size), num_u=8)
    return [Surface(shape, made["bag"]), Surface(handle, made["strap"])]
