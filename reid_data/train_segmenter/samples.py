"""Training samples for a pedestrian segmenter: (128, 64) pictures with exact masks, endless, from a bank of cut-outs.

What goes wrong in real crops is drawn on purpose: boxes as tight as a detector's, cut heads and legs, neighbours that
touch, things in front, dark on dark, lost resolution, halos, strong JPEG; and pictures without anybody. Parameters come
from (seed, step, position in the batch) alone.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from reid_data.images import decode_image, encode_jpeg
from reid_data.segment.network import SIZE

VERSIONS = {"segmenter-samples": 1}  # make_batch

CANVAS = (224, 144)
"""Size of a person's canvas; the body is BODY pixels tall and lies in the middle."""
BODY = 150
EMPTY_CANVAS = (176, 96)


@dataclass(frozen=True)
class Bank:
    """Raw material, memory-mapped.

    `people` (N, 224, 144, 4) uint8: RGB and mask of a person with the surroundings; `boxes` (N, 4) float: top, left, bottom,
    right of the mask; `sources` (N,) small integers: people are drawn evenly over the sources, then evenly within one.
    `empty` (M, 176, 96, 3): photographs of places without people. `drawn` (K, 128, 64, 4): finished synthetic crops, RGB and
    mask; `places` (P, 128, 64, 3): synthetic crops without people. Each may have length 0, but not people and drawn both.
    """

    people: np.ndarray
    boxes: np.ndarray
    sources: np.ndarray
    empty: np.ndarray
    drawn: np.ndarray
    places: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "Bank":
        """The bank that lies in a folder, one `.npy` per field."""
        return cls(
            **{
                name: np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in ("people", "boxes", "sources", "empty", "drawn", "places")
            }
        )


@dataclass(frozen=True)
class Mixture:
    """Shares of the samples: `empty` without a person, `drawn` synthetic; the rest are cut-outs from photographs. Where the
    bank lacks a kind, the others take its place."""

    empty: float = 0.13
    drawn: float = 0.17


Pair = tuple[np.ndarray, np.ndarray]
"""A picture (128, 64, 3) float32 0..255 and its mask (128, 64) float32 0..1."""


