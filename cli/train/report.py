"""`reid-train report`: the page of a matrix, or its tables as text, Markdown or LaTeX."""

from pathlib import Path

import click

from reid_data.errors import UsageError

from ..options import data_root_option
from ..report_page import make_page
from ..terminal import show

FORMATS = ("html", "table", "md", "latex", "csv")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="html", show_default=True,
    help="html writes a page; the others print the tables.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Page to write.  [default: DIR/report.html]")
@click.option("--no-thumbs", is_flag=True, help="Leave out every picture of people.")
@data_root_option
def report(folder: Path, kind: str, out: Path | None, no_thumbs: bool, data_root: Path) -> None:
    """Make one self-contained page of a finished matrix; DIR is its folder, `runs/matrix` by default.

    The page needs no network. Every number in it is also in report.json and numbers/*.csv beside it. Pictures come from
    the sets below --data-root.

    \b
    Example:
      reid-train report runs/matrix
      reid-train report runs/matrix --no-thumbs --out to-share.html
      reid-train report runs/matrix --format latex > table.tex
    """

    if kind == "html":
        show(str(make_page(folder, data_root, thumbs=not no_thumbs, out=out)))
        return
    if out is not None:
        raise UsageError(f"--out goes with --format html; send the output elsewhere: --format {kind} > FILE.")
    show(_tables(folder, kind), nl=kind != "csv")


def _tables(folder: Path, kind: str) -> str:
    from reid_train.matrix.tables import FORMATS, all_tables, as_csv
    from reid_train.runs.matrix_document import read_results

    document = read_results(folder)
    return as_csv(document) if kind == "csv" else "\n\n".join(map(FORMATS[kind], all_tables(document)))
