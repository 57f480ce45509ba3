"""Runs and pages that hold a person who is removed from a set: found, and cleaned."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reid_data.claims import only_writer
from reid_data.errors import InputError
from reid_data.files import write_atomic
from reid_train.adaptation.diagnostics import DIAGNOSTICS_FILE
from reid_train.adaptation.labels import LABELS_FILE
from reid_train.evaluation.per_query import PER_QUERY_FILE
from reid_train.evaluation.showcase import SHOWCASE_FILE
from reid_train.features.files import read_npz
from reid_train.report.html import REPORT_FILE
from reid_train.report.pictures import SHEETS_FOLDER
from reid_train.runs.folder import SETTINGS_FILE, read_log
from reid_train.runs.matrix_document import RESULTS_FILE, read_results
from reid_train.testing import MASKS_FILE

Names = Mapping[str, Mapping[str, str]]
"""Of sets by their name: the person's images, each with its split."""

FEATURES = ("features.safetensors", "features.json", "features.npz")
LISTS = (PER_QUERY_FILE, SHOWCASE_FILE, MASKS_FILE)
STALE = """<!doctype html>
<meta charset="utf-8">
<title>Stale</title>
<p>This page is stale: a person whose pictures could be on it was removed on request. Make it anew: reid-train report DIR.</p>
"""


@dataclass(frozen=True)
class Trace:
    """A folder that holds a person: why, what to do, and its files that hold them, of which `stale` is a page."""

    path: Path
    why: str
    remedy: str
    files: tuple[Path, ...] = ()
    stale: Path | None = None


def find_traces(runs: Path, names: Names) -> list[Trace]:
    """What holds the person in the runs and matrices below `runs`, whose images are called `names`; sorted by path."""
    found: list[Trace] = []
    for parent, folders, files in os.walk(runs):
        folders.sort()
        if SETTINGS_FILE in files:
            found += _in_run(Path(parent), names)
        if RESULTS_FILE in files:
            found += _in_matrix(Path(parent), names)
    return found


def _in_run(run: Path, names: Names) -> Iterator[Trace]:
    try:
        rows = read_log(run)
        trained = [name for row in rows[:1] for name in row.get("train_sets", ()) if "train" in _splits(name, names)]
    except InputError as error:
        yield Trace(run, f"what it was trained on is not known: {error}", "look into it by hand")
        trained = []
    if trained:
        yield Trace(
            run,
            f"trained on pictures of the person, of {', '.join(trained)}",
            "train anew under another --name, and remove this folder",
        )
    everybody = {name for theirs in names.values() for name in theirs}
    labels = [run / name for name in (LABELS_FILE, DIAGNOSTICS_FILE) if (run / name).is_file()]
    if any(_mentions(path, everybody) for path in labels):
        yield Trace(run, "clusters of an adaptation", "remove these files, or the folder", tuple(labels))
    for folder in sorted((run / "tests").glob("*")):
        theirs = {name for one in _called(folder.name) for name in names.get(one, ())}
        there = [folder / name for name in (*FEATURES, *LISTS) if (folder / name).is_file()]
        if any(_mentions(path, theirs) for path in there):
            yield Trace(
                run,
                f"features and ranked lists of the person, in {folder.relative_to(run)}",
                "remove these files; testing again makes them without the person",
                tuple(there),
            )


def _in_matrix(folder: Path, names: Names) -> Iterator[Trace]:
    """The page and its contact sheets, where the matrix has to do with a set of the person's."""
    page, sheets = folder / REPORT_FILE, sorted((folder / SHEETS_FOLDER).glob("*.jpg"))
    try:
        shown = [name for name in read_results(folder)["digests"] if _splits(name, names)]
    except (InputError, KeyError, TypeError):
        shown = ["sets that its damaged results no longer tell"]
    if shown and (sheets or (page.is_file() and page.read_text(errors="replace") != STALE)):
        yield Trace(
            folder,
            f"a page or contact sheets with pictures of {', '.join(shown)}",
            f"remove these files, then: reid-train report {folder}",
            tuple(sheets),
            page if page.is_file() else None,
        )


def _called(name: str) -> tuple[str, ...]:
    """The set behind a name that may be that of a view of it, or of a part."""
    base = name.partition("@")[0]
    return base, base.rpartition(":")[0]


def _splits(name: str, names: Names) -> set[str]:
    """The splits of a set in which the person is."""
    return {split for one in _called(name) for split in names.get(one, {}).values()}


def _mentions(path: Path, names: set[str]) -> bool:
    """Whether a file of a run names one of these images; a damaged one may."""
    if path.suffix == ".npz":
        try:
            arrays = read_npz(path)
        except InputError:
            return True
        return any(array.dtype.kind == "U" and bool(names & set(array.ravel().tolist())) for array in arrays.values())
    if path.suffix not in (".json", ".jsonl"):
        return False
    text = path.read_text(encoding="ascii", errors="replace")
    return any(json.dumps(name) in text for name in names)


def clean(trace: Trace) -> None:
    """Remove the files of a trace and mark its page stale; a model that learnt from the person is left to its owner."""
    if not trace.files and trace.stale is None:
        return
    with only_writer(trace.path):
        for path in trace.files:
            path.unlink(missing_ok=True)
        if trace.stale is not None:
            write_atomic(trace.stale, STALE.encode())
