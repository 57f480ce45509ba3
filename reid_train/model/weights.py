"""What a network starts from: torchvision's ImageNet files, a file of ours, or nothing. Nothing is downloaded unasked."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reid_data.download import Progress, download
from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import cache_folder, printable, sha256_file
from reid_train.model.matching import COUNTER, Match, closest, match, trunk_prefix
from reid_train.model.reid_net import ReidNet
from reid_train.model.weight_files import described, read_weight_file

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


def load_start(net: ReidNet, path: Path, *, allow_partial: bool = False) -> list[str]:
    """Load backbone, embedding and neck from `path` into `net`; the names of what the file lacked. The log says what was taken.

    One of our models, or the backbone alone with the names of torchvision or timm, in a `.safetensors` file or one of
    `torch.save`, below a prefix and wrappers (see `weight_files`). Position embeddings of another grid are resampled. The
    classifier is left as initialised: its classes are other people. With `allow_partial`, what the file lacks or has in
    another shape stays as initialised, too. Raises InputError if the file is unreadable, has nothing for the backbone, other
    shapes, or numbers that are not finite.
    """
    called = f"--weights '{printable(path)}'"
    held = read_weight_file(path)
    trunk = net.backbone.state_dict()
    prefix = trunk_prefix(held, trunk, called)
    wanted = _wanted(net)
    if path.suffix == ".safetensors" and prefix == "backbone.":
        found = match(held, wanted, "", _grid(net))
    else:
        below = match(held, trunk, prefix, _grid(net))
        found = replace(
            below,
            taken={f"backbone.{name}": tensor for name, tensor in below.taken.items()},
            wrong={f"backbone.{name}": why for name, why in below.wrong.items()},
        )
        found.missing = [name for name in wanted if name not in found.taken]
    _check_whole(found, held, called, allow_partial=allow_partial)
    bad = [name for name, tensor in found.taken.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise InputError(
            f"{called}: {bad[0]} holds NaN or infinite numbers ({len(bad)} of {len(found.taken)} tensors do): its training "
            "went wrong. Start from an earlier checkpoint of it, or from other weights."
        )
    net.load_state_dict(found.taken, strict=False)
    logger.info("%s: %s", called, found.report())
    return found.missing


def _wanted(net: ReidNet) -> dict[str, Tensor]:
    """What a file may set, by name."""
    parts = ("backbone", "embedding", "neck", "pooling")
    return {name: tensor for name, tensor in net.state_dict().items() if name.partition(".")[0] in parts}


def _grid(net: ReidNet) -> tuple[int, int] | None:
    """Patches along height and width of a network that cuts pictures into them; None for others."""
    return getattr(getattr(net.backbone, "patch_embed", None), "grid_size", None)


def _check_whole(found: Match, held: Mapping[str, Tensor], called: str, *, allow_partial: bool) -> None:
    """Raise InputError for a file that fills less than all of the backbone, or none of it where a part is allowed."""
    missing = [name for name in found.missing if name.startswith("backbone.") and not name.endswith(COUNTER)]
    absent = [name for name in missing if name not in found.wrong]
    some = any(name.startswith("backbone.") for name in found.taken)
    if absent and not (allow_partial and some):
        near = closest([name.removeprefix("backbone.") for name in absent], found.left_out)
        remedy = " Add --allow-partial to take what fits." if some else ""
        raise InputError(
            f"{called} has no {absent[0]} (and {len(absent) - 1} more): it is for another --backbone.{near} "
            f"{described(held)}{remedy}"
        )
    if found.wrong and not (allow_partial and some):
        name = next(name for name in found.missing if name in found.wrong)
        raise InputError(
            f"{called}: {name} is {found.wrong[name]}. It is for another --backbone, --size or --embedding."
        )
    if missing:
        logger.warning("%s fills a part: %d tensors of the backbone start at random", called, len(missing))
