"""Files that hold a training: `model.safetensors` (weights, settings, class map) and `state.pt` (all that a resume needs).

Both are written whole or not at all. `state.pt` holds weights too, so that one rename moves a run from one epoch to the
next: a kill at any moment leaves a run that resumes. Neither file can run code when it is read.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from reid_data.errors import InputError
from reid_data.files import printable, write_atomic, writing
from reid_data.shapes import parse_json
from reid_data.tensors import read_header, read_tensors

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.pt"
METADATA_KEY = "reid"
NO_MODEL = "So it is no model of this tool: train again, or name another."


def save_model(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write weights and JSON-able `metadata` as safetensors; the same input gives the same bytes."""
    write_atomic(path, model_bytes(tensors, metadata), sync=True)


def model_bytes(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """What `save_model` writes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=True)
    # One metadata entry only: the format does not fix the order of several.
    return bytes(save(plain, {METADATA_KEY: text}))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a model of ours. Raises InputError if it is no such file."""
    return _ours(path, read_header(path, remedy=NO_MODEL).metadata)


def load_model(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights, metadata) of a model of ours. Raises InputError if it is no such file."""
    tensors, metadata = read_tensors(path, remedy=NO_MODEL)
    return tensors, _ours(path, metadata)


def _ours(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(parse_json(metadata[METADATA_KEY]))
    except KeyError as error:
        raise InputError(f"'{printable(path)}' is no model of this tool: its metadata have no {error}.") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"'{printable(path)}' is no model of this tool: {error}.") from error


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values so that `torch.load(weights_only=True)` reads them; equal states give equal bytes."""
    with writing(path, sync=True) as file:
        torch.save(_with_shared_words(state), file)


def _with_shared_words(value: Any) -> Any:
    """The same value, equal texts in it one object: pickle writes an object once, and a state that was read has more of them."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_with_shared_words(key): _with_shared_words(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_shared_words, value))
    return value


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` wrote; None if there is no such file. Raises InputError if it is damaged."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch.load raises many kinds on damaged bytes
        raise InputError(
            f"'{printable(path)}' is damaged: {error}. Remove it to train this run from the start."
        ) from error
    return dict(state)
