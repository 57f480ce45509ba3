"""Mask algebra against brute force and hand-worked cases."""

import numpy as np
import pytest

from reid_data.masks import edge_support, fill_holes, grow, iou, judge, largest_part, looseness, thumbnail
from tests.data.people import ellipse_mask


def flood_parts(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Connected parts by the slow, obvious way."""
    todo = {tuple(point) for point in np.argwhere(mask)}
    found = []
    while todo:
        part, edge = set(), [todo.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            todo -= near
            edge.extend(near)
        found.append(part)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_largest_part_is_that_of_a_flood_fill(seed: int) -> None:
    mask = np.random.default_rng(seed).random((20, 15)) < 0.35
    sizes = [len(part) for part in flood_parts(mask)]
    kept = {tuple(point) for point in np.argwhere(largest_part(mask))}
    assert kept in flood_parts(mask)
    assert len(kept) == max(sizes)


def test_largest_part_of_nothing_is_nothing() -> None:
    assert not largest_part(np.zeros((4, 4), bool)).any()


def test_fill_holes_closes_small_enclosed_holes_only() -> None:
    mask = np.zeros((12, 12), bool)
    mask[1:11, 1:11] = True
    mask[3, 3] = mask[6:9, 6:9] = False
    mask[5, :3] = False  # a bay that is open to the border
    filled = fill_holes(mask, 0.05)
    assert filled[3, 3]
    assert not filled[6:9, 6:9].any()
    assert not filled[5, :3].any()
    assert np.array_equal(filled, mask | (np.arange(144).reshape(12, 12) == 3 * 12 + 3))


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0])
def test_grow_is_the_disc_around_every_pixel(radius: float) -> None:
    mask = np.zeros((15, 17), bool)
    mask[7, 5] = mask[8, 12] = True
    y, x = np.mgrid[:15, :17]
    distance = np.minimum(np.hypot(y - 7, x - 5), np.hypot(y - 8, x - 12))
    grown = grow(mask, radius)
    assert grown[distance <= 0.95 * radius].all()
    assert not grown[distance > 1.05 * radius].any()


def test_grow_nothing() -> None:
    assert not grow(np.zeros((5, 5), bool), 3).any()


def test_looseness() -> None:
    assert looseness(np.array([[0.0, 1.0, 1.0]])) == 1
    assert looseness(np.array([[0.5, 0.5, 0.9, 0.9]])) == 0.5
    assert looseness(np.zeros((3, 3))) == 0


def test_iou_of_empty_masks_is_one() -> None:
    empty, some = np.zeros((2, 2), bool), np.array([[True, False], [True, False]])
    assert iou(empty, empty) == 1
    assert iou(empty, some) == 0
    assert iou(some, np.array([[True, True], [False, False]])) == pytest.approx(1 / 3)


def test_thumbnail_keeps_the_share_covered() -> None:
    mask = ellipse_mask((128, 64))
    small = thumbnail(mask)
    assert small.shape == (32, 16)
    assert small.mean() / 255 == pytest.approx(mask.mean(), abs=0.01)


def test_an_ordinary_person_is_good() -> None:
    verdict = judge(ellipse_mask((128, 64)).astype(np.float32))
    assert verdict.quality == 1
    assert verdict.reasons == ()


def half_loose() -> np.ndarray:
    alpha = ellipse_mask((128, 64)).astype(np.float32)
    alpha[:64] *= 0.6
    return alpha


BAD = {
    "no person": np.zeros((128, 64), np.float32),
    "covers only": np.pad(np.ones((80, 4), np.float32), ((24, 24), (30, 30))),
    "several people": np.ones((128, 64), np.float32),
    "height": np.pad(np.ones((40, 40), np.float32), ((44, 44), (12, 12))),
    "side": np.pad(np.ones((128, 34), np.float32), ((0, 0), (0, 30))),
    "scraps": np.kron(np.indices((16, 8)).sum(0) % 2 * np.pad(np.ones((14, 4)), ((1, 1), (2, 2))), np.ones((8, 8))),
    "unsure": half_loose(),
}


@pytest.mark.parametrize("word", sorted(BAD))
def test_bad_masks_are_named(word: str) -> None:
    alpha = BAD[word].astype(np.float32)
    if word == "scraps":
        alpha[::8] = alpha[:, ::8] = 0  # corners must not touch
    verdict = judge(alpha)
    assert verdict.quality < 0.7
    assert any(word in reason for reason in verdict.reasons), verdict.reasons


def test_edge_support_prefers_the_true_outline() -> None:
    mask = ellipse_mask((64, 32))
    image = np.random.default_rng(0).integers(100, 120, (64, 32, 3), dtype=np.uint8)
    image[mask] += 60
    true, wrong = edge_support(image, mask), edge_support(image, np.roll(mask, (9, 7), (0, 1)))
    assert true > 2
    assert wrong < 0.7 * true
    assert edge_support(image, np.zeros_like(mask)) == 0
