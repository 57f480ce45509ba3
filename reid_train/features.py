"""Features of images in data-set order: (N, D) float32."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F

from reid_data.records import Record
from reid_train.decode import Images, Unreadable, decoded
from reid_train.engine import Arithmetic
from reid_train.model.reid_net import ReidNet

BATCH = 128


@dataclass(frozen=True)
class Features:
    """`feats` (N, D) float32, the N records that they belong to, in order, and the images that were left out."""

    feats: np.ndarray
    records: list[Record]
    unreadable: list[Unreadable]

    @property
    def pids(self) -> np.ndarray:
        """(N,) int64."""
        return np.array([record.pid for record in self.records], np.int64)

    @property
    def camids(self) -> np.ndarray:
        """(N,) int64."""
        return np.array([record.camid for record in self.records], np.int64)

    @property
    def names(self) -> list[str]:
        """Paths below the set's root."""
        return [record.name for record in self.records]


@dataclass(frozen=True)
class Extraction:
    """How features are taken: input `size` (height, width), `which` (`before` or `after` the neck), `flip` averaging."""

    size: tuple[int, int]
    which: str = "after"
    flip: bool = False


@torch.inference_mode()
def extract(
    net: ReidNet,
    records: Sequence[Record],
    how: Extraction,
    arithmetic: Arithmetic,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    images: Images = decoded,
) -> Features:
    """Features of `records` in eval mode; images that `images` cannot give are left out and listed.

    `after`: as the classifier sees them (after the neck, L2-normalised if the network does). With `flip`, the mean of an
    image's features and its mirror image's, normalised again where single ones are. Memory: the features and one batch.
    """
    net.eval()
    feats = np.empty((len(records), net.num_features), np.float32)
    kept: list[Record] = []
    unreadable: list[Unreadable] = []
    for group in _groups(zip(records, images(records, how.size, workers)), BATCH):
        good = [(record, image) for record, image in group if not isinstance(image, str)]
        unreadable += [Unreadable(record.name, image) for record, image in group if isinstance(image, str)]
        if good:
            batch = torch.from_numpy(np.stack([image for _, image in good]))
            feats[len(kept) : len(kept) + len(good)] = _features(net, batch, how, arithmetic).cpu().numpy()
        kept += [record for record, _ in good]
        if progress is not None:
            progress(len(kept) + len(unreadable), len(records))
    return Features(feats[: len(kept)], kept, unreadable)


def _groups(
    pairs: Iterator[tuple[Record, np.ndarray | str]], size: int
) -> Iterator[list[tuple[Record, np.ndarray | str]]]:
    return iter(lambda: list(islice(pairs, size)), [])


def _features(net: ReidNet, images: torch.Tensor, how: Extraction, arithmetic: Arithmetic) -> torch.Tensor:
    views = [images, images.flip(2)] if how.flip else [images]
    found = [_one_view(net, view, how.which, arithmetic) for view in views]
    if len(found) == 1:
        return found[0]
    mean = torch.stack(found).mean(0)
    return F.normalize(mean) if net.normalize and how.which == "after" else mean


def _one_view(net: ReidNet, images: torch.Tensor, which: str, arithmetic: Arithmetic) -> torch.Tensor:
    with arithmetic.autocast():
        features = net(arithmetic.to_input(images))
    return features.before if which == "before" else features.classified


@torch.no_grad()
def class_centroids(net: ReidNet, before_ND: np.ndarray, labels: Sequence[int], *, calibrate: bool) -> torch.Tensor:
    """(C, D) L2-normalised mean feature of each class, as the classifier would see the features in eval mode.

    `before_ND`: features before the neck of all training images, `labels` their classes (each class at least once).
    `calibrate`: first set the running statistics of the neck to those of `before_ND`, so that the centroids live where
    features do in training; without it the neck is as initialised (the reference study's way).
    """
    net.eval()
    device = net.classifier.weight.device
    before = torch.from_numpy(before_ND).to(device)
    if calibrate and isinstance(net.neck, torch.nn.BatchNorm1d):
        assert net.neck.running_mean is not None
        assert net.neck.running_var is not None
        net.neck.running_mean.copy_(before.double().mean(0))
        net.neck.running_var.copy_(before.double().var(0))
    after = net.neck(before)
    after = F.normalize(after) if net.normalize else after
    sums_CD = torch.zeros_like(net.classifier.weight).index_add_(0, torch.tensor(labels, device=device), after)
    return F.normalize(sums_CD)
