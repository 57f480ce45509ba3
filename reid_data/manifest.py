"""`manifest.jsonl`: one header with the settings, then one row per item; the memory of an interrupted run."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import AnyPath, failpoint, printable, write_atomic
from reid_data.records import SPLITS
from reid_data.shapes import file_name, parse_json, require

MANIFEST_FILE = "manifest.jsonl"
MASK_TABLE = "masks.jsonl"
"""What `reid-data segment` writes beside its masks; a folder that has one is no data set."""

SCHEMA = "reid-manifest/1"

Row = dict[str, Any]

_OF_PERSON = {
    **{
        "source?": str,
        "source_sha256?": str | None,
        "side?": frozenset({"train", "test"}),
        "status?": str,
        "reason?": str,
    },
    **{"mask_quality?": float | None, "person_share?": float | None},
}
_SHAPES = {
    "header": {
        **{"schema": frozenset({SCHEMA}), "command": str, "settings": dict, "settings_schema?": int},
        **{"sources?": dict, "source?": dict, "removals?": [{"images": int}]},
    },
    "plate": {"pid?": int, "camid?": int, **_OF_PERSON},
    "image": {
        **{"name": file_name, "split": frozenset(SPLITS), "pid": int, "camid": int, **_OF_PERSON},
        **{"sha256?": str | None, "person?": bool | None, "background?": str | None, "background_sha256?": str | None},
        **{
            f"{judge}?": float | None
            for judge in ("mask_area", "looseness", "uncovered", "seam_ratio", "old_background")
        },
    },
}
"""What readers rely on in the rows of each kind."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest file holds: `header`, `rows` in written order, and the byte length up to the end of each row.

    `ends[0]` is the end of the header, `ends[n]` that of the n-th row. A torn last line is left out.
    """

    header: Row
    rows: list[Row]
    ends: list[int]

    def of_kind(self, kind: str) -> list[Row]:
        """The rows whose `row` is `kind`."""
        return [row for row in self.rows if row["row"] == kind]


@dataclass(frozen=True)
class Form:
    """How the settings of one command are compared and digested.

    A setting at its default counts like one that is not named, so that a new setting leaves every earlier set as it is.
    `schema` is raised whenever a default changes, or what a setting means; sets of another schema cannot be compared.
    """

    command: str
    schema: int
    defaults: Row

    def key(self, settings: Row) -> Row:
        """What is digested: the settings that are not at their defaults, and the schema."""
        return {"schema": self.schema} | {
            name: value for name, value in settings.items() if name not in self.defaults or value != self.defaults[name]
        }

    def differences(self, old: Row, new: Row) -> list[str]:
        """Settings that differ, one line each, as `differences`."""
        return differences(self.defaults | old, self.defaults | new)


def raised(versions: Mapping[str, int]) -> Row:
    """The versions of steps as they enter settings: {"versions": {step: version}} of those above 1; {} if there are none."""
    above = {step: version for step, version in sorted(versions.items()) if version != 1}
    return {"versions": above} if above else {}


def make_header(form: Form, settings: Row, **extra: Any) -> Row:
    """The first row: which command wrote the set, with which settings."""
    names = {"command": form.command, "settings_schema": form.schema, "settings": settings}
    return {"row": "header", "schema": SCHEMA, **names, **extra}


def encode_row(row: Row) -> bytes:
    """One line of JSON: keys sorted, ASCII only."""
    return (json.dumps(row, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def read_manifest(root: AnyPath) -> Manifest | None:
    """The manifest below `root`; None if there is none. Raises InputError if its header is not ours, or a row is damaged."""
    path = Path(root) / MANIFEST_FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"'{printable(path)}' cannot be read: {error.strerror}.") from error
    rows: list[Row] = []
    ends: list[int] = []
    end = 0
    *lines, _ = data.split(b"\n")  # what follows the last end of a line was cut off
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_parse(line))
        except ValueError as error:
            raise InputError(_not_ours(path, number, error)) from error
        end += len(line) + 1
        ends.append(end)
    if not rows or rows[0]["row"] != "header":
        raise InputError(_not_ours(path, 1, "it is no header"))
    return Manifest(rows[0], rows[1:], ends)


def _parse(line: bytes) -> Row:
    """A row, of its kind's shape; raises ValueError."""
    row: Row = parse_json(line)
    require(row, {"row": str})
    require(row, _SHAPES.get(row["row"], dict))
    return row


def _not_ours(path: Path, number: int, reason: object) -> str:
    if number == 1:
        return (
            f"'{printable(path)}' is no manifest of this tool: its first line should hold \"{SCHEMA}\" and the settings "
            f"({reason}). Restore it, or choose another folder."
        )
    return f"'{printable(path)}' is damaged: line {number}: {reason}. Restore it, or remove the folder and make the set again."


def differences(old: Row, new: Row) -> list[str]:
    """Settings that differ, one line each: `seed: 0 there, 1 now`; of `raised` versions: `blend: version 1 there, 2 now`."""
    there, now = old.get("versions", {}), new.get("versions", {})
    tables = isinstance(there, dict) and isinstance(now, dict)
    keys = sorted(key for key in {*old, *new} if not (key == "versions" and tables) and old.get(key) != new.get(key))
    lines = [f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} now" for key in keys]
    if not tables:
        return lines
    steps = sorted(step for step in {*there, *now} if there.get(step, 1) != now.get(step, 1))
    return lines + [f"{step}: version {there.get(step, 1)} there, {now.get(step, 1)} now" for step in steps]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def start_manifest(root: Path, header: Row, rows: Iterable[Row] = ()) -> None:
    """Write a manifest that holds `header` and the first `rows`, whole or not at all."""
    write_atomic(root / MANIFEST_FILE, b"".join([encode_row(header), *map(encode_row, rows)]))


class ManifestWriter:
    """Appends rows to a manifest that exists, after cutting it to its first `length` bytes. A context manager."""

    def __init__(self, root: Path, length: int) -> None:
        self.path = root / MANIFEST_FILE
        self.length = length

    def __enter__(self) -> "ManifestWriter":
        try:
            self.file = open(self.path, "r+b", buffering=0)
            self.file.truncate(self.length)
            self.file.seek(0, os.SEEK_END)
        except OSError as error:
            raise EnvironmentFault(f"cannot write '{printable(self.path)}': {error.strerror}.") from error
        return self

    def append(self, row: Row) -> None:
        """Add one row; call it after the row's files are in place."""
        failpoint()
        try:
            self.file.write(encode_row(row))
        except OSError as error:
            raise EnvironmentFault(f"cannot write '{printable(self.path)}': {error.strerror}. Free space.") from error
        failpoint()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
