"""Body measures and posture: from a few numbers to the joints of a skeleton, in metres.

Lengths of segments as shares of stature follow the usual anthropometric table (Drillis and Contini 1966, in Winter,
Biomechanics and Motor Control of Human Movement); the gait curves are rough fits of its joint angles over a stride.
"""

from dataclasses import dataclass

import numpy as np

from reid_data.synth.paint.surface import unit

Joints = dict[str, np.ndarray]
SIDES = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class Body:
    """Measures of one person: `stature` in metres, `female` 0..1, `weight` about 0.85 (thin) to 1.35 (heavy), `head`
    and `legs` relative sizes about 1."""

    stature: float
    female: float
    weight: float
    head: float
    legs: float

    @property
    def shoulder(self) -> float:
        """Half the distance of the shoulder joints."""
        return self.stature * (0.106 - 0.011 * self.female) * (0.9 + 0.1 * self.weight)

    @property
    def hip(self) -> float:
        """Half the distance of the hip joints."""
        return self.stature * (0.048 + 0.003 * self.female)


@dataclass(frozen=True)
class Pose:
    """One posture. `style` walk, stand, ride or push; `phase` of the stride 0..1; `stride` its size about 1 (0 stands);
    `arms` (left, right) each a key of ARM_GOALS, swing or carry; angles in radians."""

    style: str
    phase: float
    stride: float
    arms: tuple[str, str]
    arm_swing: float
    elbow: float
    lean: float
    sway: float
    head_yaw: float
    head_pitch: float
    spread: float


def draw_pose(rng: np.random.Generator, style: str, arms: tuple[str, str] = ("swing", "swing")) -> Pose:
    """A random posture of a `style`; `arms` that the person's things ask for are kept, free ones may be used."""
    free = {
        "walk": ["swing"] * 24 + ["phone", "pocket", "ear", "hold", "behind"],
        "stand": ["swing", "swing", "phone", "pocket", "pocket", "ear", "hold", "behind", "crossed"],
    }
    chosen = tuple(arm if arm != "swing" else str(rng.choice(free.get(style, ["swing"]))) for arm in arms)
    if chosen[0] in ("hold", "behind", "crossed") and arms[1] == "swing":
        chosen = (chosen[0], chosen[0])
    elif chosen[0] == chosen[1] and chosen[0] in ("phone", "ear"):
        chosen = (chosen[0], "swing")
    if style in ("ride", "push"):
        chosen = ("bar", "bar") if style == "ride" else ("swing" if arms[0] == "swing" else arms[0], "bar")
    stride = {"walk": rng.uniform(0.65, 1.2), "push": rng.uniform(0.5, 0.9)}.get(style, rng.uniform(0.0, 0.12))
    return Pose(
        style=style,
        phase=float(rng.uniform()),
        stride=float(stride),
        arms=(chosen[0], chosen[1]),
        arm_swing=float(rng.uniform(0.5, 1.25)),
        elbow=float(rng.uniform(0.12, 0.6)),
        lean=float(rng.normal(0.03, 0.03)) + (0.3 if style == "ride" else 0.0),
        sway=float(rng.normal(0, 0.02)),
        head_yaw=float(rng.normal(0, 0.35)),
        head_pitch=float(rng.normal(0.1, 0.1)) + (0.25 if "phone" in chosen else 0.0),
        spread=float(rng.uniform(0.06, 0.2) if rng.uniform() < 0.7 else rng.uniform(0.2, 0.42)),
    )


