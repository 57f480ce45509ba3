"""Files that hold a training: `model.safetensors` (weights, settings, class map) and `state.pt` (all that a resume needs).

Both are written whole or not at all. `state.pt` holds weights too, so that one rename moves a run from one epoch to the
next: a kill at any moment leaves a run that resumes. Neither file can run code when it is read.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from reid_data import seals
from reid_data.errors import InputError
from reid_data.files import failpoint, printable, replacing, write_atomic
from reid_data.shapes import parse_json
from reid_data.tensors import read_header, read_tensors

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.pt"
METADATA_KEY = "reid"
CHECKSUM_KEY = "checksum"
"""In the metadata of a model of ours: sha256 over all else in it (an exported one has a sha256 of its own: of the run's model)."""
MENDED = "the model of %s is missing or damaged: it is made again, out of %s if that is there"
NO_MODEL = "So it is no model of this tool: train again, or name another."


def save_model(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write weights and JSON-able `metadata` as safetensors; the same input gives the same bytes."""
    write_atomic(path, model_bytes(tensors, metadata), sync=True)


def model_bytes(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """What `save_model` writes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole = {**metadata, CHECKSUM_KEY: _checksum(plain, metadata)}
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    # One metadata entry only: the format does not fix the order of several.
    return bytes(save(plain, {METADATA_KEY: text}))


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """sha256 over all that a model of ours holds."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True, ensure_ascii=True).encode("ascii"))
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode("utf-8", "surrogateescape"))
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a model of ours, without looking at its weights. Raises InputError if it is no such file."""
    metadata = _ours(path, read_header(path, remedy=NO_MODEL).metadata)
    metadata.pop(CHECKSUM_KEY, None)
    return metadata


def load_model(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights, metadata) of a model of ours. Raises InputError if it is no such file, or not as it was written."""
    tensors, texts = read_tensors(path, remedy=NO_MODEL)
    metadata = _ours(path, texts)
    expected = metadata.pop(CHECKSUM_KEY, None)
    if expected is not None and expected != _checksum(tensors, metadata):
        raise InputError(
            f"'{printable(path)}' is damaged: {seals.CHANGED}. The command that trained it makes it again out of {STATE_FILE} "
            "beside it; a copy elsewhere has to be restored."
        )
    return tensors, metadata


def is_whole_model(path: Path) -> bool:
    """Whether a model of ours is there and as it was written."""
    try:
        load_model(path)
    except InputError:
        return False
    return True


def _ours(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(parse_json(metadata[METADATA_KEY]))
    except KeyError as error:
        raise InputError(f"'{printable(path)}' is no model of this tool: its metadata have no {error}.") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"'{printable(path)}' is no model of this tool: {error}.") from error


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values so that `torch.load(weights_only=True)` reads them; equal states give equal bytes."""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:  # to a path, torch would write that path's name into the bytes
            failpoint()
            torch.save(_with_shared_words(state), file)
        seals.seal_file(temporary)


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
        seals.require_intact(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch.load raises many kinds on damaged bytes
        raise InputError(
            f"'{printable(path)}' is damaged: {error}. Remove it to train this run from the start."
        ) from error
    return dict(state)
