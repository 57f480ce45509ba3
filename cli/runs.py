"""Runs on the command line: where they lie, testing them, what is said of them."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import InputError
from reid_data.files import printable

from .errors import EXIT_FAILED_ITEMS
from .terminal import Progress, say, seen_through, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.runs.result import RunResult

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that holds the runs.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]", help="Where to compute."
)


def run_folder(run: str, runs: Path) -> Path:
    """The folder that RUN means: a path with a slash, or of a file in a run, else a name below `runs`.

    InputError lists the runs there are.
    """
    from reid_train.runs.folder import run_of

    folder = run_of(run if "/" in run or Path(run).is_file() else runs / run)
    if folder.is_file():
        raise InputError(
            f"'{printable(folder)}' is a file that lies in no run. Expected a run's folder or its model.safetensors. "
            "A training can start from weights of another program (reid-train fit --weights FILE), and features of another program "
            "can be judged (reid-train evaluate --features FILE)."
        )
    if not folder.is_dir():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        raise InputError(f"there is no run '{folder}'. Below '{runs}': {', '.join(there) or 'none'}.")
    return folder


def model_file(run: str | None) -> Path | None:
    """The model file that RUN means, if it is one that lies in no run or was exported from one."""
    from reid_train.trained import is_of_a_run

    path = Path(run or "")
    return path if path.suffix in (".onnx", ".safetensors") and path.is_file() and not is_of_a_run(path) else None


@contextmanager
def epoch_lines() -> Iterator[None]:
    """Show the training's log lines on stderr while the block runs."""
    logger = logging.getLogger("reid_train")
    handler = logging.Handler()
    handler.emit = lambda record: say(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def run_tests(
    result: "RunResult",
    folder: Path,
    tests: "list[ReidDataset]",
    device: str,
    workers: int | None,
    changes: dict[str, Any],
) -> "RunResult":
    """Test the run on each set, with progress; `changes`: test settings that replace the run's own."""
    from reid_train.testing import test as run_test

    for dataset in tests:
        with epoch_lines(), Progress(f"testing on {dataset.name}") as progress:
            result = run_test(folder, dataset, device=device, workers=workers, progress=progress, changes=changes)
    return result


def finish(result: "RunResult", folder: Path, tested: list[str], as_json: bool) -> int:
    """Print the result; exit code 1 if images were left out."""
    from dataclasses import asdict

    if as_json:
        show(json.dumps({"folder": str(folder), **asdict(result)}, indent=2, sort_keys=True))
    else:
        last = result.training
        of_whom = f"of {result.num_classes} identities, " if result.kind == "fit" else ""
        units = "epochs" if result.kind == "fit" else "rounds"
        show(f"{folder}: {result.num_images} images {of_whom}{last['epoch']:.0f} {units}, loss {last['loss']:.3f}")
        for name in tested:
            show(f"  on {name}: {metrics_line(result.metrics[name])}")
    rows = [row for name in tested for row in result.tests[name]["unreadable"]]
    return tell_unreadable([*result.unreadable, *rows])


def tell_unreadable(rows: list[dict[str, str]]) -> int:
    """Say that images were left out; the exit code."""
    if not rows:
        return 0
    glass = seen_through(row["reason"] for row in rows)
    say(
        f"{len(rows)} images could not be read and were left out{glass}; the first: {printable(rows[0]['name'])} {rows[0]['reason']}"
    )
    return EXIT_FAILED_ITEMS


def metrics_line(metrics: dict[str, float]) -> str:
    """`mAP 83.5, rank-1 93.1, ...` in percent."""
    ranks = sorted(
        (name for name in metrics if name.startswith("rank-")), key=lambda name: int(name.removeprefix("rank-"))
    )
    shown = [name for name in ("mAP", "mINP", *ranks) if name in metrics]
    return ", ".join(f"{name} {100 * metrics[name]:.1f}" for name in shown)
