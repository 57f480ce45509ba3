"""Features of images in data-set order: (N, D) float32."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F

from reid_data.decode import Images, Unreadable, decoded
from reid_data.records import Record
from reid_train.arithmetic import Arithmetic
from reid_train.features.cache import PART, FeatureCache, Part
from reid_train.model.reid_net import ReidNet

BATCH = 128
Embed = Callable[[np.ndarray], np.ndarray]
"""Images (N, H, W, 3) uint8 RGB at the input size -> their features (N, D) float32."""


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


def embedding(net: ReidNet, how: Extraction, arithmetic: Arithmetic) -> Embed:
    """The network in eval mode as a function of pixels; it keeps no state, so threads may share it.

    `after`: as the classifier sees them (after the neck, L2-normalised if the network does). With `flip`, the mean of an
    image's features and its mirror image's, normalised again where single ones are.
    """
    net.eval()

    @torch.inference_mode()
    def embed(images: np.ndarray) -> np.ndarray:
        return _features(net, torch.from_numpy(images), how, arithmetic).cpu().numpy()

    return embed


def extract(
    net: ReidNet,
    records: Sequence[Record],
    how: Extraction,
    arithmetic: Arithmetic,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    images: Images = decoded,
    cache: FeatureCache | None = None,
) -> Features:
    """Features of `records` by the network, taken as `how` says; see `embedding` and `extract_by`."""
    embed = embedding(net, how, arithmetic)
    return extract_by(
        embed, net.num_features, records, how.size, workers=workers, progress=progress, images=images, cache=cache
    )


def extract_by(
    embed: Embed,
    width: int,
    records: Sequence[Record],
    size: tuple[int, int],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    images: Images = decoded,
    cache: FeatureCache | None = None,
) -> Features:
    """Features (N, `width`) of `records` at `size` by any function; images that `images` cannot give are left out and listed.

    Memory: the features and one batch. Parts that `cache` holds are read from it, the others are put there.
    """
    parts = [records[start : start + PART] for start in range(0, len(records), PART)]
    kept = {number for number in range(len(parts)) if cache is not None and cache.has(number)}
    missing = [record for number, part in enumerate(parts) if number not in kept for record in part]
    stream = images(missing, size, workers)
    feats = np.empty((len(records), width), np.float32)
    readable: list[Record] = []
    unreadable: list[Unreadable] = []

    def watch(done: int) -> None:
        if progress is not None:
            progress(len(readable) + len(unreadable) + done, len(records))

    for number, part in enumerate(parts):
        found = cache.read(number, width) if cache is not None and number in kept else None
        if found is None:
            source = images(part, size, workers) if number in kept else islice(stream, len(part))
            found = _one_part(embed, width, source, watch)
            if cache is not None:
                cache.write(number, found)
        feats[len(readable) : len(readable) + len(found.feats)] = found.feats
        bad = dict(zip(found.bad, found.reasons))
        readable += [record for place, record in enumerate(part) if place not in bad]
        unreadable += [Unreadable(part[place].name, reason) for place, reason in bad.items()]
        watch(0)
    if cache is not None:
        cache.finish()
    return Features(feats[: len(readable)], readable, unreadable)


def _one_part(embed: Embed, width: int, images: Iterator[np.ndarray | str], watch: Callable[[int], None]) -> Part:
    """Features of a part's images, in batches."""
    feats = [np.empty((0, width), np.float32)]
    bad: list[int] = []
    reasons: list[str] = []
    done = 0
    for group in iter(lambda: list(islice(images, BATCH)), []):
        good = [image for image in group if not isinstance(image, str)]
        bad += [done + place for place, image in enumerate(group) if isinstance(image, str)]
        reasons += [image for image in group if isinstance(image, str)]
        if good:
            feats.append(embed(np.stack(good)))
        done += len(group)
        watch(done)
    return Part(np.concatenate(feats), bad, reasons)


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