def skeleton(body: Body, pose: Pose) -> Joints:
    """Joints by name, each (3,) float32: pelvis, chest, neck, head, and per side hip, knee, ankle, heel, toe, shoulder,
    elbow, wrist, hand; also the sideways axes `hips_axis` and `shoulders_axis`. The lowest foot stands on y = 0."""
    size = body.stature
    joints: Joints = {}
    twist = 0.10 * pose.stride * np.cos(2 * np.pi * pose.phase)
    hips_axis = np.array([np.cos(twist), 0.3 * pose.sway, np.sin(twist)])
    joints["hips_axis"] = hips_axis
    joints["shoulders_axis"] = np.array([np.cos(1.3 * twist), -0.4 * pose.sway, -np.sin(1.3 * twist)])
    pelvis = np.zeros(3)
    up = unit(np.array([np.sin(pose.sway), np.cos(pose.lean), np.sin(pose.lean)]))
    joints["pelvis"] = pelvis
    joints["chest"] = pelvis + up * size * 0.25
    joints["neck"] = pelvis + up * size * 0.305
    forward = np.array([0, np.cos(pose.lean * 0.5), np.sin(pose.lean * 0.5) + 0.10])
    joints["head"] = joints["neck"] + unit(forward) * size * 0.084
    if pose.style == "ride":
        _ride_legs(joints, body, pose)
    else:
        _walk_legs(joints, body, pose)
    _arms(joints, body, pose)
    lowest = min(float(joints[f"{side} {part}"][1]) for side in SIDES for part in ("heel", "toe"))
    ground = lowest if pose.style != "ride" else -SEAT_HEIGHT * size / 1.72
    for name, place in joints.items():
        if not name.endswith("axis"):
            joints[name] = (place - [0, ground, 0]).astype(np.float32)
    return joints


SEAT_HEIGHT = 0.97  # of the pelvis on a bicycle, for a person of 1.72 m


def _walk_legs(joints: Joints, body: Body, pose: Pose) -> None:
    size = body.stature
    for side, sign in SIDES.items():
        phase = (pose.phase + (0.5 if sign < 0 else 0.0)) % 1
        flex = np.radians(6 + 24 * np.cos(2 * np.pi * phase)) * pose.stride + np.radians(1)
        swing = np.exp(-(((phase - 0.72) / 0.11) ** 2)) + np.exp(-(((phase - 1.72) / 0.11) ** 2))
        knee = np.radians(4 + (9 * np.exp(-(((phase - 0.14) / 0.08) ** 2)) + 54 * swing) * min(pose.stride, 1.1))
        lift = np.interp(phase, [0, 0.08, 0.40, 0.60, 0.75, 0.92, 1], [0.28, 0.0, -0.15, -0.85, -0.45, 0.2, 0.28])
        foot = lift * pose.stride
        hip = joints["pelvis"] + joints["hips_axis"] * sign * body.hip + [0, -0.005 * size, 0]
        out = sign * (0.02 + 0.10 * pose.spread * (1 - min(pose.stride, 1)))
        thigh = unit(np.array([out, -np.cos(flex), np.sin(flex)]))
        shank = unit(np.array([out * 0.2, -np.cos(flex - knee), np.sin(flex - knee)]))
        joints[f"{side} hip"] = hip
        joints[f"{side} knee"] = hip + thigh * size * 0.245 * body.legs
        joints[f"{side} ankle"] = joints[f"{side} knee"] + shank * size * 0.245 * body.legs
        _foot(joints, side, sign, foot, 0.12 + 0.3 * pose.spread, size)


def _foot(joints: Joints, side: str, sign: float, pitch: float, out: float, size: float) -> None:
    turn = sign * out
    along = np.array([np.sin(turn) * np.cos(pitch), np.sin(pitch), np.cos(turn) * np.cos(pitch)])
    down = np.array([0, -np.cos(pitch), np.sin(pitch)])
    ankle = joints[f"{side} ankle"]
    joints[f"{side} heel"] = ankle + down * size * 0.036 - along * size * 0.035
    joints[f"{side} toe"] = ankle + down * size * 0.036 + along * size * 0.115


