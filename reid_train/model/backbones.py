"""Networks below the pooling by name: torchvision's, and (`timm_trunks`) those of timm."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet

from reid_data.errors import EnvironmentFault, UsageError, unknown_name
from reid_train.model.trunk import Trunk

TIMM = "timm:"
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


def build_backbone(
    name: str,
    *,
    last_stride: int,
    seed: int,
    size: tuple[int, int] = (256, 128),
    patch_stride: int = 0,
    drop_path: float = 0.0,
) -> Trunk:
    """The untrained network `name` for pictures of `size` (height, width).

    `timm:NAME` is the network of that name in the package timm, which alone has patches and drop path. The initial weights
    are a function of the arguments; the global random state is left as it was. Raises UsageError, EnvironmentFault.
    """
    if name not in BACKBONES and not name.startswith(TIMM):
        raise unknown_name("backbone", name, BACKBONES)
    with torch.random.fork_rng(devices=[]):
        if name.startswith(TIMM):
            _require_timm(name)
            from reid_train.model.timm_trunks import timm_trunk

            inner = name.removeprefix(TIMM)
            return timm_trunk(
                inner, size, seed, last_stride=last_stride, patch_stride=patch_stride, drop_path=drop_path
            )
        for flag, value in (("--patch-stride", patch_stride), ("--drop-path", drop_path)):
            if value:
                raise UsageError(
                    f"{flag} {value}: {name} has none. Leave it out, or choose a backbone of timm that has."
                )
        torch.manual_seed(seed)
        builder, num_channels = BACKBONES[name]
        return Trunk(_trunk(builder(), last_stride), num_channels)


def _require_timm(name: str) -> None:
    try:
        import timm  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"--backbone {name} needs the package timm: pip install 'person-reid-toolkit[timm]'."
        ) from error
