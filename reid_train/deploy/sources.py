"""A model as a function of pixels, from wherever it comes: a run, a model file of ours, an exported ONNX file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.decode import Images, decoded
from reid_data.devices import choose_device
from reid_data.errors import InputError, UsageError
from reid_data.files import AnyPath, printable, settings_digest, sha256_file
from reid_data.onnx_networks import open_network
from reid_data.records import Record
from reid_train.deploy.facts import from_text
from reid_train.features.cache import FeatureCache
from reid_train.features.extract import Embed, Features, extract_by
from reid_train.runs.checkpoint import METADATA_KEY
from reid_train.settings.setting import flag
from reid_train.settings.train import TrainSettings
from reid_train.trained import changed_tests, load_on, unit_embedding
from reid_train.training.versions import feature_versions

BAKED_IN = ("test_feature", "flip_test")
"""The test settings that an exported program has inside."""


@dataclass(frozen=True)
class Source:
    """Pixels -> unit features of `width`, by `settings`, whose size and matte say how pictures are read.

    `device`: where distances of them are computed. `key`: what features are kept by; None: they are not kept.
    """

    embed: Embed
    width: int
    settings: TrainSettings
    device: str = "cpu"
    key: Sequence[Any] | None = None

    def features(
        self,
        records: Sequence[Record],
        content: str,
        *,
        workers: int,
        progress: Callable[[int, int], None] | None = None,
        images: Images = decoded,
    ) -> Features:
        """Features of `records`, kept by the file and `content`, the digest of their set."""
        names = settings_digest([record.name for record in records])
        cache = None if self.key is None else FeatureCache([*self.key, feature_versions(), content, names])
        return extract_by(
            self.embed,
            self.width,
            records,
            self.settings.height_width,
            workers=workers,
            progress=progress,
            images=images,
            cache=cache,
        )


def open_source(source: AnyPath, device: str = "auto", changes: dict[str, Any] | None = None) -> Source:
    """The model behind a path, on a device. `changes`: test settings that replace its own.

    Raises InputError for what is no model, UsageError for a change of what cannot be changed.
    """
    path = Path(source)
    if path.suffix.lower() == ".onnx":
        return _open_onnx(path, device, changes or {})
    place = choose_device(device)
    model = load_on(source, torch.device(place), changes)
    how = [model.settings.test_feature, model.settings.flip_test]
    key = ["unit", model.sha256, model.metadata["norm"], model.settings.size, *how, place]
    return Source(unit_embedding(model), model.net.num_features, model.settings, place, key)


def _open_onnx(path: Path, device: str, changes: dict[str, Any]) -> Source:
    network = open_network(path, device)
    facts, settings = from_text(network.metadata.get(METADATA_KEY), path)
    baked = [name for name in BAKED_IN if name in changes and changes[name] != getattr(settings, name)]
    if baked:
        raise UsageError(f"{flag(baked[0])} is inside '{printable(path)}' and cannot be changed: export the run anew.")
    height, width = settings.height_width
    expected = [3, height, width] if facts["raw"] else [height, width, 3]
    kind = "tensor(float)" if facts["raw"] else "tensor(uint8)"
    if (network.input_type, network.input_shape[1:], network.output_shape[1:]) != (kind, expected, [facts["features"]]):
        raise InputError(
            f"'{printable(path)}' takes {network.input_type} {network.input_shape} and gives {network.output_shape}, which is not "
            "what it says of itself. Export the run anew."
        )
    embed = after_normalising(network, facts["norm"]) if facts["raw"] else network
    place = "cuda" if network.device == "cuda" and torch.cuda.is_available() else "cpu"
    key = ["onnx", sha256_file(path), network.device]
    return Source(embed, facts["features"], changed_tests(settings, changes), place, key)


def after_normalising(run: Embed, norm: dict[str, list[float]]) -> Embed:
    """A network with raw input as a function of pixels."""
    mean, std = (np.array(norm[name], np.float32).reshape(1, 3, 1, 1) for name in ("mean", "std"))

    def embed(images: np.ndarray) -> np.ndarray:
        return run((images.transpose(0, 3, 1, 2).astype(np.float32) / 255 - mean) / std)

    return embed
