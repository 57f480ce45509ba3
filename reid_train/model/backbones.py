"""Networks below the pooling: images (N, 3, H, W) float32 -> feature maps (N, C, h, w)."""

import difflib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet

from reid_data.errors import EnvironmentFault, UsageError, unknown_name

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


NUM_PARAMETERS = {"resnet18": 11_176_512, "resnet34": 21_284_672, "resnet50": 23_508_032, "resnet101": 42_500_160}
"""name -> parameters of the trunk, for estimates of space without building it"""


def build_backbone(name: str, *, last_stride: int, seed: int) -> tuple[nn.Module, int]:
    """The untrained network `name` and its number of output channels.

    `timm:NAME` is the network of that name in the package timm, if it ends in feature maps. The initial weights are a
    function of `seed` alone; the global random state is left as it was. Raises UsageError, EnvironmentFault.
    """
    if name not in BACKBONES and not name.startswith(TIMM):
        raise unknown_name("backbone", name, BACKBONES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name.startswith(TIMM):
            return _timm_trunk(name.removeprefix(TIMM), last_stride)
        builder, num_channels = BACKBONES[name]
        return _trunk(builder(), last_stride), num_channels


def _timm_trunk(name: str, last_stride: int) -> tuple[nn.Module, int]:
    """A network of timm without its head, under timm's names (so its weight files fit)."""
    try:
        import timm
    except ImportError as error:
        raise EnvironmentFault(
            f"--backbone {TIMM}{name} needs the package timm: pip install 'person-reid-toolkit[timm]'."
        ) from error
    if name not in timm.list_models():
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.6)
        raise unknown_name("timm backbone", name, near) if near else UsageError(f"timm has no network named '{name}'.")
    how = {"output_stride": 16} if last_stride == 1 else {}
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **how)
    except (TypeError, AssertionError, NotImplementedError, ValueError) as error:
        hint = " Try --last-stride 2: not every network can keep the last stage's resolution." if how else ""
        raise UsageError(f"--backbone {TIMM}{name} cannot be built as a backbone: {error}.{hint}") from error
    with torch.no_grad():
        try:
            shape = tuple(network.eval()(torch.zeros(1, 3, 128, 64)).shape)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"--backbone {TIMM}{name} does not take pictures of any size: {error}.") from error
    if len(shape) != 4 or shape[1] != network.num_features:
        raise UsageError(
            f"--backbone {TIMM}{name} ends in {shape}, expected feature maps (N, C, h, w): choose a convolutional network."
        )
    return network.train(), shape[1]
