"""Agreement of partitions against scikit-learn and against loops over images; what a diagnosis says."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from reid_data.errors import InputError
from reid_data.records import Card, Record, ReidDataset
from reid_train.adaptation.diagnostics import DIAGNOSTICS_FILE, diagnose
from reid_train.adaptation.labels import write_labels
from reid_train.adaptation.partitions import (
    adjusted_rand,
    normalised_mutual_information,
    overlaps,
    purity,
    with_singles,
)

pairs = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 3)), min_size=1, max_size=30)


def both(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Two partitions of the same images."""
    first, second = zip(*rows)
    return np.array(first), np.array(second)


@given(pairs)
def test_indices_are_those_of_scikit_learn_with_every_outlier_alone(rows: list[tuple[int, int]]) -> None:
    labels, others = both(rows)
    alone = with_singles(labels), with_singles(others)
    assert adjusted_rand(labels, others) == pytest.approx(adjusted_rand_score(*alone), abs=1e-9)
    wanted = normalized_mutual_info_score(*alone)
    assert normalised_mutual_information(labels, others) == pytest.approx(wanted, abs=1e-9)


@given(pairs)
def test_overlaps_are_intersection_over_union_image_by_image(rows: list[tuple[int, int]]) -> None:
    labels, others = (with_singles(one) for one in both(rows))
    for image, found in enumerate(overlaps(*both(rows))):
        mine, theirs = (set(np.flatnonzero(one == one[image])) for one in (labels, others))
        assert found == pytest.approx(len(mine & theirs) / len(mine | theirs))


def test_outliers_become_classes_of_one() -> None:
    assert with_singles(np.array([1, -1, 0, -1])).tolist() == [1, 2, 0, 3]
    assert with_singles(np.array([-1, -1])).tolist() == [0, 1]


def test_purity_by_hand() -> None:
    """Two of three in the first cluster, one of two in the second; the outlier counts nowhere."""
    assert purity(np.array([0, 0, 0, 1, 1, -1]), np.array([7, 7, 8, 8, 9, 9])) == pytest.approx(3 / 5)
    assert purity(np.array([-1, -1]), np.array([1, 2])) == 1.0


def test_a_diagnosis_says_that_it_uses_truth_and_leaves_junk_out(tmp_path: Path) -> None:
    pids = [7, 7, 8, 8, -1, 0]
    records = [Record("there", f"{place}.jpg", pid, 1, "train") for place, pid in enumerate(pids)]
    target = ReidDataset(Card("there"), Path("there"), records, [], [])
    names = [record.name for record in records]
    write_labels(tmp_path, np.array([[0, 0, 1, 1, 0, 1], [0, 0, 0, -1, 1, 1]], np.int32), names)
    diagnose(tmp_path, target)
    first, second = map(json.loads, (tmp_path / DIAGNOSTICS_FILE).read_text().splitlines())
    assert first == {"uses_truth": True, "round": 1} | dict.fromkeys(
        ("ari", "nmi", "ari_inside", "nmi_inside", "purity"), pytest.approx(1)
    )
    assert second["purity"] == pytest.approx(2 / 3)
    assert second["ari"] < 1
    with pytest.raises(InputError, match="which there does not have"):
        diagnose(tmp_path, ReidDataset(Card("there"), Path("there"), records[:3], [], []))
    (tmp_path / "labels.npz").unlink()
    with pytest.raises(InputError, match=r"has no labels\.npz"):
        diagnose(tmp_path, target)
