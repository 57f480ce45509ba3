"""The network that leaves the house: pixels in, features of length 1 out, with all that lies between inside it."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_train.trained import TrainedModel


class WholeNet(nn.Module):
    """A trained model by its test settings, without its classifier: what it learned about the people of its training stays behind.

    Input uint8 RGB (N, H, W, 3), or with `raw` float32 RGB (N, 3, H, W) that is normalised already, (value / 255 - mean) / std.
    Output (N, D) float32 of length 1. With `half` the backbone computes in float16, what follows in float32.
    """

    def __init__(self, model: TrainedModel, *, raw: bool, half: bool) -> None:
        super().__init__()
        self.net = copy.deepcopy(model.net).cpu().eval()
        self.net.classifier = nn.Identity()  # type: ignore[assignment]
        self.net.log_temperature = self.net.centres = None
        if half:
            self.net.backbone.half()
        self.raw, self.half_backbone = raw, half
        self.flip, self.which = model.settings.flip_test, model.settings.test_feature
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", model.arithmetic.mean.cpu().clone())
        self.register_buffer("std", model.arithmetic.std.cpu().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Features of images."""
        if not self.raw:
            images = images.permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        if self.half_backbone:
            images = images.half()
        if not self.flip:
            return F.normalize(self._features(images))
        return F.normalize(self._features(images) + self._features(images.flip(3)))

    def _features(self, images: Tensor) -> Tensor:
        found = self.net(images)
        chosen: Tensor = found.before if self.which == "before" else found.classified
        return chosen

    def example(self, size: tuple[int, int], num: int = 2) -> Tensor:
        """An input of the right type and shape."""
        return torch.zeros(num, 3, *size) if self.raw else torch.zeros(num, *size, 3, dtype=torch.uint8)
