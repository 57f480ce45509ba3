"""What an exported file says of itself: how it is used, what it was trained on and on what terms, which run it came from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid_data.datasets import DATASETS, find_dataset
from reid_data.datasets.card import card_as_parent, card_from_document, read_document, tool_version
from reid_data.errors import InputError, ReidError, UsageError
from reid_data.files import printable
from reid_data.records import Card
from reid_data.shapes import parse_json, require
from reid_train.settings.train import TrainSettings
from reid_train.trained import TrainedModel, three_numbers

SCHEMA = "reid-export/1"
INPUTS = {
    False: "uint8 RGB (N, {}, {}, 3)",
    True: "float32 RGB (N, 3, {}, {}), (value / 255 - mean) / std of the channels",
}
"""By `raw`, what the network takes."""
_SHAPE = {
    **{"schema": frozenset({SCHEMA}), "format": str, "raw": bool, "half": bool, "size": [int], "features": int},
    **{"norm": {"mean": three_numbers, "std": three_numbers}, "settings": {...: str | int | float | bool}},
}
"""What is read of a file's facts."""


def facts_of(
    model: TrainedModel, data_root: Path, *, format: str, program: bool, raw: bool, half: bool
) -> dict[str, Any]:
    """All that the file shall carry, JSON-able. No class and no path of this machine is in it."""
    height, width = model.settings.height_width
    kept = {name: model.metadata[name] for name in ("train_sets", "train_key", "epoch", "epochs", "norm")}
    return {
        "schema": SCHEMA,
        "tool": tool_version(),
        "format": format,
        "input": INPUTS[raw].format(height, width) if program else "",
        "raw": raw,
        "half": half,
        "size": [height, width],
        "features": model.net.num_features,
        "settings": _portable(model.settings),
        "classes": [],
        "sets": [card_as_parent(_card(name, data_root)) for name in model.metadata["train_sets"]],
        "sha256": model.sha256,
        **kept,
    }


def _portable(settings: TrainSettings) -> dict[str, Any]:
    """The settings of training and tests, files by their last name alone."""
    values = {**settings.as_dict("train"), **settings.as_dict("test")}
    values["weights"] = Path(settings.weights).name
    if settings.temperature_file is not None:
        values["temperature_schedule"] = f"file:{Path(settings.temperature_file).name}"
    return values


def _card(name: str, data_root: Path) -> Card:
    """The card of a training set: of its copy below the data root, else of the table of known sets, else one that knows nothing."""
    try:
        document = read_document(find_dataset(name, data_root))
    except (InputError, UsageError):
        document = None
    if document is not None:
        return card_from_document(document)
    return DATASETS[name].card() if name in DATASETS else Card(name)


def to_text(facts: Mapping[str, Any]) -> str:
    """The facts as they stand in a file; equal facts give equal texts."""
    return json.dumps(facts, sort_keys=True, ensure_ascii=True)


def from_text(text: str | None, path: Path) -> tuple[dict[str, Any], TrainSettings]:
    """The facts in a file, and its settings. Raises InputError for a file that is not of this tool."""
    try:
        if text is None:
            raise ValueError("it carries no facts of an export")
        facts = parse_json(text)
        require(facts, _SHAPE)
        return facts, TrainSettings().replace(**facts["settings"])
    except (ValueError, ReidError) as error:
        raise InputError(
            f"'{printable(path)}' was not exported by this tool: {str(error).rstrip('.')}. Write one with reid-train export."
        ) from error
