"""One setting: how it is declared, and how a value given for it is checked. Imports no torch."""

import dataclasses
import difflib
import math
from typing import Any

from reid_data.errors import UsageError


def setting(
    default: Any,
    help_text: str,
    source: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    form: str = "",
    prefix: str = "",
    stage: str = "train",
) -> Any:
    """A dataclass field with what is known about it. `least`, `above`, `most` bound a number; `form` shows free text;
    texts that begin with `prefix` are allowed beside the `choices`."""
    facts = {"help": help_text, "source": source, "choices": choices, "form": form, "prefix": prefix, "stage": stage}
    return dataclasses.field(default=default, metadata={**facts, "least": least, "above": above, "most": most})


def flag(name: str) -> str:
    """The flag of a setting as a user types it."""
    return "--" + name.replace("_", "-")


def checked(field: Any, value: Any) -> Any:
    """`value`, perhaps given as text, as the type of the field's default. Raises UsageError that names the flag."""
    kind = type(field.default)
    if field.metadata["form"] == "none|N" and value in (None, "none"):
        return 0
    if kind is bool:
        return truth(field.name, value)
    if kind in (int, float):
        bounds = {key: field.metadata[key] for key in ("least", "above", "most")}
        return number(field.name, value, kind, **bounds)
    text = str(value)
    choices, prefix = field.metadata["choices"], field.metadata["prefix"]
    if choices and text not in choices and not (prefix and text.startswith(prefix)):
        near = difflib.get_close_matches(text, choices, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"{flag(field.name)} '{text}': expected one of {', '.join(choices)}.{hint}")
    return text


def parts(name: str, text: str, form: str, kinds: tuple[type, ...]) -> list[Any]:
    """The numbers of a text such as `20,6,0.3`, each of its kind. Raises UsageError that names the flag and `form`."""
    pieces = text.split(",")
    if len(pieces) != len(kinds):
        raise UsageError(f"{flag(name)} '{text}': expected none or {form}.")
    return [number(name, piece, kind, least=0) for piece, kind in zip(pieces, kinds)]


def truth(name: str, value: Any) -> bool:
    """True or false from a bool or a word. Raises UsageError that names the flag."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).lower() not in words:
        raise UsageError(f"{flag(name)} '{value}': expected true or false.")
    return words[str(value).lower()]


def number(
    name: str,
    value: Any,
    kind: type,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """`value`, perhaps given as text, as an int or a float within its bounds. Raises UsageError that names the flag."""
    try:
        found = kind(value)
        exact = not isinstance(value, bool) and math.isfinite(found) and float(found) == float(value)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise UsageError(f"{flag(name)} '{value}': expected {'a whole number' if kind is int else 'a number'}.")
    if (
        (least is not None and found < least)
        or (above is not None and found <= above)
        or (most is not None and found > most)
    ):
        low = f"at least {least:g}" if least is not None else f"above {above:g}" if above is not None else ""
        high = f"at most {most:g}" if most is not None else ""
        raise UsageError(f"{flag(name)} {value}: expected {' and '.join(filter(None, (low, high)))}.")
    return found
