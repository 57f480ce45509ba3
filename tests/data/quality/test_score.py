"""Judges of composites: the free ones summed up, the dear ones against cases whose answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.picture import Steps
from reid_data.compose.settings import CompositeSettings
from reid_data.datasets import load_dataset
from reid_data.errors import InputError
from reid_data.images import encode_mask
from reid_data.manifest import Manifest, read_manifest
from reid_data.quality.judges import (
    Composites,
    choose_rows,
    judge_by_classifier,
    judge_by_masks,
    judge_by_truth,
    steps_of,
    true_mask,
)
from reid_data.quality.preview import preview_composite
from reid_data.quality.score import AIMS, outside, reasons, score, summarise_judges, worst_median_best
from reid_data.quality.texture import composite_auc, texture_features
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from tests.data.people import tree, write_people_set
from tests.data.plates.test_build import RedSegmenter

GOOD = {
    "mask_quality": 0.9,
    "looseness": 0.9,
    "mask_area": 0.4,
    "uncovered": 0.1,
    "seam_ratio": 1.0,
    "old_background": 0.1,
}


def row(name: str = "a", **changes: object) -> dict[str, object]:
    return {"row": "image", "name": name, "sha256": "0", "person": True, **GOOD, **changes}


def test_what_is_outside_its_aim() -> None:
    assert outside("old_background", 0.2) == 0
    assert outside("old_background", 0.33) == pytest.approx(0.13)
    assert outside("uncovered", None) == 0
    assert outside("seam_ratio", 0.45) == pytest.approx(1.0), "one stop under .9"
    assert outside("seam_ratio", 1.1 * math.sqrt(2)) == pytest.approx(0.5)
    assert reasons(row()) == "all in range"
    assert reasons(row(seam_ratio=1.5, old_background=0.3)) == "seam 1.50, old rim 0.30"


def test_the_score_falls_with_every_fault() -> None:
    assert score(row()) == pytest.approx(0.9)
    for name, value in (("mask_quality", 0.5), ("uncovered", 0.6), ("seam_ratio", 1.5), ("old_background", 0.5)):
        assert score(row(**{name: value})) < score(row())
    assert score(row(seam_ratio=None)) == score(row())
    assert score(row(seam_ratio=0.1)) == 0


def test_worst_median_and_best_in_turn() -> None:
    rows = [row(str(number), mask_quality=number / 100) for number in range(99)]
    rows += [row("dropped", mask_quality=0.0, sha256=None), row("bare", mask_quality=0.0, person=False)]
    chosen = worst_median_best(rows, 9)
    assert [kind for kind, _ in chosen] == ["worst", "median", "best"] * 3
    assert [one["name"] for _, one in chosen] == ["0", "48", "98", "1", "49", "97", "2", "50", "96"]
    assert [one["name"] for _, one in worst_median_best(rows[:3], 24)] == ["0", "1", "2"]


def test_summaries_count_what_shows_somebody() -> None:
    rows = [row(str(number), old_background=number / 10) for number in range(5)]
    rows += [row("none", old_background=None), row("bare", person=False, old_background=1.0)]
    found = summarise_judges(rows)["old_background"]
    assert (found.num, found.mean, found.median, found.within) == (5, 0.2, 0.2, 0.6)
    assert set(summarise_judges(rows)) == set(AIMS)
    assert summarise_judges([]) == {}


@pytest.fixture
def sets(tmp_path: Path) -> tuple[ReidDataset, ReidDataset]:
    fg = load_dataset(str(write_people_set(tmp_path / "fg", num_ids=3, extras=False)), tmp_path)
    return fg, load_dataset(str(write_people_set(tmp_path / "bg", 10, (4, 5), seed=100, extras=False)), tmp_path)


def manifest_of(root: Path) -> Manifest:
    manifest = read_manifest(root)
    assert manifest is not None
    return manifest


def composites(sets: tuple[ReidDataset, ReidDataset], out: Path, steps: Steps) -> Composites:
    build_composite(*sets, out, PrecomputedSegmenter(), CompositeSettings(steps=replace(steps, jpeg_quality=98)))
    manifest = manifest_of(out)
    people = {record.name: record for record in sets[0].records}
    assert steps_of(manifest.header["settings"]) == replace(steps, jpeg_quality=98)
    return Composites(out, choose_rows(manifest.of_kind("image"), 50), people, steps_of(manifest.header["settings"]))


def test_a_segmenter_that_cannot_be_fooled_agrees_with_itself(
    sets: tuple[ReidDataset, ReidDataset], tmp_path: Path
) -> None:
    these = composites(sets, tmp_path / "out", Steps("hard", False, False, False, False))
    judged = judge_by_masks(these, RedSegmenter(), lambda *_: None)
    assert len(judged["mirror_agreement"].values) == len(these.rows) == 12
    assert judged["mirror_agreement"].values.min() == 1
    assert judged["resegmentation_iou"].values.min() > 0.8, "JPEG blurs the colour of the edge"


def test_a_one_sided_segmenter_is_found_out(sets: tuple[ReidDataset, ReidDataset], tmp_path: Path) -> None:
    class Left(RedSegmenter):
        """Sees the left half only."""

        def segment(self, records, images):  # type: ignore[no-untyped-def]
            alphas, qualities = super().segment(records, images)
            for alpha in alphas:
                alpha[:, alpha.shape[1] // 2 :] = 0
            return alphas, qualities

    these = composites(sets, tmp_path / "out", Steps())
    assert judge_by_masks(these, Left(), lambda *_: None)["mirror_agreement"].values.max() < 0.1


def test_truth_of_exact_masks_and_of_shifted_ones(sets: tuple[ReidDataset, ReidDataset], tmp_path: Path) -> None:
    plain = Steps("hard", False, False, False, False)
    these = composites(sets, tmp_path / "out", plain)
    exact = judge_by_truth(these, PrecomputedSegmenter())
    assert exact["true_mask_iou"].values.min() == 1
    assert exact["alpha_error"].values.max() == 0
    assert exact["colour_change"].values.max() < 6, "JPEG only"
    for record in sets[0].records:
        moved = np.roll(true_mask(record), 2, axis=1)  # type: ignore[arg-type]
        path = tmp_path / "moved" / "masks" / Path(record.name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_mask(moved))
    shifted = PrecomputedSegmenter({str(sets[0].root): str(tmp_path / "moved" / "masks")})
    wrong = judge_by_truth(these, shifted)
    assert 0.6 < wrong["true_mask_iou"].values.mean() < 0.95
    assert wrong["alpha_error"].values.mean() > 0.9, "hard masks differ by 1 wherever they differ"
    bright = composites(sets, tmp_path / "soft", Steps())
    assert judge_by_truth(bright, PrecomputedSegmenter())["colour_change"].values.mean() > 0
    for path in (sets[0].root / "masks").rglob("*.png"):
        path.unlink()
    assert judge_by_truth(these, RedSegmenter()) == {}


def pictures(seed: int, number: int, blur: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    noise = [rng.integers(0, 256, (128, 64, 3), dtype=np.uint8) for _ in range(number)]
    return [cv2.GaussianBlur(one, (0, 0), blur) if blur else one for one in noise]


def test_the_classifier_finds_a_difference_only_where_there_is_one() -> None:
    pids = [number // 3 for number in range(60)]
    sharp, soft, more = pictures(0, 60, 0.5), pictures(1, 60, 1.2), pictures(2, 60, 0.5)
    assert composite_auc(sharp, soft, pids) > 0.99
    assert 0.3 < composite_auc(sharp, more, pids) < 0.7
    with pytest.raises(InputError, match="at least 8 people"):
        composite_auc(sharp, soft, [1] * 60)


def test_the_split_is_by_identity() -> None:
    """Persons who each have a texture of their own help only a classifier that may see them in training."""
    rng = np.random.default_rng(0)
    pids = [number // 6 for number in range(60)]
    grains = {pid: rng.integers(0, 256, (2, 128, 64, 3), dtype=np.uint8) for pid in set(pids)}
    photographs = [np.roll(grains[pid][0], number, axis=0) for number, pid in enumerate(pids)]
    pasted = [np.roll(grains[pid][1], number, axis=0) for number, pid in enumerate(pids)]
    assert composite_auc(photographs, pasted, pids) < 0.85


def test_features_take_any_size_and_little_notice_of_brightness() -> None:
    picture = pictures(3, 1, 1.0)[0]
    feats = texture_features(picture)
    assert feats.shape == (134,)
    assert np.isfinite(texture_features(np.zeros((40, 17, 3), np.uint8))).all()
    assert np.isfinite(texture_features(pictures(4, 1, 0)[0][:77, :31])).all()
    darker = texture_features(picture // 2 + 60)
    assert np.abs(darker[64:96] - feats[64:96]).max() < 0.1, "the share of rising edges"


def test_people_on_their_own_plates(sets: tuple[ReidDataset, ReidDataset]) -> None:
    judged = judge_by_classifier(sets[1], PrecomputedSegmenter(), Steps(), num=20)
    assert judged is not None
    assert 0 <= judged.values[0] <= 1
    assert "20 people" in judged.meaning


def test_a_preview_writes_nothing_and_estimates_the_whole(
    sets: tuple[ReidDataset, ReidDataset], tmp_path: Path
) -> None:
    before = tree(tmp_path)
    strips, plan = preview_composite(*sets, PrecomputedSegmenter(), CompositeSettings(), num=6, workers=2)
    assert tree(tmp_path) == before
    assert len(strips) == 6
    assert all(len(strip.pictures) == 4 for strip in strips)
    built = build_composite(*sets, tmp_path / "out", PrecomputedSegmenter(), CompositeSettings())
    assert plan.images == len(sets[0].records)
    assert plan.plates == 32
    assert plan.dropped == 0
    assert 0 < plan.seconds < 60
    size = sum(path.stat().st_size for path in built.root.rglob("*") if path.is_file())
    assert 0.5 * size < plan.set_bytes < 2 * size
    Path(sets[0].root, "masks", sets[0].train[0].name).with_suffix(".png").write_bytes(encode_mask(np.zeros((48, 24))))
    strips, plan = preview_composite(*sets, PrecomputedSegmenter(), CompositeSettings(), num=12, workers=1)
    assert "dropped: mask quality 0.00" in strips[0].caption
    assert plan.dropped == 1
