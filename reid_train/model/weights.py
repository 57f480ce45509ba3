"""What a network starts from: torchvision's ImageNet files, a file of ours, or nothing. Nothing is downloaded unasked."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reid_data.download import Progress, download
from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import cache_folder, printable, sha256_file
from reid_train.model.reid_net import ReidNet
from reid_train.model.weight_files import described, read_weight_file, trunk_prefix

logger = logging.getLogger("reid_train")


class WeightFile(NamedTuple):
    """A weight file whose content is known: where torchvision publishes it, its sha256, and at most how many bytes it has."""

    url: str
    sha256: str
    num_bytes: int

    @property
    def path(self) -> Path:
        """Its place in the cache."""
        return cache_folder("weights") / self.url.rpartition("/")[2]


IMAGENET_V1 = {
    "resnet18": WeightFile(
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        50_000_000,
    ),
    "resnet50": WeightFile(
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        110_000_000,
    ),
}
"""torchvision's IMAGENET1K_V1 files; a backbone without an entry has no file whose content could be checked."""


def weights_path(weights: str, backbone: str) -> Path | None:
    """The file behind `--weights`: None for `none`, else its path after a check that it is there and genuine."""
    if weights == "none":
        return None
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise InputError(
                f"--weights '{weights}': no such file. Expected imagenet, none, or a .safetensors or .pth file."
            )
        return Path(weights)
    known = _imagenet_file(backbone)
    if not known.path.is_file():
        raise EnvironmentFault(
            f"the ImageNet weights of {backbone} are not in the cache ('{known.path}'). "
            f"Fetch them with: reid-train fetch-weights {backbone}, or choose --weights none|PATH."
        )
    _check_content(known.path, known.sha256)
    return known.path


def _imagenet_file(backbone: str) -> WeightFile:
    if backbone not in IMAGENET_V1:
        raise EnvironmentFault(
            f"no checked ImageNet weights are known for {backbone} (only for {', '.join(IMAGENET_V1)}). Choose --weights none|PATH."
        )
    return IMAGENET_V1[backbone]


def _check_content(path: Path, expected: str) -> None:
    got = sha256_file(path)
    if got != expected:
        raise EnvironmentFault(
            f"'{path}' is damaged or not what it says: expected sha256 {expected}, got {got}. Remove it and fetch it again."
        )


def fetch_imagenet(backbone: str, progress: Progress | None = None) -> Path:
    """Download the ImageNet weights of `backbone` into the cache, unless they are there.

    The file appears only if its sha256 is right.
    """
    known = _imagenet_file(backbone)
    if known.path.is_file():
        _check_content(known.path, known.sha256)
        return known.path
    download(
        known.url,
        known.path,
        sha256=known.sha256,
        num_bytes=known.num_bytes,
        otherwise="use --weights none|PATH",
        progress=progress,
    )
    return known.path


def load_start(net: ReidNet, path: Path) -> list[str]:
    """Load backbone, embedding and neck from `path` into `net`; the names of what the file lacked.

    One of our models, or the backbone alone with the names of torchvision or timm, in a `.safetensors` file or one of
    `torch.save`, below a prefix and wrappers (see `weight_files`). The classifier is left as initialised: its classes are
    other people. Raises InputError if the file is unreadable, has nothing for the backbone, other shapes, or numbers that
    are not finite.
    """
    held = read_weight_file(path)
    tensors = _named(net, held, f"--weights '{printable(path)}'", ours=path.suffix == ".safetensors")
    wanted = {
        name: tensor
        for name, tensor in net.state_dict().items()
        if name.partition(".")[0] in ("backbone", "embedding", "neck", "pooling")
    }
    missing = [name for name in wanted if name not in tensors]
    if any(name.startswith("backbone.") and not name.endswith("num_batches_tracked") for name in missing):
        raise InputError(
            f"--weights '{path}' has no {missing[0]} (and {len(missing) - 1} more): it is for another --backbone. {described(held)}"
        )
    for name, tensor in wanted.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            raise InputError(
                f"--weights '{path}': {name} has shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}. "
                "It is for another --backbone or --embedding."
            )
    taken = {name: tensors[name] for name in wanted if name in tensors}
    bad = [name for name, tensor in taken.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise InputError(
            f"--weights '{path}': {bad[0]} holds NaN or infinite numbers ({len(bad)} of {len(taken)} tensors do): its training "
            "went wrong. Start from an earlier checkpoint of it, or from other weights."
        )
    net.load_state_dict(taken, strict=False)
    return missing


def _named(net: ReidNet, tensors: dict[str, Tensor], called: str, *, ours: bool) -> dict[str, Tensor]:
    """The tensors by our names: `backbone.` in place of what stands before the backbone's; of a file of `ours` all others, too."""
    prefix = trunk_prefix(tensors, net.backbone.state_dict(), called)
    if ours and prefix == "backbone.":
        return tensors
    if prefix:
        logger.info("%s: the backbone is taken from below '%s'", called, printable(prefix))
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return {f"backbone.{name}": value for name, value in inside.items() if not name.startswith("fc.")}
