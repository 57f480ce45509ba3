"""`docs/python.md`: what it must say of each public name. `python -m tests.house.python_page` prints it."""

import inspect
from typing import Any

PACKAGES = ("reid_data", "reid_train")
SHOWN = 12


def public_names() -> list[tuple[str, str]]:
    """(package, name) of everything that is public."""
    return [(package, name) for package in PACKAGES for name in __import__(package).__all__]


def entry(package: str, name: str) -> str:
    """Heading, signature and first sentence of a name, as the page has them."""
    thing = getattr(__import__(package), name)
    first = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return f"### `{package}.{name}`\n\n    {name}{signature(thing)}\n\n{first}\n"


def signature(thing: Any) -> str:
    """The parameters with their defaults, without types; of many, the first few; nothing for what is not called."""
    if isinstance(thing, type) and issubclass(thing, Exception):
        return ""
    parameters = list(inspect.signature(thing).parameters.values())
    texts, star = [], False
    for parameter in parameters[:SHOWN] if len(parameters) > SHOWN else parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            texts.append("*")
            star = True
        default = parameter.default
        plain = isinstance(default, (str, int, float, bool, tuple, type(None)))
        texts.append(
            parameter.name
            if default is parameter.empty
            else f"{parameter.name}={default!r}"
            if plain
            else f"{parameter.name}=..."
        )
    return f"({', '.join(texts + ['...'] * (len(parameters) > SHOWN))})"


if __name__ == "__main__":
    print("\n".join(entry(*where) for where in public_names()))  # noqa: T201
