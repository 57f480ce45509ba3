"""Rows in blocks, so that nothing of the size of all pairs is ever held."""

from collections.abc import Iterator


def spans(total: int, step: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive pieces of `step` that cover `total`."""
    for start in range(0, total, step):
        yield start, min(start + step, total)
