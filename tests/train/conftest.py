"""A tiny set of coloured images in Market layout, a tiny network, and settings small enough for a test."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reid_data.datasets import load_dataset
from reid_data.files import write_atomic
from reid_data.images import encode_png, read_image, write_image
from reid_data.records import ReidDataset
from reid_train.model import reid_net
from reid_train.model.trunk import Trunk
from reid_train.settings.train import TrainSettings

NUM_IDS, IMAGES_PER_CAMERA = 8, 3
TINY_WIDTH = 12


def write_tiny_set(root: Path, seed: int = 0, num_ids: int = NUM_IDS, contrast: int = 128) -> Path:
    """Identity = two colours (top and bottom), at most `contrast` from grey, under noise; 2 cameras; other people in train than
    in query and gallery."""
    rng = np.random.default_rng(seed)
    for folder, first in (("bounding_box_train", 1), ("bounding_box_test", 101)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "query").mkdir(exist_ok=True)
        for pid in range(first, first + num_ids):
            colours = rng.integers(128 - contrast, 128 + contrast, (2, 3))
            for camid in (1, 2):
                for number in range(IMAGES_PER_CAMERA):
                    picture = np.repeat(colours, 16, 0)[:, None, :].repeat(16, 1) + rng.integers(-20, 20, (32, 16, 3))
                    name = f"{pid:04d}_c{camid}s1_{number:06d}_00.jpg"
                    write_image(root / folder / name, picture.clip(0, 255).astype(np.uint8))
                    if first == 101 and number == 0:
                        write_image(root / "query" / name, picture.clip(0, 255).astype(np.uint8))
    return root


def make_transparent(root: Path) -> Path:
    """Turn the pictures of a set into PNG files whose left half is seen through, the old pixels left below."""
    for path in sorted(root.rglob("*.jpg")):
        image = read_image(str(path))
        alpha = np.full(image.shape[:2], 255, np.uint8)
        alpha[:, : image.shape[1] // 2] = 0
        write_atomic(path.with_suffix(".png"), encode_png(np.dstack([image, alpha])))
        path.unlink()
    return root


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads only cost time on tensors this small."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the sets `tiny` and `other`."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_set(root / "tiny", 0)
    write_tiny_set(root / "other", 1)
    return root


@pytest.fixture
def tiny(tiny_root: Path) -> ReidDataset:
    """The set `tiny`."""
    return load_dataset("tiny", tiny_root)


def build_tiny_backbone(name: str, *, last_stride: int, seed: int, **others: Any) -> Trunk:
    """Two convolutions with batch normalisation in the place of a ResNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            ("conv1", nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)),
            ("bn1", nn.BatchNorm2d(8)),
            ("relu1", nn.ReLU()),
            ("conv2", nn.Conv2d(8, TINY_WIDTH, 3, stride=last_stride, padding=1, bias=False)),
            ("bn2", nn.BatchNorm2d(TINY_WIDTH)),
            ("relu2", nn.ReLU()),
        ]
        return Trunk(nn.Sequential(OrderedDict(layers)), TINY_WIDTH)


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network of the test gets the tiny backbone."""
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)


def small(**changes: Any) -> TrainSettings:
    """32x16 input, 2 epochs of 3 steps of 4x2 images, nothing downloaded."""
    base = {
        "backbone": "resnet18",
        "weights": "none",
        "size": "32x16",
        "epochs": 2,
        "iterations": 3,
        "batch_ids": 4,
        "batch_images": 2,
        "pad_crop": 2,
        "lr": 0.01,
    }
    return TrainSettings(**{**base, **changes})
