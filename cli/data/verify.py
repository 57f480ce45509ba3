"""`reid-data verify`: a written set against its manifest."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, json_option, workers_option
from ..sets import output_path
from ..terminal import Progress, show

SHOWN = 20


@click.command()
@click.argument("name")
@data_root_option
@workers_option
@json_option
def verify(name: str, data_root: Path, workers: int | None, as_json: bool) -> int:
    """Compare every file of a written set with its manifest, by hash; lists missing, changed, extra files.

    Exit code 0: all is as it was written; 1: it is not.

    \b
    Example:
      reid-data verify composite
    """
    from reid_data.files import printable
    from reid_data.parallel import default_workers
    from reid_data.written.verify import verify_set

    root = output_path(name, data_root)
    with Progress(f"verify {root.name}") as progress:
        found = verify_set(root, default_workers() if workers is None else workers, progress)
    if as_json:
        show(json.dumps({"path": str(root), "good": found.good, **asdict(found)}, indent=2, ensure_ascii=True))
        return 0 if found.good else EXIT_FAILED_ITEMS
    show(f"{found.intact:,} files are as they were written.")
    for note in found.notes:
        show(note)
    for kind, names in (("missing", found.missing), ("changed", found.changed), ("extra", found.extra)):
        if names:
            show(f"{len(names):,} {kind}:")
        for one in names[:SHOWN]:
            show(f"  {printable(one)}")
        if len(names) > SHOWN:
            show("  ... (--json lists all)")
    return 0 if found.good else EXIT_FAILED_ITEMS
