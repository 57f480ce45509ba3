"""Where the labels of a round come from: the clusters of the target's features, or those of another run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from reid_data.errors import InputError
from reid_data.files import printable
from reid_train.adaptation.clusters import find_clusters, refusal
from reid_train.features.files import read_npz, write_npz
from reid_train.graph.dbscan import OUTLIER
from reid_train.settings.adaptation import AdaptSettings

LABELS_FILE = "labels.npz"
ALIKE = 1e-6
"""Spread of unit features, 1 - |mean|^2, below which they are all the same: every pair would be close, and be held."""


@dataclass(frozen=True)
class Found:
    """The labels (T,) int32 of a round, OUTSIDE for outliers, and what the log says of them.

    `refused`: why the round cannot be trained on them, None if it can. `seconds`: what the stages took.
    """

    labels: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


class Labels(Protocol):
    """Labels of a round out of unit features (T, D) float32; None where the features are not looked at."""

    needs_features: bool

    def __call__(self, number: int, feats_TD: np.ndarray | None) -> Found:
        """The labels of round `number` = 1, 2, ..."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""

    def take_up(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` gave."""


class Clustering:
    """DBSCAN on k-reciprocal Jaccard distances. The threshold of reliability is that of the first round."""

    needs_features = True

    def __init__(self, choices: AdaptSettings, min_clusters: int, device: torch.device) -> None:
        self.choices, self.min_clusters, self.device = choices, min_clusters, device
        self.threshold: float | None = None

    def __call__(self, number: int, feats_TD: np.ndarray | None) -> Found:
        """See `Labels`. Raises InputError if features are no numbers."""
        assert feats_TD is not None
        choices = self.choices
        if wrong := int((~np.isfinite(feats_TD)).any(axis=1).sum()):
            raise InputError(
                f"Round {number}: {wrong} of {len(feats_TD)} images have features that are no numbers, so training has diverged. "
                "Lower --lr and start again under another --name."
            )
        if 1 - float((feats_TD.mean(axis=0, dtype=np.float64) ** 2).sum()) < ALIKE:
            outside = np.full(len(feats_TD), OUTLIER, np.int32)
            reason = "the network's features of all images are alike, so there is nothing to cluster: lower --lr"
            return Found(outside, {"eps": 0.0, **describe(outside)}, reason)
        found = find_clusters(
            feats_TD,
            eps=choices.eps_rule,
            k1=choices.k1 or default_k1(len(feats_TD)),
            k2=choices.k2,
            min_samples=choices.min_samples,
            reliable=choices.reliable,
            max_share=choices.max_share,
            threshold=self.threshold,
            device=self.device,
        )
        self.threshold = found.threshold
        refused = refusal(found, self.min_clusters, choices.max_share, choices.max_outliers)
        return Found(found.labels, {"eps": found.eps, **describe(found.labels)}, refused, found.seconds)

    def state(self) -> dict[str, float]:
        """The threshold of the first round."""
        return {} if self.threshold is None else {"independence": self.threshold}

    def take_up(self, state: Mapping[str, float]) -> None:
        """See `Labels`."""
        self.threshold = state.get("independence")


class Replay:
    """The labels of each round as another run had them: better labels and better training told apart."""

    needs_features = False

    def __init__(self, labels_RT: np.ndarray) -> None:
        self.labels_RT = labels_RT

    def __call__(self, number: int, feats_TD: np.ndarray | None) -> Found:
        """See `Labels`."""
        labels = self.labels_RT[number - 1]
        return Found(labels, describe(labels))

    def state(self) -> dict[str, float]:
        """Nothing."""
        return {}

    def take_up(self, state: Mapping[str, float]) -> None:
        """Nothing to take up."""


def default_k1(num_images: int) -> int:
    """A hundredth of the images, 8 to 30: a guess from two sets, see docs/adaptation.md."""
    return max(8, min(30, num_images // 100))


def describe(labels: np.ndarray) -> dict[str, float]:
    """Clusters, outliers, and the size of the smallest, middle and largest cluster (0 without any)."""
    sizes = np.sort(np.bincount(labels[labels >= 0], minlength=0))
    sizes = sizes[sizes > 0]
    least, middle, most = (sizes[0], float(np.median(sizes)), sizes[-1]) if len(sizes) else (0, 0.0, 0)
    return {
        "clusters": len(sizes),
        "outliers": int((labels < 0).sum()),
        "size_min": int(least),
        "size_median": float(middle),
        "size_max": int(most),
    }


def write_labels(run_folder: Path, labels_RT: np.ndarray, names: list[str]) -> None:
    """Write `labels.npz`: the labels of the rounds so far (R, T) int32 and the images' names."""
    write_npz(run_folder / LABELS_FILE, {"labels": labels_RT, "names": np.array(names, dtype=np.str_)})


def read_labels(path: Path, names: list[str], rounds: int) -> Replay:
    """The labels of a run for the same images. Raises InputError if they are others, or fewer rounds."""
    if not path.is_file():
        raise InputError(f"--labels-from: '{printable(path)}' is not there. Expected the run of an adaptation.")
    arrays = read_npz(path)
    labels = arrays.get("labels", np.empty(0))
    if labels.ndim != 2 or labels.dtype != np.int32 or arrays.get("names", np.empty(0)).tolist() != names:
        raise InputError(
            f"--labels-from: '{printable(path)}' labels other images than the {len(names)} of this target. Expected a run that "
            "was adapted to the same set."
        )
    if len(labels) < rounds:
        raise InputError(
            f"--labels-from: '{printable(path)}' has {len(labels)} rounds, expected {rounds}: lower --rounds."
        )
    return Replay(labels)
