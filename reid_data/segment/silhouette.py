"""Where the person usually is in a pedestrian crop: the mean of many drawn silhouettes.

Nothing here is learnt from photographs. The figures follow common body proportions (a head is about an eighth of the
height, the crotch lies near the middle); their place and size in the crop cover what detectors and hand-drawn boxes
leave around a person: 0-7 % above the head, 0-8 % below the feet.
"""

from functools import cache

import cv2
import numpy as np

SIZE = (128, 64)
NUM_FIGURES = 300
_FINE = 4


@cache
def mean_silhouette() -> np.ndarray:
    """(128, 64) float32 in [0, 1]: the share of drawn figures that cover each pixel. Read-only."""
    rng = np.random.default_rng(0)
    mean = np.mean([draw_silhouette(rng) for _ in range(NUM_FIGURES)], axis=0)
    mean = ((mean + mean[:, ::-1]) / 2).astype(np.float32)
    mean.setflags(write=False)
    return mean


def draw_silhouette(rng: np.random.Generator) -> np.ndarray:
    """One random walking or standing figure, (128, 64) float in [0, 1]."""
    height, width = SIZE[0] * _FINE, SIZE[1] * _FINE
    top, bottom = rng.uniform(0.0, 0.07), rng.uniform(0.92, 1.0)
    centre, breadth = 0.5 + rng.normal(0, 0.06), rng.uniform(0.65, 1.15)
    canvas = np.zeros((height, width), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round((centre + breadth * x) * width), round((top + y * (bottom - top)) * height)

    def limb(points: list[tuple[int, int]], thickness: float) -> None:
        cv2.polylines(canvas, [np.array(points)], False, 255, round(thickness * breadth * width))

    head = rng.normal(0, 0.05)
    cv2.ellipse(
        canvas,
        at(head, 0.08),
        (round(0.15 * breadth * width), round(0.08 * (bottom - top) * height)),
        0,
        0,
        360,
        255,
        -1,
    )
    shoulder, waist, hip = rng.uniform(0.22, 0.36), rng.uniform(0.17, 0.26), rng.uniform(0.18, 0.28)
    right = [(head + 0.08, 0.14), (shoulder, 0.20), (shoulder + 0.02, 0.27), (waist, 0.40), (hip, 0.53)]
    left = [(2 * head - x if y < 0.15 else -x, y) for x, y in right]
    cv2.fillPoly(canvas, [np.array([at(x, y) for x, y in [*right, *left[::-1]]])], 255)
    for side in (-1, 1):
        elbow, hand = shoulder + rng.uniform(-0.02, 0.08), shoulder + rng.uniform(-0.15, 0.12)
        arm = [(shoulder - 0.04, 0.21), (elbow, 0.35), (hand, rng.uniform(0.38, 0.54))]
        limb([at(side * x, y) for x, y in arm], 0.09)
    stride = abs(rng.normal(0, 0.16))
    for side in (-1, 1):
        foot = side * (0.09 + stride * rng.uniform(0.5, 1.2)) + rng.normal(0, 0.03)
        knee = (side * 0.12 + foot) / 2
        limb([at(side * hip / 2, 0.50), at(knee, 0.75)], 0.20)
        limb([at(knee, 0.75), at(foot, 0.96)], 0.14)
        toe = at(foot + rng.normal(0, 0.04), 0.975)
        cv2.ellipse(canvas, toe, (round(0.1 * breadth * width), round(0.025 * height)), 0, 0, 360, 255, -1)
    return cv2.resize(canvas, SIZE[::-1], interpolation=cv2.INTER_AREA) / 255
