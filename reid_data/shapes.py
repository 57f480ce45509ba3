"""Values out of text that anybody may have written: JSON and TOML of a bounded depth, and of the shape that a reader expects.

A shape is
    a class or a union of some      `str`, `int | None`; a `bool` is no number, an `int` has 64 bits and will do for a `float`
    a list of one shape             `[str]`
    a dictionary by name            `{"name": str, "notice?": str}`; `?` = may be missing, names that are not in it may be there
    a dictionary of any names       `{...: int}`
    one of some values              `frozenset({"train", "query"})`
    a check of one's own            a function of the value that raises ValueError
"""

import json
import tomllib
from pathlib import PurePosixPath
from types import UnionType
from typing import Any

Shape = Any

MAX_DEPTH = 64
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table"}
_WORDS |= {type(None): "nothing"}


def parse_json(text: str | bytes) -> Any:
    """The value of JSON text. Raises ValueError, also for nesting beyond MAX_DEPTH, and for halves of characters that no file
    can hold (escapes for bytes of names that are not UTF-8 are let through)."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _limit_depth(value)
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """The table in TOML text. Raises ValueError, also for nesting beyond MAX_DEPTH."""
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _limit_depth(table)
    return table


def _limit_depth(value: Any) -> None:
    """Level by level, so that no depth can exhaust the stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def require(value: Any, shape: Shape, name: str = "it") -> None:
    """Raise ValueError, which names the place, expected and got, unless `value` (called `name`) has the shape."""
    if isinstance(shape, dict):
        _require_class(value, dict, name)
        _require_entries(value, shape, name)
    elif isinstance(shape, list):
        _require_class(value, list, name)
        for number, inner in enumerate(value):
            require(inner, shape[0], f"{name}[{number}]")
    elif isinstance(shape, frozenset):
        if not isinstance(value, str) or value not in shape:
            raise ValueError(f"{name} is {shown(value)}, expected one of {', '.join(sorted(shape))}")
    elif isinstance(shape, type | UnionType):
        _require_class(value, shape, name)
    else:
        try:
            shape(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error


def _require_entries(table: dict[str, Any], shape: dict[Any, Shape], name: str) -> None:
    for key, inner in shape.items():
        if key is ...:
            for found in table:
                require(table[found], inner, _within(name, shown(found).strip('"')))
            continue
        plain = key.removesuffix("?")
        if type(table.get(plain)) is inner is not int:
            continue  # the usual case, quickly
        if plain in table:
            require(table[plain], inner, _within(name, plain))
        elif plain == key:
            raise ValueError(f"{_within(name, key)} is missing")


def _within(name: str, key: str) -> str:
    return key if name == "it" else f"{name}.{key}"


def _require_class(value: Any, wanted: Any, name: str) -> None:
    classes = getattr(wanted, "__args__", (wanted,))
    if not any(_is(value, one) for one in classes):
        words = " or ".join(_WORDS[one] for one in classes)
        raise ValueError(f"{name} is {shown(value)}, expected {words}")


def _is(value: Any, wanted: type) -> bool:
    kind = type(value)
    if kind is int:
        return wanted in (int, float) and -(2**63) <= value < 2**63
    return kind is wanted


def shown(value: Any) -> str:
    """A value as JSON in one short line of ASCII, for a message."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 40 else f"{text[:36]}..."


def plain_name(value: Any) -> None:
    """A check: what a file or a folder can be called, and no path."""
    file_name(value)
    if value == "." or "/" in value or "\\" in value:
        raise ValueError(f"is {shown(value)}, expected a name without slashes")


def file_name(value: Any) -> None:
    """A check: the path of a file below a folder, with forward slashes, that a disk could hold."""
    path = PurePosixPath(value if isinstance(value, str) else "")
    if not path.parts or "\0" in value:
        raise ValueError(f"is {shown(value)}, expected the name of a file")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"is {shown(value)}, which lies outside the set")
