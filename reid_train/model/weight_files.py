"""Weight files of any program: what is in them, read so that none can run code; wrappers and prefixes are looked through."""

import re
import zipfile
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.tensors import read_tensors

WRAPPERS = ("teacher", "state_dict", "model", "net", "params", "model_state_dict", "network", "weights")
"""Names below which programs keep a state dict, the first that is there; DINO's files hold a teacher and a student."""
_DEPTH = 3
_SHOWN = 3
_PLAIN_NAMES = 'in the program that made it, torch.save(model.state_dict(), "weights.pth")'


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of one that `torch.save` wrote, by the names they have there.

    Of a checkpoint that holds a state dict beside other things (see WRAPPERS) the tensors of that state dict. Raises
    InputError that says what the file is or holds.
    """
    called = f"--weights '{printable(path)}'"
    beginning = _beginning(path, called)
    if path.suffix == ".safetensors" or beginning[8:9] == b"{":
        tensors, _ = read_tensors(path, called=called, remedy="Copy or make it again.")
        return tensors
    try:
        with torch.serialization.safe_globals(
            [Namespace]
        ):  # the arguments of a command line beside the weights: plain values
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds on hostile bytes
        raise InputError(f"{called} {_why_unread(path, beginning, str(error))}") from error
    return _state_dict(content, called)


def _beginning(path: Path, called: str) -> bytes:
    """The first bytes of a file; InputError for what people get where they expect weights."""
    with open(path, "rb") as file:
        beginning = file.read(64)
    if not beginning:
        raise InputError(f"{called} is empty (0 bytes). Copy or download it again.")
    text = beginning.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{called} is a web page, not weights: the download went wrong. Open it to read why.")
    if text.startswith(b"version https://git-lfs"):
        raise InputError(f"{called} is a pointer of Git LFS, not weights. Fetch the file itself: git lfs pull.")
    return beginning


def _why_unread(path: Path, beginning: bytes, error: str) -> str:
    """What is wrong with a file that torch cannot read, in place of its advice to load what could run code."""
    found = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", error)
    kind = next(filter(None, found.groups()), "") if found else ""
    if kind and not kind.startswith("torch.serialization"):
        return (
            f"holds an object ({kind}) beside or instead of tensors, and loading objects could run code. Save its tensors alone: "
            f"{_PLAIN_NAMES}."
        )
    if zipfile.is_zipfile(path) or beginning[:1] == b"\x80":
        return "cannot be read: it is damaged, or not of torch.save. Copy or download it again."
    if beginning[:4] == b"PK\x03\x04":
        return "is cut off: the end of the file is missing. Copy or download it again."
    return f"is no weight file: it begins with {beginning[:8]!r}. Expected a .safetensors file or one of torch.save."


def _state_dict(content: Any, called: str) -> dict[str, Tensor]:
    """The state dict in what was loaded, below as many wrappers as there are."""
    inner = content
    for _ in range(_DEPTH):
        wrapper = _wrapper(inner)
        if wrapper is None:
            break
        inner = inner[wrapper]
    tensors = (
        {str(name): value for name, value in inner.items() if isinstance(value, Tensor)} if _is_table(inner) else {}
    )
    if not tensors:
        held = f"a table of {_listed(content)}" if _is_table(content) else f"one {type(content).__name__}"
        raise InputError(
            f"{called} holds {held}: expected a state dict (name -> tensor), alone or below one of {', '.join(WRAPPERS)}. "
            f"Save that alone: {_PLAIN_NAMES}."
        )
    return tensors


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _wrapper(value: Any) -> str | None:
    """The first of WRAPPERS below which there is another table."""
    return next((key for key in WRAPPERS if _is_table(value) and _is_table(value.get(key))), None)


def described(tensors: Mapping[str, Tensor]) -> str:
    """A sentence on what a file holds, to end a message with."""
    first = list(tensors.items())[:_SHOWN]
    shown = ", ".join(f"{printable(name)} {tuple(tensor.shape)}" for name, tensor in first)
    return (
        f"It holds {len(tensors)} tensor{'s' * (len(tensors) != 1)}: {shown}{', ...' if len(tensors) > _SHOWN else ''}."
    )


def _listed(names: Iterable[Any]) -> str:
    shown = [f"'{printable(str(name))}'" for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
