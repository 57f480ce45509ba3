"""What is imported when it is first asked for: the names of a package's public face, and the commands behind `python -m`."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of the module `package`; `places`: public name -> `module:name in it` (PEP 562)."""

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, _, attribute = places[name].partition(":")
        value = getattr(importlib.import_module(module), attribute)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(places)

    return get, names


def installed_command(name: str) -> Callable[[], None]:
    """The function behind the installed console command `name`.

    It is looked up by its entry point, as the command itself does; so no library imports the command line.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        command: Callable[[], None] = distribution("person-reid-toolkit").entry_points[name].load()
    except (PackageNotFoundError, KeyError, ModuleNotFoundError) as error:
        raise SystemExit(
            f"Error: the command {name} is not installed ({error}). Install it first: pip install ."
        ) from error
    return command
