"""Losses, each a pure function of tensors. N: images in the batch, D: width of a feature, C: classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

VERSIONS = {"losses": 1}  # every loss


def cross_entropy(logits_NC: Tensor, labels_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in float32; label smoothing spreads `smoothing` evenly over all C classes (arXiv:1512.00567, section 7)."""
    return F.cross_entropy(logits_NC.float(), labels_N, label_smoothing=smoothing)


def pairwise_distances(features_ND: Tensor, others_MD: Tensor) -> Tensor:
    """Euclidean distances (N, M), with a finite gradient also where two features coincide."""
    squares = features_ND.square().sum(1)[:, None] + others_MD.square().sum(1)[None, :] - 2 * features_ND @ others_MD.T
    return squares.clamp_min(1e-12).sqrt()


def batch_hard_triplet(
    features_ND: Tensor,
    labels_N: Tensor,
    margin: float | None,
    *,
    others_MD: Tensor | None = None,
    other_labels_M: Tensor | None = None,
) -> Tensor:
    """Mean over the anchors of max(0, margin + hardest positive - hardest negative), in Euclidean distances.

    Hermans et al., arXiv:1703.07737, eq. 5.
    `margin` None: softplus instead of the hinge. An anchor is its own positive if it has no other (distance 0); an anchor
    without a negative counts as 0. `others_MD`: the pool of candidates, by default the batch itself.
    """
    others_MD = features_ND if others_MD is None else others_MD
    other_labels_M = labels_N if other_labels_M is None else other_labels_M
    dist_NM = pairwise_distances(features_ND, others_MD)
    same_NM = labels_N[:, None] == other_labels_M[None, :]
    hardest_positive_N = dist_NM.masked_fill(~same_NM, -torch.inf).amax(1)
    hardest_negative_N = dist_NM.masked_fill(same_NM, torch.inf).amin(1)
    gap_N = hardest_positive_N - hardest_negative_N
    loss_N = F.softplus(gap_N) if margin is None else (gap_N + margin).clamp_min(0)
    return loss_N.mean()


def centre_loss(features_ND: Tensor, labels_N: Tensor, centres_CD: Tensor) -> Tensor:
    """Half the mean squared distance of the features to their classes' centres (Wen et al. 2016, eq. 2, as a mean over the batch)."""
    return 0.5 * (features_ND - centres_CD[labels_N]).square().sum(1).mean()


@torch.no_grad()
def moved_centres(centres_CD: Tensor, features_ND: Tensor, labels_N: Tensor, rate: float) -> Tensor:
    """The centres after one batch: c_j - rate * sum(c_j - x_i) / (1 + n_j) over its n_j images (Wen et al. 2016, eq. 4)."""
    counts_C = torch.bincount(labels_N, minlength=len(centres_CD)).to(features_ND.dtype)
    sums_CD = torch.zeros_like(centres_CD).index_add_(0, labels_N, features_ND)
    return centres_CD - rate * (counts_C[:, None] * centres_CD - sums_CD) / (1 + counts_C[:, None])
