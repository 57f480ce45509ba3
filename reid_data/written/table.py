"""Files with one table beside them, `masks.jsonl`, which says what each of them is worth."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from reid_data.errors import EnvironmentFault
from reid_data.files import TEMPORARY_PREFIX, make_folder, printable, sweep_temporary, write_atomic
from reid_data.manifest import MASK_TABLE, Row
from reid_data.shapes import file_name, parse_json, require
from reid_data.written.claim import Claim


class TableOutput(Claim):
    """Files that are made again by every call, in place of those of earlier calls; what a call does not make is removed.

    The table names all files from before the first is written, so that those of a killed call are known for ours; it is
    written once more at the end, with its rows. `header` is its first row, `differences(found, header)` names what must
    not differ from the header that is there.
    """

    def __init__(
        self, root: Path, header: Row, differences: Callable[[Row, Row], list[str]], *, num_bytes: int = 0
    ) -> None:
        super().__init__(root, num_bytes)
        self.header = header
        self.differences = differences
        self.files: set[str] = set()

    def look(self) -> Self:
        """Find the files of earlier calls. Raises EnvironmentFault for anything else in the folder."""
        self.files = _files_of_ours(self.root, self.header, self.differences)
        return self

    def begin(self, names: Iterable[str]) -> None:
        """Make the folder and name in its table the files that will be written."""
        make_folder(self.root)
        sweep_temporary(self.root)
        self.files |= set(names)
        self._write({"row": "planned", "file": name} for name in sorted(self.files, key=os.fsencode))

    def finish(self, rows: Sequence[Row]) -> None:
        """Remove the files that no row names, then write the table."""
        for name in self.files - {row["file"] for row in rows if "file" in row}:
            (self.root / name).unlink(missing_ok=True)
        self._write(rows)

    def _write(self, rows: Iterable[Row]) -> None:
        lines = (json.dumps(row, ensure_ascii=True) + "\n" for row in (self.header, *rows))
        write_atomic(self.root / MASK_TABLE, "".join(lines).encode("ascii"))


def _files_of_ours(root: Path, header: Row, differences: Callable[[Row, Row], list[str]]) -> set[str]:
    if not root.exists():
        return set()
    held = [name for name in os.listdir(root) if not name.startswith(TEMPORARY_PREFIX)] if root.is_dir() else ["."]
    if not held:
        return set()
    if MASK_TABLE not in held:
        raise EnvironmentFault(
            f"'{printable(root)}' is there already and holds no '{MASK_TABLE}' of this command; it is left alone. "
            "Choose another --out."
        )
    try:
        found, *rows = [parse_json(line) for line in (root / MASK_TABLE).read_bytes().splitlines()]
        require(found, {"row": frozenset({"header"}), "versions?": dict})
        require(rows, [{"file?": str}], "row")
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"'{printable(root / MASK_TABLE)}' is damaged: {error}. Remove '{printable(root)}', or choose another --out."
        ) from error
    different = differences(found, header)
    if different:
        raise EnvironmentFault(
            f"'{printable(root)}' holds masks made with other settings ({', '.join(different)}). Remove it, or choose another --out."
        )
    return {row["file"] for row in rows if "file" in row and _is_inside(row["file"])}


def _is_inside(name: str) -> bool:
    try:
        file_name(name)
    except ValueError:
        return False
    return True
