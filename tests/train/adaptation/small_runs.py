"""Small adaptations, and the fixtures that they start from."""

from pathlib import Path
from typing import Any

from reid_data.datasets import load_dataset
from reid_train.adaptation.adapt import adapt
from reid_train.adaptation.start import settings_of_start
from reid_train.runs.result import RunResult
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.train import TrainSettings

CHOICES = {"k1": 6, "k2": 2, "bn_group": 2, "max_share": 0.6}


def of_start(start: Path, **changes: Any) -> TrainSettings:
    """Two rounds of three steps."""
    return settings_of_start(start).replace(**{"epochs": 2, "iterations": 3, "batch_ids": 3, **changes})


def go(
    start: Path, root: Path, folder: Path, training: dict[str, Any] | None = None, how: Any = None, **choices: Any
) -> RunResult:
    """Adapt the source run from `tiny` to `other`."""
    own = AdaptSettings(**{**CHOICES, **choices})
    sources = [load_dataset("tiny", root)]
    target = load_dataset("other", root)
    return adapt(
        of_start(start, **(training or {})), own, sources, target, folder, device="cpu", workers=1, **(how or {})
    )  # fmt: skip


def promised(folder: Path) -> dict[str, bytes]:
    """The files whose bytes are a function of the inputs."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "costs.json"}
