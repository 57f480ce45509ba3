"""Networks of the package timm without their heads, under timm's names (so its weight files fit): maps and tokens."""

import difflib
import re
from functools import partial
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn

from reid_data.errors import UsageError, unknown_name
from reid_train.model.trunk import Output, Trunk

_REFUSED = {
    "output_stride": "--last-stride 1: {name} has no last stage that could keep its resolution. Add --last-stride 2.",
    "embed_layer": "--patch-stride: the patches of {name} cannot overlap. Leave it out.",
    "drop_path_rate": "--drop-path: {name} has none. Leave it out.",
}
_BUILDING = (TypeError, AssertionError, NotImplementedError, ValueError, RuntimeError)


class OverlappingPatches(PatchEmbed):
    """timm's patch embedding with steps shorter than a patch, as TransReID cuts pictures (He et al., arXiv:2102.04378)."""

    def __init__(self, *args: Any, stride: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if stride > min(self.patch_size):
            raise UsageError(
                f"--patch-stride {stride}: patches of {min(self.patch_size)} pixels would leave out what lies between them. "
                "Expected none, or at most that."
            )
        self.proj.stride = (stride, stride)
        self.grid_size = self.dynamic_feat_size(self.img_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Patches along height and width; what is left at the edges is not looked at."""
        (height, width), (down, right) = img_size, self.proj.stride
        return (height - self.patch_size[0]) // down + 1, (width - self.patch_size[1]) // right + 1


def timm_trunk(
    name: str, size: tuple[int, int], seed: int, *, last_stride: int, patch_stride: int, drop_path: float
) -> Trunk:
    """The untrained network `name` for pictures of `size`.

    One that is built for a single size is built for this one. Moves the global random state. Raises UsageError for what it cannot be.
    """
    if name not in timm.list_models():
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.6)
        raise unknown_name("timm backbone", name, near) if near else UsageError(f"timm has no network named '{name}'.")
    wanted: dict[str, Any] = {"output_stride": 16} if last_stride == 1 else {}
    if drop_path:
        wanted["drop_path_rate"] = drop_path
    if patch_stride:
        wanted["embed_layer"] = partial(OverlappingPatches, stride=patch_stride)
    config = timm.get_pretrained_cfg(name)
    ways: list[dict[str, Any]] = [{}]
    if config is not None and config.fixed_input_size:  # patches that do not fill the picture are padded, else left out
        ways = [{"img_size": size, "dynamic_img_pad": True}, {"img_size": size}]
    for sized in ways[bool(patch_stride and len(ways) > 1) :]:
        network = _create(name, seed, wanted, sized)
        try:
            output, width = _output(name, network, size)
        except UsageError:
            if sized is not ways[-1]:
                continue
            raise
        break
    if last_stride == 1 and output.axes != "NCHW":
        raise UsageError(_REFUSED["output_stride"].format(name=name))
    return Trunk(network.train(), width, output)


def _create(name: str, seed: int, wanted: dict[str, Any], sized: dict[str, Any]) -> nn.Module:
    """The network, built with all that is `wanted` and with what of `sized` it knows, unpooled if it can be."""
    given = {"global_pool": "", **wanted, **sized}
    while True:
        torch.manual_seed(seed)
        try:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **given)
            return network
        except _BUILDING as error:
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if unknown is not None and unknown[1] in sized:
                del given[unknown[1]]
                continue
            if unknown is None and "global_pool" in given:
                del given["global_pool"]
                continue
            reason = _REFUSED.get(unknown[1] if unknown else "", "")
            hint = " Try --last-stride 2." if "output_stride" in wanted else ""
            text = reason or f"--backbone timm:{{name}} cannot be built: {error}.{hint}"
            raise UsageError(text.format(name=name)) from error


@torch.no_grad()
def _output(name: str, network: nn.Module, size: tuple[int, int]) -> tuple[Output, int]:
    """How the output of the network lies, by a trial, and the number of its features at each place."""
    images, shapes = torch.zeros(1, 3, *size), []
    network.eval()
    for method in ("forward", "forward_features"):
        try:
            found = getattr(network, method)(images)
        except _BUILDING as error:
            raise UsageError(
                f"--backbone timm:{name} does not take pictures of {size[0]}x{size[1]}: {error}. Try another --size."
            ) from error
        output = _axes(network, found, method)
        if output is not None:
            return output, found.shape[1 if output.axes == "NCHW" else -1]
        shapes.append(tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__)
    raise UsageError(
        f"--backbone timm:{name} ends in {shapes[0]}, expected feature maps (N, C, h, w) or (N, h, w, C) or tokens (N, L, C): "
        "choose another network."
    )


def _axes(network: nn.Module, found: Any, method: str) -> Output | None:
    """How what a network gave lies; None for what is neither maps nor tokens."""
    widths = {network.num_features, getattr(network, "head_hidden_size", None)}
    shape = tuple(found.shape) if isinstance(found, Tensor) else ()
    if len(shape) == 4 and shape[1] in widths:
        return Output("NCHW", method=method)
    if len(shape) == 4 and shape[3] in widths:
        return Output("NHWC", method=method)
    if len(shape) == 3 and shape[2] in widths:
        token = getattr(network, "cls_token", None) is not None
        return Output("NLC", int(getattr(network, "num_prefix_tokens", token)), token, method)
    return None
