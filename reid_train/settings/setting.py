"""One setting: how it is declared, and how a value given for it is checked. Imports no torch."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from reid_data.errors import UsageError, unknown_name

CHANGES = {
    "network": "the network as it starts: its parts, its first weights, what it makes of an input and a label",
    "input": "what becomes of a given picture before the network gets it",
    "batches": "which pictures come in which batch, and how they are changed",
    "steps": "learning rate and temperature of every step, and how many steps there are",
    "update": "what a step does with a batch: losses, optimiser, precision",
    "features": "the features of a test",
    "clusters": "which images of a site without labels are taken for one person",
    "scores": "what a test says of given features",
    "files": "what else is written; no weight and no score",
}


def setting(
    default: Any,
    help_text: str,
    source: str,
    changes: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    form: str = "",
    prefix: str = "",
) -> Any:
    """A dataclass field with what is known about it.

    `changes`: what a change of it changes at once, one or more words of CHANGES; what follows from that (other batches give
    other weights) is not said. `least`, `above`, `most` bound a number; `form` shows free text; texts that begin with
    `prefix` are allowed beside the `choices`.
    """
    words = tuple(changes.split())
    facts = {"help": help_text, "source": source, "choices": choices, "form": form, "prefix": prefix}
    bounds = {"least": least, "above": above, "most": most}
    return dataclasses.field(default=default, metadata={**facts, **bounds, "changes": words, "stage": stage(words)})


def stage(changes: tuple[str, ...]) -> str:
    """What a change of a setting invalidates: `train` the training, `test` only the tests, `run` nothing."""
    assert changes, "every setting says what it changes"
    assert set(changes) <= set(CHANGES), f"{changes}: expected words of {', '.join(CHANGES)}"
    if set(changes) <= {"features", "scores"}:
        return "test"
    return "run" if changes == ("files",) else "train"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one kind, a field for each: checked when made, hashable, printable."""

    def __post_init__(self) -> None:
        for name, field in self.declared().items():
            object.__setattr__(self, name, checked(field, getattr(self, name)))
        self._check_together()

    def _check_together(self) -> None:
        """Raise UsageError for values that do not go together."""

    @classmethod
    def declared(cls) -> dict[str, Any]:
        """Name -> dataclass field of every setting, in the order of their declaration."""
        return {field.name: field for field in dataclasses.fields(cls)}

    def as_dict(self, stage: str | None = None) -> dict[str, Any]:
        """All settings, or those of one `stage`, by name."""
        found = self.declared().items()
        return {name: getattr(self, name) for name, field in found if stage in (None, field.metadata["stage"])}

    def given(self, stage: str) -> dict[str, Any]:
        """The settings of one `stage` that are not at their defaults.

        Keys digest these, so that a new setting, at its default, leaves every earlier key as it is.
        """
        return {name: value for name, value in self.as_dict(stage).items() if value != self.declared()[name].default}

    def replace(self, **changes: Any) -> Self:
        """A copy with `changes`; unknown names are an error that lists the valid ones."""
        check_names(changes, self.declared())
        return dataclasses.replace(self, **changes)

    def to_toml(self) -> str:
        """All settings as TOML text."""
        return "".join(f"{name} = {toml_value(value)}\n" for name, value in self.as_dict().items())


def check_names(names: Iterable[str], declared: Mapping[str, Any]) -> None:
    """Raise UsageError, with the nearest match and all valid names, on a name that is no setting."""
    for name in names:
        if name not in declared:
            raise unknown_name("setting", name, declared)


def default_text(name: str, field: Any) -> str:
    """The default of a setting as a user would type it."""
    default = field.default
    if isinstance(default, bool):
        return flag(name) if default else flag(f"no_{name}")
    if field.metadata["form"] == "none|N" and default == 0:
        return "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


def value_form(field: Any) -> str:
    """What a flag takes, for its help: `pk|random`, `INT`, `HxW`."""
    form: str = field.metadata["form"] or "|".join(field.metadata["choices"]) or type(field.default).__name__.upper()
    return form


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


def channel_numbers(name: str, text: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Channel (mean, std) of a text such as `0.4,0.4,0.4/0.2,0.2,0.2`; None if it holds no numbers.

    Raises UsageError, which names the flag, for numbers that are no such thing.
    """
    try:
        mean, std = (tuple(float(number) for number in half.split(",")) for half in text.split("/"))
    except ValueError:
        return None
    low, high = all(0 <= value <= 1 for value in mean), all(0 < value <= 1 for value in std)
    if len(mean) != 3 or len(std) != 3 or not low or not high:
        raise UsageError(
            f"{flag(name)} '{text}': expected three means and three stds in 0..1, such as 0.415,0.389,0.384/0.196,0.190,0.188."
        )
    return mean, std


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line `--flag: old -> new` for each setting that differs."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{flag(name)}: {old.get(name, '(absent)')} -> {new.get(name, '(absent)')}" for name in names]


def toml_value(value: Any) -> str:
    """A setting's value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(_toml_char(char) for char in value) + '"'
    return repr(value)


def _toml_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08X}"
