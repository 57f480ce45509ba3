"""`docs/errors.md`: every message that a command can end with, out of the code.

`python -m tests.house.errors_page > docs/errors.md` writes it anew.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from reid_cli import errors as ends
from reid_cli.streams import EXIT_READER_GONE

from reid_data import errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("reid_data", "reid_train", "cli")
KINDS = {kind.__name__: kind for kind in (errors.UsageError, errors.InputError, errors.EnvironmentFault)}
HEAD = """\
# Error messages

Every message that a command can end with, by the room of the code that raises it. A message says what was wrong, what was expected and
what came, and what to do; `{...}` stands for what differs from case to case. It goes to stderr; with `--json` also, as
`{"error": {"kind", "message", "exit_code"}}`, to stdout.

This page is written by `python -m tests.house.errors_page > docs/errors.md`, and a test compares it with the code.

## Exit codes
"""
PICTURES = """
## Of one picture

A picture that cannot be used never ends a command: it is one row of the result, with one of these reasons behind its name, and the
command ends with 1.
"""


def exit_codes() -> list[tuple[int, str]]:
    """What each exit code means."""
    first = {name: (kind.__doc__ or "").split(" (exit code")[0] for name, kind in KINDS.items()}
    return [
        (0, "all done"),
        (ends.EXIT_FAILED_ITEMS, "done, with items that failed; each is named with its reason"),
        *((kind.exit_code, f"`{name}`: {first[name][0].lower()}{first[name][1:]}") for name, kind in KINDS.items()),
        (ends.EXIT_SIGNAL + 2, "Ctrl-C; what is finished is kept, and the same command goes on from there"),
        (EXIT_READER_GONE, "what reads the output has gone (`reid-data list \\| head -1`)"),
        (ends.EXIT_SIGNAL + 15, "SIGTERM; as after Ctrl-C"),
    ]


def messages() -> Iterator[tuple[str, str, str]]:
    """(room, kind of error, message with `{...}` for what differs) of every error that the code makes, in its order."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            room = ".".join(parts[:2] if len(parts) > 2 else parts)
            for kind, text in messages_of(path.read_text(encoding="utf-8")):
                yield room, kind, text


def messages_of(source: str) -> list[tuple[str, str]]:
    """(kind of error, message) of every error that a module makes."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    found = []
    for node in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        kind = node.func.id if isinstance(node.func, ast.Name) else ""
        if kind in (*KINDS, "ImageError"):
            found.append((kind, template(node.args[0])))
        elif kind == "unknown_name":
            found.append(("UsageError", f"unknown {template(node.args[0])} '{{name}}'. Choose one of: {{names}}."))
    return found


def template(node: ast.expr) -> str:
    """A message as the code has it: its text, and in braces the name of each value that is put in."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return "".join(map(template, parts))
        case ast.FormattedValue(value):
            return f"{{{value_name(value)}}}"
        case ast.BinOp(left, ast.Add(), right):
            return template(left) + template(right)
        case ast.IfExp(_, yes, no):
            return f"({template(yes)} | {template(no)})"
    return "{...}"


def value_name(node: ast.expr) -> str:
    """A word for a value: the name that it has in the code, if it has one."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Call(ast.Name("printable" | "str" | "sorted"), [inner, *_]):
            return value_name(inner)
        case ast.Call(ast.Name("len" | "sum")):
            return "number"
        case ast.Call(ast.Attribute(ast.Constant(str()), "join")):
            return "list"
    return "..."


def page() -> str:
    """The whole page."""
    found = list(dict.fromkeys(messages()))
    lines = [HEAD, "| code | meaning |", "|---|---|", *(f"| {code} | {what} |" for code, what in exit_codes())]
    room = ""
    for place, kind, text in found:
        if kind == "ImageError" or not text.strip("{.} |"):
            continue
        if place != room:
            room = place
            lines += ["", f"## `{room}`", ""]
        lines.append(f"- {KINDS[kind].exit_code}: {in_code(text)}")
    pictures = dict.fromkeys(text for _, kind, text in found if kind == "ImageError" and text.strip("{.} |"))
    return "\n".join([*lines, PICTURES, *(f"- {in_code(text)}" for text in pictures)]) + "\n"


def in_code(text: str) -> str:
    """A message as code in Markdown, on one line."""
    line = text.replace("\n", " ").strip()
    return f"`` {line} ``" if "`" in line else f"`{line}`"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
