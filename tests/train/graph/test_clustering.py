"""Close pairs against the slow formula, DBSCAN by hand and against scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.cluster import DBSCAN

from reid_train.graph import neighbours
from reid_train.graph.dbscan import OUTLIER, dbscan
from reid_train.graph.distances import close_pairs, encoding, mean_of_closest
from reid_train.graph.neighbours import jaccard
from tests.train.graph.slow import dense_jaccard


def unit(seed: int, rows: int = 90, people: int = 9, width: int = 16, spread: float = 0.5) -> np.ndarray:
    """Unit features of a few people."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, width))
    feats = centres[np.arange(rows) % people] + spread * rng.standard_normal((rows, width))
    return (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32)


def on_a_line(places: list[float], farthest: float = 10.0) -> sparse.csr_array:
    """The distances of points on a line, up to `farthest`, as a graph that stores them, zeros too."""
    points = np.array(places, np.float32)
    distance = np.abs(points[:, None] - points[None])
    row, column = np.nonzero(distance <= farthest)
    start = np.searchsorted(row, np.arange(len(points) + 1))
    return sparse.csr_array((distance[row, column], column, start), shape=distance.shape)


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (8, 3), (5, 1), (200, 4)])
def test_close_pairs_are_those_of_the_slow_formula(k1: int, k2: int) -> None:
    feats = unit(k1)
    _, wanted = dense_jaccard(feats, k1=min(k1, len(feats) - 1), k2=k2)
    found = close_pairs(encoding(feats, k1, k2), 0.7)
    stored = sparse.csr_array((np.ones(found.nnz), found.indices, found.indptr), shape=found.shape).toarray() > 0
    sure = np.abs(wanted - 0.7) > 1e-5
    assert np.array_equal(stored & sure, (wanted <= 0.7) & sure)
    assert np.abs(found.toarray() - wanted)[stored].max() < 1e-6
    assert stored.diagonal().all()
    assert (found != found.T).nnz == 0, "the same distance both ways, to the last bit"


def test_copies_are_at_distance_nothing_and_stored() -> None:
    feats = np.repeat(unit(1, 6), 4, 0)
    found = close_pairs(encoding(feats, 3, 1), 0.1)
    assert np.diff(found.indptr).tolist() == [4] * 24
    assert found.data.max() < 1e-6
    assert dbscan(found, 0.01, 4).tolist() == np.repeat(np.arange(6), 4).tolist()


def test_distances_come_row_by_row_where_all_rows_are_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of one image all have the first rows as neighbours: a chunk by rows alone would need every pair at once."""
    weights = encoding(np.tile(unit(5, 1, 1), (60, 1)), 8, 3)
    (whole,) = jaccard(weights, weights)
    monkeypatch.setattr(neighbours, "_PRODUCTS", 1)
    parts = list(jaccard(weights, weights))
    assert [part.shape[0] for part in parts] == [1] * 60
    assert (sparse.vstack(parts) != whole).nnz == 0
    assert whole.nnz == 60 * 60


def test_the_order_of_the_rows_changes_no_cluster() -> None:
    feats, order = unit(2), np.random.default_rng(0).permutation(90)
    first = dbscan(close_pairs(encoding(feats, 10, 4), 0.6), 0.5, 4)
    second = dbscan(close_pairs(encoding(feats[order], 10, 4), 0.6), 0.5, 4)
    together = first[order][:, None] == first[order][None]
    inside = (second >= 0) & (first[order] >= 0)
    assert np.array_equal(second >= 0, first[order] >= 0)
    assert np.array_equal((second[:, None] == second[None])[inside][:, inside], together[inside][:, inside])
    assert len(set(first)) > 4


def test_the_mean_of_the_closest_is_that_of_the_sorted_matrix() -> None:
    feats = unit(3)
    _, wanted = dense_jaccard(feats, k1=10, k2=3)
    upper = np.sort(wanted[np.triu_indices(90, 1)])
    upper = upper[upper > 1e-9]
    for share in (1e-5, 0.01, 0.1, 0.9, 1.0):
        count = max(1, round(share * len(upper)))
        assert mean_of_closest(encoding(feats, 10, 3), share) == pytest.approx(upper[:count].mean(), abs=1e-6)


def test_a_line_of_points_by_hand() -> None:
    """Two groups, a border point of each, one far away; 2.0 stands between the groups, at 1 from a core of each."""
    places = [0.0, 0.4, 0.8, 1.0, 2.0, 3.0, 3.2, 3.6, 9.0, -1.0]
    found = dbscan(on_a_line(places), 1.0, 4)
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, OUTLIER, 0]


def test_numbers_follow_the_first_core_row() -> None:
    assert dbscan(on_a_line([5.0, 0.0, 5.1, 0.1]), 0.5, 2).tolist() == [0, 1, 0, 1]
    assert dbscan(on_a_line([0.9, 5.0, 5.1, 0.0, 0.5]), 0.5, 3).tolist() == [0, OUTLIER, OUTLIER, 0, 0]


def test_nothing_is_close_and_everything_is() -> None:
    places = [float(number) for number in range(6)]
    assert dbscan(on_a_line(places), 0.5, 2).tolist() == [OUTLIER] * 6
    assert dbscan(on_a_line(places), 0.5, 1).tolist() == list(range(6))
    assert dbscan(on_a_line(places), 1.0, 2).tolist() == [0] * 6


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=40),
    st.integers(0, 6),
    st.integers(1, 6),
    st.integers(6, 12),
)
@settings(deadline=None)
def test_every_line_is_clustered_as_scikit_learn_does(
    places: list[int], eps: int, min_samples: int, farthest: int
) -> None:
    points = np.array(places, np.float64)
    distance = np.abs(points[:, None] - points[None])
    wanted = DBSCAN(eps=max(eps, 1e-9), min_samples=min_samples, metric="precomputed").fit(distance).labels_
    found = dbscan(on_a_line([float(place) for place in places], farthest), eps, min_samples)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("eps", [0.3, 0.5, 0.65])
def test_real_neighbourhoods_are_clustered_as_scikit_learn_does(eps: float) -> None:
    graph = close_pairs(encoding(unit(4, spread=0.8), 12, 4), 0.7)
    dense = np.ones(graph.shape)
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    dense[row, graph.indices] = graph.data
    wanted = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit(dense.astype(np.float32)).labels_
    assert np.array_equal(dbscan(graph, eps, 4), wanted)


MEMORY = """
import resource, sys
import numpy as np
from reid_train.graph import neighbours
from reid_train.graph.dbscan import dbscan
from reid_train.graph.distances import close_pairs, encoding
def peak(rows):
    rng = np.random.default_rng(0)
    feats = rng.standard_normal((rows // 10, 8)).repeat(10, 0) + 0.1 * rng.standard_normal((rows // 10 * 10, 8))
    feats = (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32)
    dbscan(close_pairs(encoding(feats, 10, 3), 0.7), 0.5, 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
first = peak(4000)
print(peak(16000) - first)
"""


def test_nothing_of_the_size_of_all_pairs_is_held() -> None:
    """16,000 rows have 256 million pairs: one byte for each would be 256 MB more than 4,000 rows need."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150e6
