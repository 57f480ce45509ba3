"""Networks below the pooling: images (N, 3, H, W) float32 -> feature maps (N, C, h, w)."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet

from reid_data.errors import unknown_name

STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


def _trunk(network: resnet.ResNet, last_stride: int) -> nn.Sequential:
    """The stages of a torchvision ResNet below its pooling, under torchvision's names (so its weight files fit)."""
    if last_stride == 1:
        first = network.layer4[0]
        strided = first.conv2 if isinstance(first, resnet.Bottleneck) else first.conv1
        strided.stride = (1, 1)
        first.downsample[0].stride = (1, 1)
    return nn.Sequential(OrderedDict((name, getattr(network, name)) for name in STAGES))


BACKBONES: dict[str, tuple[Callable[[], resnet.ResNet], int]] = {
    "resnet18": (resnet.resnet18, 512),
    "resnet34": (resnet.resnet34, 512),
    "resnet50": (resnet.resnet50, 2048),
    "resnet101": (resnet.resnet101, 2048),
}
"""name -> (builder of the untrained torchvision network, number C of its output channels)"""


NUM_PARAMETERS = {"resnet18": 11_176_512, "resnet34": 21_284_672, "resnet50": 23_508_032, "resnet101": 42_500_160}
"""name -> parameters of the trunk, for estimates of space without building it"""


def build_backbone(name: str, *, last_stride: int, seed: int) -> tuple[nn.Module, int]:
    """The untrained network `name` and its number of output channels.

    Its initial weights are a function of `seed` alone; the global random state is left as it was.
    """
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    builder, num_channels = BACKBONES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _trunk(builder(), last_stride), num_channels
