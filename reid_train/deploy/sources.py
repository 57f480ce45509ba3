"""Where an extractor's network comes from: a run, or a model file."""

from typing import Any, NamedTuple

import numpy as np
import torch

from reid_data.devices import choose_device
from reid_data.files import AnyPath
from reid_data.records import Transparency
from reid_train.features.extract import Embed
from reid_train.trained import TrainedModel, load_on

SMALLEST = 1e-12
"""What a feature is divided by at least, as in torch's normalize."""


class Source(NamedTuple):
    """Pixels at `size` (height, width) -> unit features of `width`, and how transparent pictures are read."""

    embed: Embed
    size: tuple[int, int]
    width: int
    transparency: Transparency


def open_source(source: AnyPath, device: str, changes: dict[str, Any] | None) -> Source:
    """The model behind a path, on a device. Raises ReidError for what is none."""
    model = load_on(source, torch.device(choose_device(device)), changes)
    settings = model.settings
    return Source(
        unit_embedding(model), settings.height_width, model.net.num_features, settings.matte_colour or "refused"
    )


def unit_embedding(model: TrainedModel) -> Embed:
    """The model's features by its test settings, at length 1 also where the network leaves them longer."""
    embed = model.embed()
    if model.net.normalize and model.settings.test_feature == "after":
        return embed

    def unit(images: np.ndarray) -> np.ndarray:
        rows = embed(images)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALLEST)

    return unit
