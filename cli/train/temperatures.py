"""`reid-train temperatures`: the effective temperature of each epoch of a run."""

from pathlib import Path

import click

from ..runs import run_folder, runs_option
from ..terminal import show


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.csv", help="Write to a file instead of stdout.")
@runs_option
def temperatures(run: str, out: Path | None, runs: Path) -> None:
    """Print the effective temperature (T over the median class-weight norm) of each epoch of a run, as CSV.

    The file can be replayed in another training: --temperature-schedule file:FILE.csv

    \b
    Example:
      reid-train temperatures base --out base.csv
      reid-train fit --train market --classifier-norm project --temperature-schedule file:base.csv --name replay
    """
    from reid_data.files import write_atomic
    from reid_train.runs.folder import effective_temperatures

    text = effective_temperatures(run_folder(run, runs))
    if out is None:
        show(text, nl=False)
    else:
        write_atomic(out, text.encode("ascii"))