def make_batch(bank: Bank, mixture: Mixture, seed: int, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch number `step`: pictures (size, 128, 64, 3) uint8 RGB and masks (size, 128, 64) uint8, 0..255."""
    images = np.empty((size, *SIZE, 3), np.uint8)
    masks = np.empty((size, *SIZE), np.uint8)
    for position in range(size):
        rng = np.random.default_rng([seed & 0xFFFFFFFF, step, position])
        images[position], mask = make_sample(bank, mixture, rng)
        masks[position] = np.rint(mask * 255)
    return images, masks


def make_sample(bank: Bank, mixture: Mixture, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One picture (128, 64, 3) uint8 and its mask (128, 64) float32."""
    kind, finished = rng.uniform(), False
    if kind < mixture.empty:
        image, mask = empty_place(bank, rng), np.zeros(SIZE, np.float32)
    elif kind < mixture.empty + mixture.drawn or not len(bank.people):
        image, mask = drawn_person(bank, rng) if len(bank.drawn) else person(bank, rng)
        finished = len(bank.drawn) > 0 and rng.uniform() < 0.35
    else:
        image, mask = person(bank, rng)
        if rng.uniform() < 0.5:
            image, mask = move_elsewhere(image, mask, empty_place(bank, rng), rng)
        if rng.uniform() < 0.33:
            image, mask = add_neighbour(image, mask, bank, rng)
    if rng.uniform() < 0.09:
        image, mask = occlude(image, mask, bank, rng)
    if rng.uniform() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    if finished:  # a drawn crop has had its camera already
        return np.clip(image, 0, 255).astype(np.uint8), np.ascontiguousarray(mask)
    if rng.uniform() < 0.25:
        image = shade(image, rng)
    return degrade(recolour(image, rng), rng), np.ascontiguousarray(mask)


def person(bank: Bank, rng: np.random.Generator) -> Pair:
    """A cut-out with its own surroundings, in a box as a detector or a hand would draw it."""
    source = rng.choice(np.unique(bank.sources))
    index = int(rng.choice(np.flatnonzero(bank.sources == source)))
    matrix = box_matrix(bank.boxes[index], rng)
    canvas = np.asarray(bank.people[index])
    warped = cv2.warpAffine(
        canvas, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    return warped[..., :3], warped[..., 3] / 255


def box_matrix(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The (2, 3) map from crop pixels to canvas pixels for a random box around the body `box`."""
    top, left, bottom, right = (float(value) for value in box)
    tall, wide = bottom - top, right - left
    style = rng.uniform()
    above, below = rng.uniform(0, 0.13), rng.uniform(0, 0.11)
    if style < 0.35:  # tight, as in Market-1501
        above, below = rng.uniform(-0.01, 0.04), rng.uniform(-0.01, 0.03)
    elif style < 0.48:  # a person who fills only part of the box, with much above the head
        above, below = rng.uniform(0.05, 0.45), rng.uniform(0.03, 0.2)
    elif style < 0.59:
        below = -rng.uniform(0.03, 0.35)
    elif style < 0.63:
        above = -rng.uniform(0.03, 0.1)
    height = tall * (1 + above + below)
    width = height / 2 * rng.uniform(0.8, 1.25)
    if style < 0.35:
        width = float(np.clip(wide * rng.uniform(0.95, 1.3), height * 0.33, height * 0.62))
    width = max(width, wide * rng.uniform(0.85, 1.06))
    centre = ((left + right) / 2 + rng.normal(0, 0.035) * width, top - above * tall + height / 2)
    turn = np.deg2rad(rng.normal(0, 3))
    across, down = width / SIZE[1], height / SIZE[0]
    linear = np.array([[np.cos(turn) * across, -np.sin(turn) * down], [np.sin(turn) * across, np.cos(turn) * down]])
    middle = np.array([SIZE[1] / 2 - 0.5, SIZE[0] / 2 - 0.5])
    return np.column_stack([linear, np.array(centre) - linear @ middle])


def empty_place(bank: Bank, rng: np.random.Generator) -> np.ndarray:
    """A place without people, (128, 64, 3) float32: a photograph's patch, now and then two of them, or a synthetic plate.

    Without photographs a third of the places are random shapes and noise: plates alone are too tidy.
    """
    photos = len(bank.empty)
    if not photos and (not len(bank.places) or rng.uniform() < 0.35):
        return clutter(rng)
    if not photos or (len(bank.places) and rng.uniform() < 0.15):
        return _zoom(np.asarray(bank.places[rng.integers(len(bank.places))]), _zoom_matrix(rng))
    image = _patch(np.asarray(bank.empty[rng.integers(photos)]), rng)
    if rng.uniform() < 0.2:
        other = _patch(np.asarray(bank.empty[rng.integers(photos)]), rng)
        axis = int(rng.integers(2))
        place = np.arange(SIZE[axis]) - rng.uniform(0.25, 0.75) * SIZE[axis]
        share = 1 / (1 + np.exp(-place / rng.uniform(0.3, 4)))
        share = (share[:, None] if axis == 0 else share[None, :])[..., None].astype(np.float32)
        image = image * share + other * (1 - share)
    return image


def clutter(rng: np.random.Generator) -> np.ndarray:
    """Noise at several scales with boxes, bars and blobs of any colour, (128, 64, 3) float32: nothing real, but never plain."""
    image = np.full((*SIZE, 3), _dull(rng), np.float32)
    for cells in (2, 6, 20, 64):
        grid = rng.standard_normal((2 * cells, cells, 1)) + 0.2 * rng.standard_normal((2 * cells, cells, 3))
        grid = grid.astype(np.float32)
        image += cv2.resize(grid, SIZE[::-1], interpolation=cv2.INTER_CUBIC) * float(rng.uniform(0, 22))
    for _ in range(int(rng.integers(2, 14))):
        colour = tuple(_dull(rng).tolist())
        x, y = int(rng.integers(-10, SIZE[1] + 10)), int(rng.integers(-10, SIZE[0] + 10))
        across, down = int(rng.integers(2, 34)), int(rng.integers(2, 60))
        kind = rng.uniform()
        if kind < 0.45:
            cv2.rectangle(image, (x, y), (x + across, y + down), colour, -1)
        elif kind < 0.75:
            cv2.line(image, (x, y), (x + int(rng.integers(-60, 60)), y + down), colour, int(rng.integers(1, 6)))
        else:
            cv2.ellipse(image, (x, y), (across, down // 2 + 1), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    grain = rng.standard_normal((*SIZE, 3), np.float32) * np.float32(rng.uniform(0, 18))
    return np.clip(cv2.GaussianBlur(image + grain, (0, 0), float(rng.uniform(0.3, 1.2))), 0, 255)


def _dull(rng: np.random.Generator) -> np.ndarray:
    """A colour (3,) 0..255, mostly near grey as streets are."""
    return np.clip(rng.uniform(10, 245) + rng.normal(0, 40 if rng.uniform() < 0.2 else 12, 3), 0, 255)


def _patch(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random window of half to all of an empty canvas."""
    height = int(rng.uniform(0.55, 1) * canvas.shape[0])
    width = int(min(canvas.shape[1], height / 2 * rng.uniform(0.8, 1.2)))
    top, left = rng.integers(canvas.shape[0] - height + 1), rng.integers(canvas.shape[1] - width + 1)
    window = canvas[top : top + height, left : left + width]
    if rng.uniform() < 0.5:
        window = window[:, ::-1]
    return cv2.resize(window, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def _zoom_matrix(rng: np.random.Generator) -> np.ndarray:
    grow, stretch = rng.uniform(0.8, 1.04), rng.uniform(0.88, 1.1)
    middle = np.array([SIZE[1] / 2 - 0.5, SIZE[0] / 2 - 0.5])
    turn = np.deg2rad(rng.normal(0, 2.5))
    linear = grow * np.array([[np.cos(turn) * stretch, -np.sin(turn)], [np.sin(turn) * stretch, np.cos(turn)]])
    centre = middle + rng.normal(0, 0.02, 2) * SIZE[::-1]
    return np.column_stack([linear, centre - linear @ middle])


def _shrink_matrix(rng: np.random.Generator) -> np.ndarray:
    """For a person 0.6 to 0.95 times as tall whose feet stay on the same row."""
    grow, shift = rng.uniform(1.05, 1.65), rng.normal(0, 0.06) * SIZE[1]
    wide = grow * rng.uniform(0.88, 1.1)
    return np.array([[wide, 0, SIZE[1] / 2 * (1 - wide) + shift], [0, grow, (SIZE[0] - 1) * (1 - grow)]])


def _zoom(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, SIZE[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)


def drawn_person(bank: Bank, rng: np.random.Generator) -> Pair:
    """A synthetic crop, zoomed and moved a little; one in four is moved to another place, one in two without photographs.

    Some of those whom the crop's sides do not cut become smaller there.
    """
    crop = np.asarray(bank.drawn[rng.integers(len(bank.drawn))])
    move = rng.uniform() < (0.25 if len(bank.empty) else 0.5)
    small = move and rng.uniform() < 0.3 and not crop[0, :, 3].any() and not crop[:, [0, -1], 3].any()
    warped = _zoom(crop, _shrink_matrix(rng) if small else _zoom_matrix(rng))
    image, mask = warped[..., :3], warped[..., 3] / 255
    return move_elsewhere(image, mask, empty_place(bank, rng), rng) if move else (image, mask)


def move_elsewhere(image: np.ndarray, mask: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> Pair:
    """Paste the person, recoloured, on another place, with the paste's edge drawn in several ways.

    In one of six pictures person and place are brought to the same darkness.
    """
    alpha = mask
    edge = rng.uniform()
    if edge < 0.35:
        alpha = np.clip((mask - 0.5) * rng.uniform(1.2, 3) + 0.5, 0, 1)
    elif edge < 0.6:
        alpha = cv2.GaussianBlur(np.clip(mask * 1.5 - 0.5, 0, 1), (0, 0), float(rng.uniform(0.4, 0.9)))
    front = recolour(image, rng) if rng.uniform() < 0.7 else image
    if rng.uniform() < 0.17:
        dark = rng.uniform(30, 85)
        front = front * (dark / max(float(front[mask > 0.5].mean()) if (mask > 0.5).any() else 1.0, 1))
        place = place * (dark * rng.uniform(0.6, 1.3) / max(float(place.mean()), 1))
    return np.clip(front * alpha[..., None] + place * (1 - alpha[..., None]), 0, 255), mask


def add_neighbour(image: np.ndarray, mask: np.ndarray, bank: Bank, rng: np.random.Generator) -> Pair:
    """A second person at the side, touching or apart: usually behind, sometimes in front of the first."""
    other, shape = person(bank, rng)
    if rng.uniform() < 0.5:
        other = recolour(other, rng)
    side = rng.choice([-1, 1]) * rng.uniform(0.28, 0.75) * SIZE[1]
    down = rng.normal(0, 0.05) * SIZE[0]
    grow = rng.uniform(0.75, 1.1)
    matrix = np.array([[grow, 0, side + SIZE[1] / 2 * (1 - grow)], [0, grow, down + SIZE[0] / 2 * (1 - grow)]])
    layer = cv2.warpAffine(np.dstack([other, shape]), matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
    cover = layer[..., 3]
    if rng.uniform() < 0.75:
        cover = cover * (1 - mask)
    elif (cover * mask).sum() > 0.45 * mask.sum():
        return image, mask
    return image * (1 - cover[..., None]) + layer[..., :3] * cover[..., None], mask * (1 - cover)


def occlude(image: np.ndarray, mask: np.ndarray, bank: Bank, rng: np.random.Generator) -> Pair:
    """A post, a rail or a block of another place in front."""
    height, width = SIZE
    box = np.zeros(SIZE, np.float32)
    kind = rng.uniform()
    if kind < 0.4:
        left = int(rng.integers(width))
        box[:, left : left + int(rng.integers(2, 12))] = 1
    elif kind < 0.65:
        top = int(rng.integers(height))
        box[top : top + int(rng.integers(2, 14))] = 1
    else:
        top = int(rng.uniform(0.5, 0.85) * height)
        left = int(rng.integers(-width // 2, width // 2))
        box[top:, max(left, 0) : left + int(rng.uniform(0.4, 1.2) * width)] = 1
    if rng.uniform() < 0.4:
        front: np.ndarray = np.broadcast_to(rng.uniform(0, 255, 3).astype(np.float32), (*SIZE, 3))
    else:
        front = empty_place(bank, rng)
    return image * (1 - box[..., None]) + front * box[..., None], mask * (1 - box)


def shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shadow and patches of sun over everything, from one broad shadow to the dapples under a tree."""
    across = int(rng.choice([1, 2, 4, 8]))
    field = cv2.resize(rng.standard_normal((2 * across + 1, across + 1)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    dark = 1 / (1 + np.exp(-np.clip((field - rng.normal(0, 0.6)) * rng.uniform(2, 14), -30, 30)))
    tint = np.array([1.0, rng.uniform(0.93, 1), rng.uniform(0.85, 1)])  # shadows are bluish
    shaded = image * (1 - rng.uniform(0.25, 0.75) * dark[..., None] * tint)
    exposure = (
        max(float(image.mean()), 1.0) / max(float(shaded.mean()), 1.0)
    ) ** 0.7  # the camera opens up again, nearly
    return np.clip(shaded * exposure, 0, 255).astype(np.float32)


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light, camera and clothes: gains, contrast, saturation, gamma, now and then other channels or grey."""
    x = image.astype(np.float32) * (rng.uniform(0.82, 1.18, 3) * rng.uniform(0.65, 1.25)).astype(np.float32)
    draw = rng.uniform()
    if draw < 0.1:
        x = x[..., rng.permutation(3)]
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * (0.0 if draw > 0.95 else rng.uniform(0.5, 1.4))
    middle = max(float(x.mean()), 1.0)
    x, middle = (x * (25 / middle), 25.0) if middle < 25 else (x, middle)
    x = np.clip((x - middle) * rng.uniform(0.7, 1.25) + middle, 0, 255)
    return 255 * (x / 255) ** float(np.exp(rng.normal(0, 0.22)))


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lost resolution, blur, motion, halo sharpening, noise, JPEG: (128, 64, 3) float32 0..255 -> uint8."""
    x = np.ascontiguousarray(image, np.float32)
    if rng.uniform() < 0.6:
        scale = rng.uniform(0.35, 0.9)
        small = cv2.resize(x, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, SIZE[::-1], interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if rng.uniform() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.2)))
    if rng.uniform() < 0.08:
        length = int(rng.integers(3, 8))
        x = cv2.blur(x, (length, 1) if rng.uniform() < 0.8 else (1, length))
    if rng.uniform() < 0.45:
        x = x + float(rng.uniform(0.2, 1.1)) * (x - cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.8, 1.6))))
    if rng.uniform() < 0.6:
        noise = (
            rng.standard_normal((*SIZE, 3), np.float32)
            if rng.uniform() < 0.7
            else rng.standard_normal((*SIZE, 1), np.float32)
        )
        x = x + noise * np.float32(rng.uniform(0.5, 6))
    plane = np.clip(x, 0, 255).astype(np.uint8)
    return decode_image(encode_jpeg(plane, int(rng.integers(35, 96)))) if rng.uniform() < 0.8 else plane
