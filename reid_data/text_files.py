"""Text that people bring: tables and settings as editors and spreadsheets save them, on any system."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from reid_data.errors import InputError
from reid_data.files import printable

DELIMITERS = (",", ";", "\t")
MAX_BYTES = 1 << 30

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path, other_bytes: Literal["surrogateescape", "strict"] = "surrogateescape") -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Other bytes, as names in older encodings have them, come as surrogates or, with `strict`, are an error.

    Raises InputError if the file cannot be read, is broken UTF-16, or holds zero bytes (no text, or UTF-16 without a mark).
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"'{printable(path)}' has over {MAX_BYTES:,} bytes; expected a text file.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{printable(path)}' cannot be read: {error.strerror}.") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding, errors="strict" if encoding == "utf-16" else other_bytes)
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{printable(path)}' is broken {encoding} at byte {error.start}; save it as UTF-8."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"'{printable(path)}' line {line} holds a zero byte; expected text in UTF-8, or UTF-16 with a byte order mark."
        )
    return text


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table as (line number, column -> value without spaces around it), with at least `columns` in each.

    The first line names the columns, in any order, capitals or not. Commas, semicolons or tabs lie between the values:
    the one that finds all columns in the first line. Empty lines are passed over; more columns are allowed. Raises InputError,
    with the line and the column, for a missing column, one named twice, and a row with too few or too many values.
    """
    text = read_text(path)
    first = next((line for line in re.split(r"[\r\n]", text) if line.strip()), "")
    found = {
        mark: [name.strip().lower() for name in next(csv.reader([first], delimiter=mark), [])] for mark in DELIMITERS
    }
    mark = max(DELIMITERS, key=lambda mark: len({*columns} & {*found[mark]}))
    missing = [column for column in columns if column not in found[mark]]
    if missing:
        raise InputError(
            f"'{printable(path)}' line 1 lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: expected "
            f"{','.join(columns)}, with commas, semicolons or tabs between; got '{printable(first.strip()[:120])}'."
        )
    twice = [column for column in columns if found[mark].count(column) > 1]
    if twice:
        raise InputError(f"'{printable(path)}' line 1 has the column {twice[0]} twice.")
    return _rows(path, text, mark)


def _rows(path: Path, text: str, mark: str) -> list[tuple[int, dict[str, str]]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    rows: list[tuple[int, dict[str, str]]] = []
    names: list[str] = []
    try:
        for values in lines:
            if not any(value.strip() for value in values):
                continue
            if not names:
                names = [value.strip().lower() for value in values]
                continue
            if len(values) != len(names):
                raise InputError(
                    f"'{printable(path)}' line {lines.line_num} has {len(values)} values, expected {len(names)} "
                    f"({printable(','.join(names))}). A value that holds a '{mark}' must stand in double quotes."
                )
            rows.append((lines.line_num, dict(zip(names, (value.strip() for value in values)))))
    except csv.Error as error:
        raise InputError(f"'{printable(path)}' line {lines.line_num} cannot be read as a table: {error}.") from error
    return rows
