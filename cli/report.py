"""`reid-train report`: the page of a matrix, or its tables as text, Markdown or LaTeX."""

import logging
from pathlib import Path
from typing import Any

import click

from .options import data_root_option, say

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
    from reid_data.errors import UsageError

    if kind == "html":
        click.echo(str(make_page(folder, data_root, thumbs=not no_thumbs, out=out)))
        return
    if out is not None:
        raise UsageError(f"--out goes with --format html; send the output elsewhere: --format {kind} > FILE.")
    click.echo(_tables(folder, kind), nl=kind != "csv")


def make_page(folder: Path, data_root: Path, *, thumbs: bool = True, out: Path | None = None) -> Path:
    """Draw contact sheets that are missing, then write the page and its numbers; where the page lies."""
    from reid_train.report.html import write_report
    from reid_train.report.summary import read_results

    if thumbs:
        write_contact_sheets(read_results(folder), folder, data_root)
    return write_report(folder, data_root=data_root, thumbs=thumbs, out=out)


def _tables(folder: Path, kind: str) -> str:
    from reid_train.matrix.tables import FORMATS, all_tables, as_csv
    from reid_train.report.summary import read_results

    document = read_results(folder)
    return as_csv(document) if kind == "csv" else "\n\n".join(map(FORMATS[kind], all_tables(document)))


def write_contact_sheets(document: dict[str, Any], folder: Path, data_root: Path, num: int = 18) -> None:
    """`sheets/NAME.jpg` below `folder` for every composite of the matrix that has none yet.

    A sheet that cannot be drawn (its sources are gone) is said and left out.
    """
    from reid_data.build_settings import load_source
    from reid_data.contact_sheet import composite_strips, contact_sheet
    from reid_data.errors import ReidError
    from reid_data.files import make_folder
    from reid_data.images import write_image
    from reid_data.manifest import read_manifest
    from reid_train.report.composites import SHEETS_FOLDER, composite_cards
    from reid_train.report.pictures import image_folder

    for name, (typed, _) in composite_cards(document).items():
        target = folder / SHEETS_FOLDER / f"{name}.jpg"
        root = image_folder(typed, data_root)
        if target.exists() or root is None:
            continue
        try:
            manifest = read_manifest(root)
            if manifest is None or manifest.header["command"] != "composite":
                continue
            sources = manifest.header["sources"]
            people, scenes = (load_source(root, sources[role], data_root) for role in ("foreground", "background"))
            sheet = contact_sheet(composite_strips(root, people, scenes, num))
            write_image(make_folder(target.parent) / target.name, sheet, 90)
        except ReidError as error:
            say(f"No contact sheet of {name}: {error}")
            logging.getLogger("reid_train").info("contact sheet of %s: %s", name, error)
