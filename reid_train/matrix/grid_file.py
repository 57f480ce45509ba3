"""A grid as a TOML file, for `reid-train matrix --grid FILE`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reid_data.errors import InputError, UsageError, unknown_name
from reid_data.shapes import parse_toml
from reid_data.text_files import read_text
from reid_train.settings.setting import check_names
from reid_train.settings.train import fields

KEYS = ("train", "test", "seeds", "recipe", "set")


@dataclass(frozen=True)
class Grid:
    """What a grid file says: sets as typed, seeds, a recipe, and the values of each setting (several are an axis)."""

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    recipe: str | None = None
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_grid(path: Path) -> Grid:
    """Read a file with the keys `train`, `test`, `seeds` (lists), `recipe` (text) and a table `[set]` of settings.

    In `[set]` a list is an axis of the grid. Raises InputError for an unreadable file, UsageError for an unknown key or a
    value of the wrong kind.
    """
    try:
        table = parse_toml(read_text(path, "strict"))
    except ValueError as error:
        raise InputError(f"the grid '{path}' cannot be read as TOML: {error}.") from error
    for key in table:
        if key not in KEYS:
            raise unknown_name(f"key in '{path}'", key, KEYS)
    settings = {key.replace("-", "_"): value for key, value in _table(path, table).items()}
    check_names(settings, fields())
    recipe = table.get("recipe")
    if recipe is not None and not isinstance(recipe, str):
        raise UsageError(f"'{path}': recipe is '{recipe}', expected the name or path of a recipe.")
    return Grid(
        tuple(_list(path, "train", table, str)),
        tuple(_list(path, "test", table, str)),
        tuple(_list(path, "seeds", table, int)),
        recipe,
        {key: tuple(map(_text, value if isinstance(value, list) else [value])) for key, value in settings.items()},
    )


def _table(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("set", {})
    if not isinstance(found, dict):
        raise UsageError(f"'{path}': set is '{found}', expected a table [set] of settings.")
    return found


def _list(path: Path, key: str, table: dict[str, Any], kind: type) -> list[Any]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(type(value) is kind for value in found):
        example = '["market", "composite"]' if kind is str else "[0, 1, 2]"
        raise UsageError(f"'{path}': {key} is {found!r}, expected a list such as {example}.")
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
