"""A trained model: read from a run or from a file, and its features of records by its test settings."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.decode import Images, decoded
from reid_data.errors import InputError, UsageError
from reid_data.files import AnyPath, printable, settings_digest, sha256_file
from reid_data.records import Record
from reid_data.shapes import require
from reid_train.arithmetic import Arithmetic
from reid_train.features.cache import FeatureCache
from reid_train.features.extract import Embed, Extraction, Features, embedding, extract
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import pick_device
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MODEL_FILE, load_model
from reid_train.settings.train import TrainSettings
from reid_train.training.parts import make_net
from reid_train.training.versions import feature_versions

logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]
SMALLEST = 1e-12


def three_numbers(value: Any) -> None:
    """A check (see `reid_data.shapes`): one number a channel."""
    require(value, [float])
    if len(value) != 3:
        raise ValueError(f"has {len(value)} numbers, expected one a channel")


_METADATA = {"epoch": int, "epochs": int, "classes": list, "norm": {"mean": three_numbers, "std": three_numbers}}
"""What is read of a model's metadata."""


@dataclass(frozen=True)
class TrainedModel:
    """A network in eval mode on its device, the settings it was trained with and what the file says about it."""

    net: ReidNet
    settings: TrainSettings
    arithmetic: Arithmetic
    metadata: dict[str, Any]
    sha256: str = ""

    @property
    def device(self) -> str:
        """The network's device, as torch names it."""
        return str(self.arithmetic.device)

    @property
    def how(self) -> Extraction:
        """How its test settings take features."""
        return Extraction(self.settings.height_width, self.settings.test_feature, self.settings.flip_test)

    def embed(self) -> Embed:
        """The network as a function of pixels, by its test settings."""
        return embedding(self.net, self.how, self.arithmetic)

    def features(
        self,
        records: Sequence[Record],
        content: str,
        *,
        workers: int,
        progress: Progress | None = None,
        images: Images = decoded,
    ) -> Features:
        """Features of `records` by the run's test settings, kept by the model, the settings and `content`, their set's digest."""
        names = settings_digest([record.name for record in records])
        device = self.arithmetic.device.type
        key = [self.sha256, self.metadata["norm"], asdict(self.how) | feature_versions(), device, content, names]
        cache = FeatureCache(key)
        return extract(
            self.net, records, self.how, self.arithmetic, workers=workers, progress=progress, images=images, cache=cache
        )


def unit_embedding(model: TrainedModel) -> Embed:
    """The model's features by its test settings, at length 1 also where the network leaves them longer."""
    embed = model.embed()
    if model.net.normalize and model.settings.test_feature == "after":
        return embed
    return lambda images: unit_rows(embed(images))


def unit_rows(feats_ND: np.ndarray) -> np.ndarray:
    """The rows at length 1; zeros stay zeros, as in torch's normalize."""
    return feats_ND / np.maximum(np.linalg.norm(feats_ND, axis=1, keepdims=True), SMALLEST)


def load_trained(run_folder: AnyPath, *, device: str = "auto", changes: dict[str, Any] | None = None) -> TrainedModel:
    """The model of a run, or of a .safetensors file of ours. `changes`: test settings that replace its own.

    Raises InputError if there is no such model, UsageError for a change of a training setting.
    """
    return load_on(run_folder, pick_device(device), changes)


def load_on(source: AnyPath, device: torch.device, changes: dict[str, Any] | None = None) -> TrainedModel:
    """`load_trained` on a device that is at hand; nothing is set for the process as a whole.

    A file that is not its run's own model (a copy, an exported one) carries its settings.
    """
    path = Path(source)
    if path.is_file() and not is_of_a_run(path):
        return _from_file(path, None, device, changes)
    run_folder = runs.run_of(path)
    settings = runs.read_settings(run_folder)
    path = run_folder / MODEL_FILE
    if not path.is_file():
        raise InputError(
            f"the run '{printable(run_folder)}' has no {MODEL_FILE} yet: its training has not come to a checkpoint."
        )
    return _from_file(path, settings, device, changes)


def is_of_a_run(path: Path) -> bool:
    """Whether a file is the model that a run keeps, beside its settings; else it is read by the settings that it carries."""
    return path.name == MODEL_FILE and runs.run_of(path) != path


def changed_tests(settings: TrainSettings, changes: dict[str, Any] | None) -> TrainSettings:
    """The settings with other test settings. Raises UsageError for a change of a training setting."""
    wrong = [name for name in changes or {} if name not in settings.as_dict("test")]
    if wrong:
        raise UsageError(
            f"{wrong[0]} belongs to the training: a test can change {', '.join(settings.as_dict('test'))}."
        )
    return settings.replace(**(changes or {}))


def _from_file(
    path: Path, settings: TrainSettings | None, device: torch.device, changes: dict[str, Any] | None
) -> TrainedModel:
    """The model in a file, by the settings of its run or (None) those in the file."""
    tensors, metadata = load_model(path)
    try:
        require(metadata, _METADATA)
        if settings is None:
            require(metadata, {"settings": {...: str | int | float | bool}})
            settings = TrainSettings().replace(**metadata["settings"])
    except (ValueError, UsageError) as error:
        raise InputError(
            f"'{printable(path)}' is no model of this tool: {str(error).rstrip('.')}. Train again, or name another."
        ) from error
    if metadata["epoch"] < metadata["epochs"]:
        logger.warning(
            "the model is from epoch %d of %d: its training is not finished", metadata["epoch"], metadata["epochs"]
        )
    settings = changed_tests(settings, changes)
    net = make_net(settings, len(metadata["classes"]))
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"'{printable(path)}' does not fit its run's settings: {error}. Train again.") from error
    arithmetic = Arithmetic(device, "none", metadata["norm"]["mean"], metadata["norm"]["std"])
    return TrainedModel(net.to(device).eval(), settings, arithmetic, metadata, sha256_file(path))
