"""The held-out pedestrian crops that segmenters are scored on, and the scores.

Penn-Fudan (Wang et al., ACCV 2007): photographs FudanPed00053-74 and PennPed00068-96, one (128, 64) crop per person of at
least 100 pixels, a degraded twin of each. Made from the user's copy; nothing of it is kept here.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from reid_data.images import decode_image, encode_jpeg, read_image
from reid_data.train_segmenter.bank import penn_fudan_photos

HEIGHT, WIDTH = 128, 64
EMPTY = Path(__file__).with_name("segment_empty.json")


def crop(
    image: np.ndarray, labels: np.ndarray, person: int, above: float, below: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """(image (128, 64, 3), truth (128, 64): 1 the person, 2 other people, 0 the rest)."""
    rows, columns = np.where(labels == person)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    tall = bottom - top
    y0, y1 = top - above * tall, bottom + below * tall
    height = y1 - y0
    width = max(height * WIDTH / HEIGHT, (right - left) * 1.06)
    if width > height * WIDTH / HEIGHT:
        grow = width * HEIGHT / WIDTH - height
        y0, y1 = y0 - grow / 2, y1 + grow / 2
    centre = (left + right) / 2 + shift * width
    x0, x1 = centre - width / 2, centre + width / 2
    y0, y1, x0, x1 = (round(float(value)) for value in (y0, y1, x0, x1))
    pad = max(0, -y0, -x0, y1 - image.shape[0], x1 - image.shape[1])
    window = np.s_[y0 + pad : y1 + pad, x0 + pad : x1 + pad]
    picture = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)[window]
    plane = cv2.copyMakeBorder(labels, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)[window]
    truth = _shrink(plane == person).astype(np.uint8)
    truth[_shrink((plane > 0) & (plane != person)) & (truth == 0)] = 2
    return cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), truth


def _shrink(mask: np.ndarray) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) > 0.5


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lost resolution, colour cast, gamma, noise, halo, weaker colours, strong JPEG."""
    scale = rng.uniform(0.42, 0.75)
    x = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    x = x * rng.uniform(0.88, 1.12, 3)
    x = 255 * np.clip(x / 255, 0, 1) ** rng.uniform(0.75, 1.35)
    x = x + rng.normal(0, rng.uniform(1, 5), x.shape)
    x = cv2.resize(np.clip(x, 0, 255).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    x = x + rng.uniform(0, 0.8) * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.6, 1.1)
    return decode_image(encode_jpeg(np.clip(x, 0, 255).astype(np.uint8), int(rng.integers(45, 85))))


def heldout_crops(folder: Path) -> dict[str, np.ndarray]:
    """`clean`, `degraded` (N, 128, 64, 3) uint8 and `truth` (N, 128, 64); the same for every caller."""
    rng = np.random.default_rng(7)
    clean, degraded, truths = [], [], []
    for photo in penn_fudan_photos(folder, held_out=True):
        plane = cv2.imread(str(folder / "PedMasks" / f"{photo.name}_mask.png"), cv2.IMREAD_UNCHANGED)
        plane = plane if plane.ndim == 2 else plane[..., 0]
        for person in range(1, int(plane.max()) + 1):
            rows = np.where(plane == person)[0]
            if not rows.size or rows.max() - rows.min() < 100:
                continue
            margins = rng.uniform(0.05, 0.12), rng.uniform(0.03, 0.10), rng.uniform(-0.06, 0.06)
            image, truth = crop(photo.image, plane, person, *margins)
            image = decode_image(encode_jpeg(image, 90))
            clean.append(image)
            degraded.append(degrade(image, rng))
            truths.append(truth)
    return {"clean": np.stack(clean), "degraded": np.stack(degraded), "truth": np.stack(truths)}


def empty_crops(folder: Path) -> np.ndarray:
    """The hand-checked windows without people, (N, 128, 64, 3) uint8, as JPEG 90 like the crops."""
    found = []
    for name, top, left, height, width in json.loads(EMPTY.read_text())["windows"]:
        image = read_image(str(folder / "PNGImages" / f"{name}.png"))[top : top + height, left : left + width]
        small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        found.append(decode_image(encode_jpeg(small, 90)))
    return np.stack(found)


def outline_score(found: np.ndarray, truth: np.ndarray, tolerance: int) -> float:
    """F-score of outline pixels within `tolerance` pixels of each other."""
    edges = [
        mask & ~cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
        for mask in (found, truth)
    ]
    if not edges[0].any() or not edges[1].any():
        return float(edges[0].any() == edges[1].any())
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
    wide = [cv2.dilate(edge.astype(np.uint8), disc) > 0 for edge in edges]
    precision = (edges[0] & wide[1]).sum() / edges[0].sum()
    recall = (edges[1] & wide[0]).sum() / edges[1].sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def scores(masks: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Means over (N, 128, 64) masks: IoU (other people count as background), its worst tenth, share >= .8, outline F."""
    found, person = masks > 0.5, truth == 1
    ious = (found & person).sum((1, 2)) / np.maximum((found | person).sum((1, 2)), 1)
    return {
        "iou": float(ious.mean()),
        "worst_tenth": float(np.sort(ious)[: max(1, len(ious) // 10)].mean()),
        "at_least_80": float((ious >= 0.8).mean()),
        "outline_2px": float(np.mean([outline_score(one, other, 2) for one, other in zip(found, person)])),
    }
