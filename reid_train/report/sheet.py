"""A table of numbers as the report shows it and as CSV and JSON hold it: one truth for all three."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sheet:
    """`name` is the file's, without ending; `rows` hold raw values (shares in [0, 1] stay shares), None where there is none."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def as_csv(self) -> str:
        """A heading and a line per row; texts that a spreadsheet would run as a formula get a quote in front."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([harmless(column) for column in self.columns])
        lines.writerows([[harmless(value) for value in _plain(row)] for row in self.rows])
        return text.getvalue()

    def as_records(self) -> list[dict[str, Any]]:
        """A dictionary per row, for JSON: NaN and infinity as null."""
        return [dict(zip(self.columns, _plain(row))) for row in self.rows]


def make_sheet(name: str, title: str, records: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> Sheet:
    """A sheet from dictionaries; `columns` default to the keys in the order of their first appearance."""
    found = tuple(columns) or tuple(dict.fromkeys(key for record in records for key in record))
    return Sheet(name, title, found, tuple(tuple(record.get(column) for column in found) for record in records))


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _plain(row: Sequence[Any]) -> list[Any]:
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in row]
