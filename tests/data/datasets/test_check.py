"""Each fault is made by hand and must be found, with nothing else; a clean set has none."""

import shutil

import numpy as np
import pytest

from reid_data.datasets import DATASETS, load_dataset
from reid_data.datasets.check import check
from reid_data.datasets.inspect import fingerprint, near_pairs
from reid_data.images import read_image, write_image
from tests.conftest import random_image


@pytest.fixture
def clean(market_folder):
    """A set without a fault (not called by a known name, so that counts are its own affair)."""
    return market_folder("mine", num_ids=4, size=(64, 32))


def kinds(root, severity=None):
    """Kinds of the findings of the set at `root`."""
    findings, _ = check(load_dataset(f"{root}/", root.parent))
    return sorted(finding.kind for finding in findings if severity in (None, finding.severity))


def test_a_clean_set_has_no_findings(clean):
    assert kinds(clean) == []


def test_missing_split(clean):
    shutil.rmtree(clean / "query")
    assert kinds(clean) == ["missing_split"]


def test_one_camera_for_everything(clean):
    for path in list(clean.rglob("*_c2s1_*")):
        path.rename(path.with_name(path.name.replace("_c2", "_c1")))
    assert "one_camera" in kinds(clean, "fault")
    assert "query_without_match" in kinds(clean, "fault")


def test_query_without_match(clean):
    (clean / "bounding_box_test" / "0100_c2s1_000002_00.jpg").unlink()
    findings, _ = check(load_dataset(f"{clean}/", clean.parent))
    assert [(finding.kind, finding.count, finding.examples) for finding in findings] == [
        ("query_without_match", 1, ("query/0100_c1s1_000001_00.jpg",))
    ]


def test_identity_overlap(clean):
    write_image(clean / "bounding_box_train" / "0100_c1s1_000077_00.jpg", random_image(77, (64, 32)))
    assert kinds(clean) == ["identity_overlap"]


def test_junk_and_distractors_are_no_overlap(clean):
    write_image(clean / "bounding_box_train" / "0000_c1s1_000077_00.jpg", random_image(77, (64, 32)))
    assert kinds(clean) == ["distractor_in_train_or_query"]


def test_exact_duplicates_across_splits(clean):
    shutil.copy(clean / "query" / "0101_c1s1_000001_00.jpg", clean / "bounding_box_train" / "0002_c1s1_000078_00.jpg")
    assert kinds(clean) == ["exact_duplicates"]
    assert kinds(clean, "fault") == ["exact_duplicates"]


def test_exact_duplicates_of_one_person_are_a_note(clean):
    source = clean / "bounding_box_train" / "0002_c1s1_000001_00.jpg"
    shutil.copy(source, source.with_name("0002_c1s1_000078_00.jpg"))
    assert kinds(clean, "note") == ["exact_duplicates"]
    assert kinds(clean, "fault") == []


def test_near_duplicates_across_splits(clean):
    image = read_image(str(clean / "query" / "0101_c1s1_000001_00.jpg"))
    write_image(clean / "bounding_box_train" / "0002_c1s1_000078_00.jpg", image, quality=90)
    assert kinds(clean) == ["near_duplicates"]


def test_dark_blurry_and_odd_sizes(clean):
    folder = clean / "bounding_box_train"
    write_image(folder / "0002_c1s1_000081_00.jpg", random_image(1, (64, 32)) // 20)
    write_image(folder / "0002_c1s1_000082_00.jpg", np.full((64, 32, 3), 120, np.uint8))
    write_image(folder / "0002_c1s1_000083_00.jpg", random_image(3, (32, 64)))
    assert set(kinds(clean)) == {"dark", "blurry", "odd_size"}
    assert kinds(clean, "fault") == []


def test_known_counts(market_folder):
    root = market_folder("market")
    findings, _ = check(load_dataset("market", root.parent))
    wrong = [finding.what for finding in findings if finding.kind == "wrong_counts"]
    assert len(wrong) == 3
    assert "12,936" in wrong[0]


def test_published_counts_are_the_known_ones():
    counts = {
        name: {split: row.get("images") for split, row in spec.expected.items()} for name, spec in DATASETS.items()
    }
    assert counts["market"] == {"train": 12_936, "query": 3_368, "gallery": 15_913 + 3_819}
    assert counts["duke"] == {"train": 16_522, "query": 2_228, "gallery": 17_661}
    assert counts["msmt17"] == {"train": 32_621, "query": 11_659, "gallery": 82_161}
    assert counts["cuhk03"] == {"train": 7_365, "query": 1_400, "gallery": 5_332}
    assert counts["cuhk03-labeled"] == {"train": 7_368, "query": 1_400, "gallery": 5_328}


def test_near_pairs_against_all_pairs():
    rng = np.random.default_rng(0)
    left = rng.integers(0, 256, (60, 16), dtype=np.uint8)
    right = left[rng.integers(0, 60, 80)].copy()
    for row in right:
        for bit in rng.choice(128, rng.integers(0, 12), replace=False):
            row[bit // 8] ^= 1 << (bit % 8)
    for bits in (0, 3, 7):
        slow = [(i, j) for i in range(60) for j in range(80) if np.unpackbits(left[i] ^ right[j]).sum() <= bits]
        assert near_pairs(left, right, bits) == slow
        assert slow


def test_fingerprint_survives_a_resize():
    smooth = np.add.outer(np.arange(128) * 3 % 200, np.sin(np.arange(64) / 9) * 40 + 50).clip(0, 255).astype(np.uint8)
    twice = np.kron(smooth, np.ones((2, 2), np.uint8))
    assert (
        np.bitwise_count(
            np.frombuffer(fingerprint(smooth), np.uint8) ^ np.frombuffer(fingerprint(twice), np.uint8)
        ).sum()
        <= 3
    )


def saved_as(path, suffix, kind):
    """The picture at `path` in another format under another ending."""
    from PIL import Image

    Image.open(path).convert("RGB").save(path.with_suffix(suffix), kind)
    path.unlink()


def test_a_picture_of_another_suffix_or_none_is_there(clean):
    before = load_dataset(f"{clean}/", clean.parent)
    for index, path in enumerate(sorted(clean.rglob("*.jpg"))):
        saved_as(path, *[(".webp", "WEBP"), (".tif", "TIFF"), (".jfif", "JPEG"), ("", "PNG")][index % 4])
    after = load_dataset(f"{clean}/", clean.parent)
    for split in ("train", "query", "gallery"):
        assert sorted(map(key, after.split(split))) == sorted(map(key, before.split(split)))
    assert kinds(clean) == ["other_format"]


def key(record):
    """Who and where."""
    return record.stem, record.pid, record.camid


def test_a_picture_that_is_not_read_is_a_fault(clean):
    saved_as(clean / "query" / "0101_c1s1_000001_00.jpg", ".gif", "GIF")
    findings, failed = check(load_dataset(f"{clean}/", clean.parent))
    assert [(finding.kind, finding.severity) for finding in findings] == [("unreadable", "fault")]
    assert failed[0][0] == "query/0101_c1s1_000001_00.gif"
    assert "is a GIF picture" in failed[0][1]
