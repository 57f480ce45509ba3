"""DBSCAN (Ester et al., KDD 1996) on a sparse graph of distances, by connected components."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

VERSIONS = {"dbscan": 1}
OUTLIER = -1
"""The label of a row in no cluster."""


def dbscan(graph: sparse.csr_array, eps: float, min_samples: int) -> np.ndarray:
    """(N,) int32 cluster 0, 1, ... of each row, OUTLIER for none.

    `graph` (N, N): symmetric distances, those of rows to themselves among them; what is not stored is farther than any eps.
    A core has at least `min_samples` stored neighbours within `eps`, itself one; cores within eps of each other are of one
    cluster; another row within eps of cores is of the cluster with the smallest number. Clusters are numbered by their first
    core row, as scikit-learn does.
    """
    num_rows = graph.shape[0]
    near = graph.data <= eps
    row = np.repeat(np.arange(num_rows), np.diff(graph.indptr))[near]
    column = graph.indices[near]
    core = np.bincount(row, minlength=num_rows) >= min_samples
    inner = core[row] & core[column]
    edges = sparse.csr_array((np.ones(inner.sum(), bool), (row[inner], column[inner])), shape=graph.shape)
    _, component = connected_components(edges, directed=False)
    _, first, place = np.unique(component[core], return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first)] = np.arange(len(first))
    labels = np.full(num_rows, OUTLIER, np.int32)
    labels[core] = number[place]
    outer = ~core[row] & core[column]
    reached = np.full(num_rows, len(first), np.int32)
    np.minimum.at(reached, row[outer], labels[column[outer]])
    border = ~core & (reached < len(first))
    labels[border] = reached[border]
    return labels
