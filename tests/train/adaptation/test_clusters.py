"""Clusters of planted people, the choice of eps, reliability against SpCL's rule written as loops, and what is refused."""

from typing import Any

import numpy as np
import pytest

from reid_train.adaptation.clusters import AtEps, Clusters, find_clusters, keep_reliable, pick_eps, refusal
from reid_train.adaptation.labels import Clustering, default_k1
from reid_train.adaptation.partitions import adjusted_rand, with_singles
from reid_train.graph.distances import encoding, mean_of_closest
from reid_train.settings.adaptation import AdaptSettings

AUTO = ("auto", 0.0)


def people(seed: int = 0, images: int = 12, count: int = 20, spread: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """(unit features, identities) of `count` people."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images * count) % count
    feats = rng.standard_normal((count, 32))[truth] + spread * rng.standard_normal((len(truth), 32))
    return (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32), truth


def find(feats: np.ndarray, **changes: Any) -> Clusters:
    """The clusters with small neighbourhoods."""
    return find_clusters(feats, **{"eps": AUTO, "k1": 10, "k2": 4, "min_samples": 4, **changes})


def test_people_that_are_far_apart_are_found() -> None:
    feats, truth = people()
    found = find(feats)
    assert adjusted_rand(found.labels, truth) > 0.95
    assert found.labels.max() + 1 == 20
    assert refusal(found, 16, 0.1, 0.95) is None
    assert found.threshold is None
    assert {"graph", "dbscan"} == set(found.seconds)


def test_a_stated_eps_is_taken_and_a_percentile_is_a_mean_of_distances() -> None:
    feats, _ = people(spread=0.6)
    assert find(feats, eps=("value", 0.33)).eps == 0.33
    assert find(feats, eps=("percentile", 0.05)).eps == mean_of_closest(encoding(feats, 10, 4), 0.05)


def test_auto_takes_most_clusters_of_those_without_a_collapse() -> None:
    rows = [
        AtEps(0.2, 30, 90, 0.05),
        AtEps(0.3, 70, 40, 0.08),
        AtEps(0.35, 70, 35, 0.08),
        AtEps(0.4, 80, 20, 0.2),
    ]
    assert pick_eps(rows, 0.1) == 0.3
    assert pick_eps(rows, 0.25) == 0.4
    assert pick_eps(rows[3:], 0.1) == 0.4
    assert pick_eps(rows, 0.01) == 0.2


def spcl(labels: list[int], tight: list[int], loose: list[int], threshold: float | None) -> tuple[list[bool], float]:
    """SpCL's rule image by image: which are kept, and the threshold."""

    def distance(one: np.ndarray, other: np.ndarray, image: int) -> float:
        mine, theirs = set(np.flatnonzero(one == one[image])), set(np.flatnonzero(other == other[image]))
        return 1 - len(mine & theirs) / len(mine | theirs)

    names, small, wide = (with_singles(np.array(one)) for one in (labels, tight, loose))
    images = range(len(names))
    compact = [distance(names, small, image) for image in images]
    alone = [distance(names, wide, image) for image in images]
    members = {name: [image for image in images if names[image] == name] for name in set(names)}
    best = {name: (min(compact[i] for i in own), min(alone[i] for i in own)) for name, own in members.items()}
    if threshold is None:
        several = sorted(best[name][1] for name, own in members.items() if len(own) > 1)
        threshold = several[min(len(several) - 1, round(len(several) * 0.9))]
    kept = [labels[i] >= 0 and best[names[i]][1] <= threshold and compact[i] <= best[names[i]][0] for i in images]
    return kept, threshold


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3])
def test_reliability_is_spcls_rule(threshold: float | None) -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        labels = rng.integers(-1, 6, 40)
        loose, tight = np.where(labels > 3, 3, labels), np.where(rng.random(40) < 0.2, -1, labels)
        kept, wanted = spcl(labels.tolist(), tight.tolist(), loose.tolist(), threshold)
        found, got = keep_reliable(labels, tight, loose, threshold)
        assert got == pytest.approx(wanted)
        sizes = np.bincount(labels[kept & (labels >= 0)], minlength=6)
        assert ((found >= 0) == (np.array(kept) & (sizes[labels] > 1))).all()
        assert sorted(set(found[found >= 0])) == list(range(found.max() + 1))


def test_clusters_that_a_larger_eps_would_join_are_left_out() -> None:
    labels, loose = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1])
    assert keep_reliable(labels, labels, loose, 0.0)[0].tolist() == [0, 0, -1, -1, -1, -1]


def test_the_threshold_of_the_first_round_holds_for_the_later_ones() -> None:
    feats, _ = people(spread=0.5)
    choices = AdaptSettings(reliable=0.05, k1=10, k2=4)
    first = Clustering(choices, 2, "cpu")
    first(1, feats)
    later = Clustering(choices, 2, "cpu")
    later.take_up(first.state())
    assert later.threshold == first.threshold is not None
    later(2, people(1, spread=0.9)[0])
    assert later.threshold == first.threshold


def test_the_same_image_many_times_is_a_collapse() -> None:
    feats = np.tile(people()[0][:1], (200, 1))
    reason = str(refusal(find(feats, eps=("value", 0.6)), 1, 0.1, 0.95))
    assert "the largest cluster holds 200 of 200 images" in reason
    assert "lower --eps" in reason
    assert refusal(find(feats), 4, 0.1, 0.95) is not None, "nor is there an eps that hides it"


def test_images_that_have_nothing_in_common_are_refused() -> None:
    """Every image for itself: no cluster at any eps."""
    feats = np.eye(120, dtype=np.float32)
    reason = refusal(find(feats, eps=("value", 0.2)), 4, 0.1, 0.95)
    assert reason is not None
    assert "clusters were found, a batch needs 4" in reason
    assert [line.split()[0] for line in reason.splitlines()[1:]] == [
        "eps",
        *(f"{0.2 + 0.05 * i:.2f}" for i in range(11)),
    ]


def test_too_many_outliers_are_refused() -> None:
    labels = np.full(100, -1, np.int32)
    labels[:4] = 0
    found = Clusters(labels, 0.5, (), None, {})
    assert refusal(found, 1, 0.1, 0.96) is None
    assert "96 of 100 images are in no cluster" in str(refusal(found, 1, 0.1, 0.95))


def test_the_number_of_neighbours_follows_the_number_of_images() -> None:
    assert [default_k1(count) for count in (100, 1000, 2000, 13000)] == [8, 10, 20, 30]
