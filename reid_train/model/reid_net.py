"""The whole network: backbone -> pooling -> embedding? -> neck? -> normalise? -> classifier."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_train.model.backbones import build_backbone
from reid_train.model.classifiers import Classifier
from reid_train.model.poolings import build_pooling
from reid_train.model.trunk import MAPS, Output


class Embedded(NamedTuple):
    """Features of a batch, each (N, D) float32: before the neck, after it, and as the classifier sees them."""

    before: Tensor
    after: Tensor
    classified: Tensor


class ReidNet(nn.Module):
    """A re-identification network; `forward` gives features, `classifier` turns `classified` ones into logits.

    `log_temperature` exists only if the temperature is learned; `centres` (C, D) only if the centre loss is used.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        embedding: nn.Module,
        neck: nn.Module,
        classifier: Classifier,
        *,
        normalize: bool,
        output: Output = MAPS,
    ) -> None:
        super().__init__()
        self.backbone, self.pooling, self.embedding, self.neck, self.classifier = (
            backbone,
            pooling,
            embedding,
            neck,
            classifier,
        )
        self.normalize, self.output = normalize, output
        self.log_temperature: nn.Parameter | None = None
        self.centres: Tensor | None
        self.register_buffer("centres", None)

    @property
    def num_features(self) -> int:
        """D."""
        return self.classifier.weight.shape[1]

    def forward(self, images: Tensor) -> Embedded:
        """Features of images (N, 3, H, W) that are already normalised by the channel statistics."""
        found = self.output.of(self.backbone, images)
        with torch.autocast(images.device.type, enabled=False):
            before = self.embedding(self.pooling(found))
            after = self.neck(before)
            return Embedded(before, after, F.normalize(after) if self.normalize else after)


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """What the network consists of. `embedding` 0: none; `learned_temperature`: its start, None: not learned."""

    backbone: str = "resnet50"
    last_stride: int = 1
    size: tuple[int, int] = (256, 128)
    patch_stride: int = 0
    drop_path: float = 0.0
    pooling: str = "gap"
    embedding: int = 0
    neck: str = "bn"
    normalize: bool = True
    classifier_norm: str = "free"
    head: str = "linear"
    margin: float = 0.35
    learned_temperature: float | None = None
    centres: bool = False


def build_net(spec: NetSpec, num_classes: int, seed: int) -> ReidNet:
    """The untrained network, every part in one place; a function of its arguments alone."""
    trunk = build_backbone(
        spec.backbone,
        last_stride=spec.last_stride,
        seed=seed,
        size=spec.size,
        patch_stride=spec.patch_stride,
        drop_path=spec.drop_path,
    )
    pooling, width = build_pooling(spec.pooling, trunk.output, trunk.width)
    features = spec.embedding or width
    net = ReidNet(
        backbone=trunk.network,
        pooling=pooling,
        embedding=_embedding(width, spec.embedding, seed) if spec.embedding else nn.Identity(),
        neck=_neck(features) if spec.neck == "bn" else nn.Identity(),
        classifier=Classifier(
            features, num_classes, norm=spec.classifier_norm, head=spec.head, margin=spec.margin, seed=seed
        ),
        normalize=spec.normalize,
        output=trunk.output,
    )
    if spec.learned_temperature is not None:
        net.log_temperature = nn.Parameter(torch.tensor(spec.learned_temperature).log())
    if spec.centres:
        net.centres = torch.zeros(num_classes, features)
    return net


def _embedding(width: int, embedding: int, seed: int) -> nn.Linear:
    """Linear with Kaiming-normal weights (fan out) and no bias to start with, as in the bag of tricks (arXiv:1903.07071)."""
    layer = nn.utils.skip_init(nn.Linear, width, embedding)  # its own start would draw from the global random state
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", generator=torch.Generator().manual_seed(seed + 1))
    nn.init.zeros_(layer.bias)
    return layer


def _neck(features: int) -> nn.BatchNorm1d:
    """The BNNeck (arXiv:1903.07071): weight 1, bias frozen at 0."""
    neck = nn.BatchNorm1d(features)
    neck.bias.requires_grad_(False)
    return neck
