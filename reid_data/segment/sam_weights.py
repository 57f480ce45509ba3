"""Segment Anything's published weights: where they come from, what they hash to, where they lie. Fetched only on request."""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from reid_data.download import Progress, download
from reid_data.errors import EnvironmentFault, unknown_name
from reid_data.files import cache_folder, printable, sha256_file

META = "https://dl.fbaipublicfiles.com/segment_anything/"
MOBILE = "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/master/weights/"


class Published(NamedTuple):
    """A published file: its name, the folder that it is in, its sha256, and the bytes to make room for and at most to accept."""

    name: str
    folder: str
    sha256: str
    num_bytes: int


MODELS = {
    "vit_t": Published(
        "mobile_sam.pt", MOBILE, "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f", 50_000_000
    ),
    "vit_b": Published(
        "sam_vit_b_01ec64.pth", META, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 400_000_000
    ),
    "vit_l": Published(
        "sam_vit_l_0b3195.pth", META, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1_300_000_000
    ),
    "vit_h": Published(
        "sam_vit_h_4b8939.pth", META, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2_600_000_000
    ),
}
"""Apache-2.0 all: facebookresearch/segment-anything, and for vit_t ChaoningZhang/MobileSAM."""


def model_of(path: Path) -> str | None:
    """The model whose published file name `path` has."""
    return next((model for model, file in MODELS.items() if path.name == file.name), None)


def weights_path(model: str, given: str) -> Path:
    """`given`, else the cache's place for this model's file (whether or not it is there)."""
    if model not in MODELS:
        raise unknown_name("SAM model", model, MODELS)
    return Path(given) if given else cache_folder("weights") / MODELS[model].name


def checked_weights(model: str, given: str) -> tuple[Path, str]:
    """The weights file of `model` and its sha256, after a check that the content is the published one.

    Raises EnvironmentFault with the command to run when it is missing or differs.
    """
    path, expected = weights_path(model, given), MODELS[model].sha256
    if not path.is_file():
        raise EnvironmentFault(
            f"the weights of SAM {model} are not at '{printable(path)}'. Fetch them with 'reid-data fetch-weights {model}', give "
            "their place with --sam-weights PATH, or choose --segmenter small, which needs none."
        )
    state = os.stat(path)
    got = _sha256(str(path), state.st_mtime_ns, state.st_size)
    if got != expected:
        raise EnvironmentFault(
            f"'{printable(path)}' is not the published file of SAM {model}: expected sha256 {expected}, got {got}. Remove it and run "
            f"'reid-data fetch-weights {model}', or name another file with --sam-weights."
        )
    return path, got


@cache
def _sha256(path: str, mtime: int, size: int) -> str:
    return sha256_file(path)


def fetch_weights(model: str, progress: Progress | None = None) -> Path:
    """Download a model's weights into the cache, whole and checked, or not at all; kept if they are there already.

    Raises EnvironmentFault when the network, the disk or the content fails.
    """
    path = weights_path(model, "")
    if path.is_file():
        return checked_weights(model, "")[0]
    file = MODELS[model]
    download(
        file.folder + file.name,
        path,
        sha256=file.sha256,
        num_bytes=file.num_bytes,
        otherwise="choose --segmenter small",
        progress=progress,
    )
    return path
