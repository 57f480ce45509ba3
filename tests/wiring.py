"""Wires from settings to results: every field, changed alone, changes what is declared for it, and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

Outputs = dict[str, Any]
"""What a run gives, by name; compared with ==."""


@dataclass(frozen=True)
class Wire:
    """Another value of a field; the names of the outputs that it changes (none: it must change nothing); and what the other
    fields must be so that it matters."""

    value: Any
    changes: tuple[str, ...]
    given: Mapping[str, Any] = field(default_factory=dict)


def field_names(settings: Any, prefix: str = "") -> Iterator[str]:
    """Every field that can be set, those of settings within settings as `outer.inner`."""
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            yield from field_names(value, f"{prefix}{one.name}.")
        elif one.init:
            yield prefix + one.name


def changed(settings: Any, values: Mapping[str, Any]) -> Any:
    """The settings with other values, named as `field_names` names them."""
    for name, value in values.items():
        outer, _, inner = name.partition(".")
        settings = replace(settings, **{outer: changed(getattr(settings, outer), {inner: value}) if inner else value})
    return settings


def check_wire(name: str, wires: Mapping[str, Wire], settings: Any, observe: Callable[[Any], Outputs]) -> None:
    """Fails if the field has no entry, or changes other outputs than the entry says."""
    assert name in wires, f"the setting '{name}' is new: say here what it changes"
    wire = wires[name]
    base = changed(settings, wire.given)
    other = changed(base, {name: wire.value})
    assert other != base, f"the other value of '{name}' is the one it has"
    compare_outputs(name, observe(base), observe(other), wire.changes)


def compare_outputs(name: str, before: Outputs, after: Outputs, expected: tuple[str, ...]) -> None:
    """Fails unless exactly the `expected` outputs differ."""
    assert set(expected) <= set(before) == set(after)
    found = {key for key in before if before[key] != after[key]}
    assert found == set(expected), f"'{name}' changes {sorted(found)}, declared are {sorted(expected)}"
