"""Sets, a network and a source run that the tests of adaptations share."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reid_data.datasets import load_dataset
from reid_train.model import reid_net
from reid_train.training.fit import fit
from tests.train.conftest import build_tiny_backbone, small, write_tiny_set


@pytest.fixture(scope="module", autouse=True)
def _tiny_backbone() -> Any:
    """Every network of these tests, that of the module's source run too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reid_net, "build_backbone", build_tiny_backbone)
        yield


@pytest.fixture(scope="module")
def start(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the set `tiny`."""
    folder = tmp_path_factory.mktemp("runs") / "start"
    torch.set_num_threads(1)
    fit(small(epochs=4, iterations=6), [load_dataset("tiny", tiny_root)], folder, device="cpu", workers=1)
    return folder


@pytest.fixture(scope="module")
def hard_root(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set `tiny`, and in `other` people that are hard to tell apart, so that every setting of the clusters matters."""
    root = tmp_path_factory.mktemp("hard")
    shutil.copytree(tiny_root / "tiny", root / "tiny")
    write_tiny_set(root / "other", 1, contrast=10)
    return root
