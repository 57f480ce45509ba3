"""`reid-data env`: what this machine and installation have."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from ..options import data_root_option, json_option
from ..terminal import show

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


@click.command()
@data_root_option
@json_option
def env(data_root: Path, as_json: bool) -> None:
    """Versions, device, decoders, cache, data root, found sets and weights: what to put into a bug report.

    \b
    Example:
      reid-data env
    """
    facts = describe(data_root)
    if as_json:
        show(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        for number, line in enumerate(value if isinstance(value, list) else [value]):
            show(f"{key if number == 0 else '':<18}{line}")


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
