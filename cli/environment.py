"""The facts behind `reid-data env` and the trials behind `reid-data doctor`."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reid_data.errors import ReidError

PACKAGES = (
    "person-reid-toolkit",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "albumentations",
    "safetensors",
    "segment-anything",
)


def describe(data_root: Path) -> dict[str, Any]:
    """What this machine and installation have, as printable lines by topic."""
    from reid_data.datasets import found_names
    from reid_data.files import cache_folder

    weights = sorted(path.name for path in cache_folder("weights").iterdir())
    return {
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": [f"{name} {_version(name)}" for name in PACKAGES],
        "device": _device(),
        "processors": f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} usable",
        "libjpeg": _libjpeg(),
        "cache": str(cache_folder()),
        "data root": f"{data_root} ({'there' if data_root.is_dir() else 'not there'})",
        "data sets": found_names(data_root) or ["none"],
        "segmenters": _segmenters(),
        "weights": weights or ["none (reid-data fetch-weights for sam, reid-train fetch-weights for ImageNet)"],
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _segmenters() -> list[str]:
    """The bundled networks with the terms of what they learnt from."""
    from reid_data.segment.network import read_about
    from reid_data.segment.small_net import BUNDLED, bundled_weights

    paths = {name: bundled_weights(name) for name in BUNDLED}
    return [
        f"{name}: {read_about(path).get('terms', 'unknown terms')}" for name, path in paths.items() if path.is_file()
    ]


def _device() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return [f"cpu ({torch.get_num_threads()} threads); no CUDA device"]
    return [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]


def _libjpeg() -> list[str]:
    import cv2
    from PIL import features

    in_opencv = [
        line.strip() for line in cv2.getBuildInformation().splitlines() if "JPEG:" in line and "2000" not in line
    ]
    return [
        f"Pillow: {features.version('jpg')} (turbo: {features.check('libjpeg_turbo')})",
        f"OpenCV: {' '.join(in_opencv)}",
    ]


def examine(data_root: Path) -> Iterator[dict[str, Any]]:
    """Each trial as what, ok, found, remedy; a trial that fails does not stop the next."""
    from reid_data.files import cache_folder

    trials: list[tuple[str, Callable[[], str], str]] = [
        (
            "write to the cache",
            lambda: _try_writing(cache_folder()),
            "set REID_CACHE to a writable folder with free space",
        ),
        (
            "write to the data root",
            lambda: _try_writing(data_root),
            "give another --data-root, or mend the rights of this one",
        ),
        ("decode and encode images", _try_decoding, "install the versions in constraints.txt"),
        ("hash", _try_hashing, "the Python installation is damaged: install it again"),
        (
            "start worker processes",
            _try_processes,
            "use --workers 1; in a container, raise the limits on processes and /dev/shm",
        ),
        (
            "train one step",
            _try_training,
            "install torch and torchvision again in one command: pip install torch torchvision",
        ),
    ]
    for what, trial, remedy in trials:
        try:
            yield {"what": what, "ok": True, "found": trial(), "remedy": ""}
        except (ReidError, OSError, RuntimeError, ImportError, AssertionError, ValueError) as error:
            yield {"what": what, "ok": False, "found": f"{type(error).__name__}: {error}", "remedy": remedy}


def _try_writing(folder: Path) -> str:
    import shutil

    from reid_data.files import write_atomic

    if not folder.is_dir():
        return f"{folder} is not there yet; it is made when something is written"
    with tempfile.TemporaryDirectory(dir=folder) as place:
        write_atomic(Path(place) / "trial", b"trial")
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _try_decoding() -> str:
    import io

    import numpy as np
    from PIL import Image

    from reid_data.images import decode_image, encode_jpeg, encode_png

    image = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    if not np.array_equal(decode_image(encode_png(image)), image):
        raise RuntimeError("a PNG does not come back as it was written")
    data = encode_jpeg(image)
    same = np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data))))
    return "PNG lossless, JPEG " + (
        "equal in OpenCV and Pillow" if same else "differs between OpenCV and Pillow by rounding"
    )


def _try_hashing() -> str:
    from reid_data.files import sha256_bytes

    if sha256_bytes(b"abc") != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad":
        raise RuntimeError("sha256 gives a wrong answer")
    return "sha256 is right"


def _try_processes() -> str:
    from reid_data.parallel import default_workers, ordered_map

    workers = min(2, default_workers())
    if list(ordered_map(abs, [-1, -2, -3], workers, chunk=1)) != [1, 2, 3]:
        raise RuntimeError("a worker gave a wrong answer")
    return f"{workers} of {default_workers()}"


def _try_training() -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    network.to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.randn(16, 3, 32, 16, device=device), torch.arange(16, device=device) % 8
    losses = []
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if not losses[1] < losses[0]:
        raise RuntimeError(f"the loss did not fall: {losses}")
    return f"loss {losses[0]:.3f} -> {losses[1]:.3f} on {device}"
