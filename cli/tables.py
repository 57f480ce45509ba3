"""Tables on stdout: aligned text that a pipe can read; on a terminal drawn to its width."""

import sys
from collections.abc import Sequence
from typing import Literal

import click

from reid_data.errors import printable, printable_lines

from .terminal import coloured, console, drawn, show


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """Print columns two blanks apart; the columns in `left` are left-aligned, the others right-aligned.

    On a terminal left columns are wrapped where the table is too wide; one that is too wide without them becomes a block
    of lines for each row. Nothing is ever cut off.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if drawn(sys.stdout):
        _draw(head, rows, left)
        return
    widths = _widths(head, rows)
    click.secho(printable_lines(_line(head, widths, left)), bold=True, color=coloured(sys.stdout))
    for row in rows:
        show(_line(row, widths, left))


def points(share: float, sign: str = "") -> str:
    """A share as percent with two decimals, `-` for NaN; `sign` is "+" for differences."""
    return "-" if share != share else f"{100 * share:{sign}.2f}"


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(head, *rows)]


def _line(cells: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> str:
    parts = [
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths))
    ]
    return "  ".join(parts).rstrip()


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    """The table with a line below its head; or blocks, if even wrapped left columns leave the others no room."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console(sys.stdout)
    widths = _fitted(head, rows, left, screen.width - 3 * len(head) + 1)
    if widths is None:
        for row in rows:
            for title, cell in zip(head, row):
                screen.print(Text(f"{title}: {cell}" if title else cell), soft_wrap=True)
            screen.print()
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="bold", show_edge=False)
    for column, (title, width) in enumerate(zip(head, widths)):
        justify: Literal["right", "left"] = "left" if column in left else "right"
        table.add_column(Text(title), justify=justify, width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    screen.print(table)


def _fitted(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int], room: int) -> list[int] | None:
    """Widths that add up to at most `room`, left columns narrowed, but to no less than their longest word; else None."""
    widths = _widths(head, rows)
    words = [max(len(word) for cell in cells for word in cell.split() or [""]) for cells in zip(head, *rows)]
    spare = [width - words[column] if column in left else 0 for column, width in enumerate(widths)]
    while sum(widths) > room:
        widest = max(range(len(widths)), key=spare.__getitem__)
        if spare[widest] == 0:
            return None
        widths[widest] -= 1
        spare[widest] -= 1
    return widths
