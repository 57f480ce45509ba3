"""Write what steps give now into the table, on purpose.

    python -m tests.golden.renew             every step whose version was raised
    python -m tests.golden.renew --new STEP  a step that the table does not have yet

A step whose output changed while its version did not is refused: raise its number in VERSIONS of its module first. Then a
set that was begun with the old look cannot be continued with the new one. `--gone` drops steps that no module has.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.golden.digest import describe, same
from tests.golden.table import STEPS, read_table, versions_in_packages, write_table


def renew(new: Sequence[str] = (), *, gone: bool = False) -> list[str]:
    """Renew the table; the steps that were written. Raises SystemExit, and writes nothing, where one may not be."""
    table, versions, written = read_table(), versions_in_packages(), []
    if gone:
        table = {step: entry for step, entry in table.items() if step in versions}
    for step, (version, file) in versions.items():
        kept = table.get(step)
        if kept is None and step not in new:
            raise SystemExit(f"{step} ({file}) is not in the table. If it is a new step: --new {step}")
        if kept is not None and version < kept["version"]:
            raise SystemExit(f"{step}: {file} says version {version}, the table {kept['version']}. Versions only rise.")
        with tempfile.TemporaryDirectory() as folder:
            os.environ["REID_CACHE"] = folder
            found = describe(STEPS[step](Path(folder, "pictures")))
        if kept is None or version > kept["version"]:
            table[step] = {"version": version, **found}
            written.append(step)
        elif not same(kept, found):
            raise SystemExit(f"{step} changed but its version did not. Raise it in VERSIONS of {file}, then renew.")
    write_table(table)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", action="append", default=[], metavar="STEP")
    parser.add_argument("--gone", action="store_true")
    given = parser.parse_args()
    sys.stdout.write("renewed: " + (", ".join(renew(given.new, gone=given.gone)) or "nothing") + "\n")
