"""`results.json`, the document of a matrix: its place and its names, written, read and checked. What it holds: matrix/document."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid_data.errors import InputError
from reid_data.files import printable, write_json

SCHEMA = "reid-matrix/1"
RESULTS_FILE = "results.json"
METRICS = ("mAP", "mINP", "rank-1", "rank-5", "rank-10")
"""The metrics that have an interval, and so a place in the document's summary."""
STUDY_METRICS = ("mAP", "rank-1", "rank-5", "rank-10")
"""Those of them that the reference study reports."""


def write_results(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the document of a grid, whose `schema` is SCHEMA, into its folder."""
    write_json(folder / RESULTS_FILE, document)


def read_results(folder: Path) -> dict[str, Any]:
    """The document that the matrix wrote into `folder`. Raises InputError if there is none or it is something else."""
    path = folder / RESULTS_FILE
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"'{printable(path)}' cannot be read: {error}. Run reid-train matrix first.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f'\'{printable(path)}\' is no matrix result (expected "schema": "{SCHEMA}").')
    if "summary" not in document:
        raise InputError(
            f"'{printable(path)}' was written by an earlier version. Make it anew: reid-train matrix --collect."
        )
    document["tests"] = {name: document["tests"][name] for name in column_names(document)}
    return document


def column_names(document: Mapping[str, Any]) -> list[str]:
    """The test sets as typed, in the order in which they were asked for."""
    return list(dict.fromkeys(cell["test"] for cell in document["cells"]))


def split_union(train: str) -> list[str]:
    """The parts of a row's training sets, `market+composite:0.3`, as typed; `\\+` is a plus in a name."""
    return [part.replace("\\+", "+") for part in re.split(r"(?<!\\)\+", train)]


def row_name(entry: Mapping[str, Any]) -> str:
    """A row of the matrix by an entry's `train` and `axes`: the training sets and the varied settings; seeds are averaged over."""
    return ", ".join([entry["train"], *(f"{name}={value}" for name, value in entry["axes"].items())])
