"""Tables on stdout: aligned text that a pipe can read, bold head on a terminal."""

from collections.abc import Sequence

import click


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """Print columns two blanks apart; the columns in `left` are left-aligned, the others right-aligned."""
    widths = [
        max(len(head[column]), *(len(row[column]) for row in rows)) if rows else len(head[column])
        for column in range(len(head))
    ]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        ]
        return "  ".join(parts).rstrip()

    click.secho(line(head), bold=True)
    for row in rows:
        click.echo(line(row))


def points(share: float, sign: str = "") -> str:
    """A share in percent with two decimals, `sign` as in a format; `-` for NaN."""
    return "-" if share != share else f"{100 * share:{sign}.2f}"
