"""Augmentation of training images with albumentations, on uint8 RGB already at the input size.

Draws depend only on the seed handed in with each image, so the number of loader processes cannot change them.
Normalisation is not here: batches travel as uint8 and are normalised on the device that trains.
"""

import os
from collections.abc import Callable, Sequence

os.environ["NO_ALBUMENTATIONS_UPDATE"] = (
    "1"  # read at import: albumentations would ask a package registry for its newest version
)

import albumentations as A
import numpy as np

VERSIONS = {"augmentation": 1}  # train_transform

Transform = Callable[[np.ndarray, int], np.ndarray]


def train_transform(
    size: tuple[int, int],
    *,
    flip: float,
    pad_crop: int,
    random_erasing: float,
    fill: tuple[int, int, int],
    first: Sequence[A.BasicTransform] = (),
) -> Transform:
    """A function (image (H, W, 3) uint8 RGB at `size` = (height, width), seed) -> an augmented image of the same shape.

    flip, random_erasing: probabilities. pad_crop: pixels of black padding before a random crop back to `size`.
    Erased: a rectangle of 2 to 40 % of the area and aspect 0.3 to 3.3 (Zhong et al., arXiv:1708.04896), filled with
    `fill` (0..255 per channel; the mean, so that it is 0 after normalisation). `first`: transforms to run before these.
    """
    steps: list[A.BasicTransform] = list(first)
    if flip:
        steps.append(A.HorizontalFlip(p=flip))
    if pad_crop:
        steps += [A.Pad(pad_crop, p=1), A.RandomCrop(*size, p=1)]
    if random_erasing:
        steps.append(A.Erasing(scale=(0.02, 0.4), ratio=(0.3, 3.3), fill=fill, p=random_erasing))
    pipeline = A.Compose(steps)

    def apply(image: np.ndarray, seed: int) -> np.ndarray:
        if not steps:
            return image
        pipeline.set_random_seed(seed)
        return np.asarray(pipeline(image=image)["image"])

    return apply
