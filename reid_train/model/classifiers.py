"""The classifier: unit or free features (N, D) -> logits (N, C) over a temperature.

Three independent choices. `norm`, what becomes of the class weights: `free`; `project`, normalised in place before
every forward, so that the gradient does not see it (the reference study's way); `cosine`, normalised inside the
forward, so that it does. `head`: `linear`, or a margin head by its published definition. Start: normal with std 0.001,
or set from outside by `set_weights`.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_data.errors import unknown_name

INIT_STD = 0.001


def linear_head(scores_NC: Tensor, labels_N: Tensor, margin: float) -> Tensor:
    """The scores as they are."""
    return scores_NC


def arcface_head(cosines_NC: Tensor, labels_N: Tensor, margin: float) -> Tensor:
    """cos(theta + margin) for the true class, cos(theta) for the others (Deng et al., arXiv:1801.07698, eq. 3).

    Beyond theta = pi - margin, where cos(theta + margin) would rise again, the line cos(theta) - margin sin(margin)
    takes over (as in the authors' code), so that a larger angle never scores higher.
    """
    true_N1 = cosines_NC.gather(1, labels_N[:, None])
    sine = (1 - true_N1.square()).clamp_min(1e-12).sqrt()
    shifted = true_N1 * math.cos(margin) - sine * math.sin(margin)
    shifted = torch.where(true_N1 > math.cos(math.pi - margin), shifted, true_N1 - margin * math.sin(margin))
    return cosines_NC.scatter(1, labels_N[:, None], shifted)


def cosface_head(cosines_NC: Tensor, labels_N: Tensor, margin: float) -> Tensor:
    """cos(theta) - margin for the true class, cos(theta) for the others (Wang et al., arXiv:1801.09414, eq. 4)."""
    return cosines_NC - margin * F.one_hot(labels_N, cosines_NC.shape[1]).to(cosines_NC.dtype)


CLASSIFIERS = {"linear": linear_head, "arcface": arcface_head, "cosface": cosface_head}
NORMS = ("free", "project", "cosine")


class Classifier(nn.Module):
    """A bias-free linear classifier with one of CLASSIFIERS as head and one of NORMS for its weights (C, D).

    Margin heads use the cosine by definition: features and weights are normalised inside the forward.
    """

    def __init__(self, num_features: int, num_classes: int, *, norm: str, head: str, margin: float, seed: int) -> None:
        super().__init__()
        if head not in CLASSIFIERS:
            raise unknown_name("head", head, CLASSIFIERS)
        if norm not in NORMS:
            raise unknown_name("classifier norm", norm, NORMS)
        self.norm, self.head, self.margin = norm, head, margin
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.empty(num_classes, num_features).normal_(0, INIT_STD, generator=generator))

    @torch.no_grad()
    def set_weights(self, weight_CD: Tensor) -> None:
        """Start from given class weights, such as centroids."""
        assert weight_CD.shape == self.weight.shape, (
            f"expected {tuple(self.weight.shape)}, got {tuple(weight_CD.shape)}"
        )
        self.weight.copy_(weight_CD)

    @torch.no_grad()
    def project(self) -> None:
        """Under norm `project`: normalise the weights in place. `forward` begins with it."""
        if self.norm == "project":
            self.weight.copy_(F.normalize(self.weight))

    def forward(self, features_ND: Tensor, labels_N: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
        """(logits for the loss, scores for the accuracy: without margin and temperature), both (N, C)."""
        scores_NC = self.scores(features_ND)
        return self.logits(scores_NC, labels_N, temperature), scores_NC

    def scores(self, features_ND: Tensor) -> Tensor:
        """(N, C): how well each feature fits each class, without margin and temperature."""
        self.project()
        angular = self.head != "linear"
        weight_CD = F.normalize(self.weight) if angular or self.norm == "cosine" else self.weight
        return F.linear(F.normalize(features_ND) if angular else features_ND, weight_CD)

    def logits(self, scores_NC: Tensor, labels_N: Tensor, temperature: float | Tensor) -> Tensor:
        """The logits (N, C) of scores that may come from several classifiers of this kind side by side."""
        return CLASSIFIERS[self.head](scores_NC, labels_N, self.margin) / temperature

    @torch.no_grad()
    def effective_norms(self) -> Tensor:
        """(C,) the norms by which class weights scale the logits: 1 where the forward normalises them."""
        if self.head != "linear" or self.norm == "cosine":
            return torch.ones_like(self.weight[:, 0])
        return self.weight.norm(dim=1)
