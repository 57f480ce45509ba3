"""A run of the tiny network, trained and tested once."""

import shutil
from pathlib import Path

import pytest

from reid_data.datasets import load_dataset
from reid_train.model import reid_net
from reid_train.testing import test as run_test
from reid_train.training.fit import fit
from tests.train.conftest import build_tiny_backbone, small


@pytest.fixture(scope="session")
def trained_once(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    tiny = load_dataset("tiny", tiny_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reid_net, "build_backbone", build_tiny_backbone)
        patch.setenv("REID_CACHE", str(tmp_path_factory.mktemp("cache")))
        changes = {"flip_test": True, "norm": "0.4,0.5,0.6/0.2,0.25,0.3", "weights": "none"}
        fit(small(epochs=1, **changes), [tiny], folder, device="cpu", workers=1)
        run_test(folder, tiny, device="cpu", workers=1)
    return folder


@pytest.fixture
def run(trained_once: Path, tmp_path: Path, tiny_backbone: None) -> Path:
    """A copy of the run; the network's backbone is the tiny one."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))