def _ride_legs(joints: Joints, body: Body, pose: Pose) -> None:
    size = body.stature
    for side, sign in SIDES.items():
        angle = 2 * np.pi * pose.phase + (np.pi if sign < 0 else 0)
        pedal = np.array([sign * 0.065 * size, -0.41 * size, 0.14 * size]) + 0.095 * size * np.array(
            [0, np.sin(angle), np.cos(angle)]
        )
        hip = joints["pelvis"] + [sign * body.hip, 0, 0]
        joints[f"{side} hip"] = hip
        ankle = pedal + np.array([0, 0.045 * size, -0.03 * size])
        joints[f"{side} knee"], joints[f"{side} ankle"] = reach(
            hip, ankle, 0.245 * size, 0.245 * size, np.array([sign * 0.1, 0.1, 1])
        )
        _foot(joints, side, sign, -0.15, 0.05, size)


def reach(
    start: np.ndarray, goal: np.ndarray, upper: float, lower: float, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle joint and end of a two-bone limb from `start` to `goal` (pulled in if too far), bending `towards`."""
    line = goal - start
    length = min(float(np.linalg.norm(line)), 0.995 * (upper + lower))
    line = unit(line)
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    bend = unit(towards - line * float(towards @ line))
    middle = start + line * along + bend * np.sqrt(max(upper**2 - along**2, 1e-6))
    return middle, start + line * length


def _arms(joints: Joints, body: Body, pose: Pose) -> None:
    size = body.stature
    for side, sign in SIDES.items():
        kind = pose.arms[0 if sign > 0 else 1]
        shoulder = (
            joints["pelvis"]
            + (joints["neck"] - joints["pelvis"]) * 0.915
            + joints["shoulders_axis"] * sign * body.shoulder
        )
        joints[f"{side} shoulder"] = shoulder
        phase = (pose.phase + (0.5 if sign < 0 else 0.0)) % 1
        if kind in ("swing", "carry"):
            amount = pose.arm_swing * pose.stride * (0.35 if kind == "carry" else 1)
            flex = np.radians(-2 - 21 * np.cos(2 * np.pi * phase)) * amount
            elbow = (pose.elbow if kind == "swing" else 0.08) + max(float(flex), 0) * 0.8
            out = sign * (pose.spread + 0.05 * (body.weight - 1) + (0.05 if kind == "carry" else 0))
            upper = unit(np.array([out, -np.cos(flex), np.sin(flex)]))
            lower = unit(np.array([out * 0.3, -np.cos(flex + elbow), np.sin(flex + elbow)]))
            joints[f"{side} elbow"] = shoulder + upper * size * 0.172
            joints[f"{side} wrist"] = joints[f"{side} elbow"] + lower * size * 0.142
        else:
            goal, towards = _hand_goal(kind, joints, body, sign)
            joints[f"{side} elbow"], joints[f"{side} wrist"] = reach(
                shoulder, goal, 0.172 * size, 0.142 * size, towards
            )
        direction = unit(joints[f"{side} wrist"] - joints[f"{side} elbow"])
        joints[f"{side} hand"] = joints[f"{side} wrist"] + direction * size * 0.085


def _hand_goal(kind: str, joints: Joints, body: Body, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the wrist goes and where the elbow points."""
    joint, offset, towards = ARM_GOALS[kind]
    mirror = np.array([sign, 1.0, 1.0])
    return joints[joint] + mirror * np.array(offset) * body.stature, mirror * np.array(towards)


ARM_GOALS = {  # joint, offset of the wrist (outwards, up, forwards; shares of stature), direction of the elbow
    "phone": ("chest", (0.03, -0.02, 0.17), (0.5, -1.0, -0.2)),
    "ear": ("head", (0.065, -0.04, 0.03), (0.5, -1.0, 0.25)),
    "hold": ("chest", (0.05, -0.10, 0.15), (0.7, -0.8, -0.3)),
    "crossed": ("chest", (-0.05, -0.03, 0.11), (0.8, -0.6, 0.0)),
    "behind": ("pelvis", (0.02, 0.05, -0.10), (0.9, 0.1, -0.5)),
    "pocket": ("pelvis", (0.115, 0.025, 0.03), (0.6, -0.5, -0.7)),
    "strap": ("chest", (0.075, 0.01, 0.10), (0.8, -1.0, -0.2)),
    "bar": ("pelvis", (0.14, 0.07, 0.33), (0.7, -0.7, -0.2)),
}
