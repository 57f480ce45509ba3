"""The page of a matrix, and the contact sheets in it: composites, and what the diagnostics show of a set."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say

if TYPE_CHECKING:
    import numpy as np

NUM_STRIPS = 18
CELL = (256, 128)


def write_sheets(document: Mapping[str, Any], folder: Path, data_root: Path) -> None:
    """`sheets/*.jpg` below `folder`, those that are not there yet; one that cannot be drawn is said and left out."""
    from reid_data.errors import ReidError
    from reid_data.files import make_folder, printable, refuse_link
    from reid_data.images import write_image

    for target, draw in _sheets(document, folder, data_root).items():
        if target.exists():
            continue
        refuse_link(target.parent)
        try:
            sheet = draw()
            if sheet is not None:
                write_image(make_folder(target.parent) / target.name, sheet, 90)
        except ReidError as error:
            say(f"No contact sheet {printable(target.name)}: {error}")


def _sheets(
    document: Mapping[str, Any], folder: Path, data_root: Path
) -> "dict[Path, Callable[[], np.ndarray | None]]":
    """Each sheet by its file, and how to draw it."""
    from reid_train.report.composites import composite_cards
    from reid_train.report.pictures import sheet_path
    from reid_train.report.reliance import view_columns

    sheets: dict[Path, Callable[[], np.ndarray | None]] = {}
    for name, (typed, _) in composite_cards(document).items():
        sheets[sheet_path(folder, document, name, (typed, name))] = partial(_composite, typed, data_root)
    for base, columns in view_columns(document).items():
        path = sheet_path(folder, document, f"views of {base}", (base, *columns))
        sheets[path] = partial(_views, base, columns, data_root)
    return sheets


def _composite(typed: str, data_root: Path) -> "np.ndarray | None":
    """Source, mask, plate and composite of some images of a composite set; None if it is not there or not ours."""
    from reid_data.compose.settings import load_source
    from reid_data.manifest import read_manifest
    from reid_data.quality.sheet import composite_strips, contact_sheet
    from reid_train.report.pictures import image_folder

    root = image_folder(typed, data_root)
    manifest = None if root is None else read_manifest(root)
    if root is None or manifest is None or manifest.header["command"] != "composite":
        return None
    sources = manifest.header["sources"]
    people, scenes = (load_source(root, sources[role], data_root) for role in ("foreground", "background"))
    return contact_sheet(composite_strips(root, people, scenes, NUM_STRIPS))


def _views(base: str, columns: list[str], data_root: Path) -> "np.ndarray | None":
    """Some queries as they are and in each view, from the masks that the tests kept; None if the set has no query."""
    import numpy as np

    from reid_data.compose.views import load_test_set, prepare_view
    from reid_data.quality.sheet import contact_sheet
    from reid_data.sheets import Strip

    query = load_test_set(base, data_root).query
    chosen = sorted({round(index) for index in np.linspace(0, len(query) - 1, min(NUM_STRIPS, len(query)))})
    records = [query[index] for index in chosen]
    shown = []
    for column in (base, *columns):
        images = prepare_view(load_test_set(column, data_root), workers=1).images(records, CELL, 1)
        shown.append([None if isinstance(image, str) else image for image in images])
    strips = [Strip(tuple(pictures), record.stem[:30]) for record, *pictures in zip(records, *shown)]
    titles = ["as it is", *(column.rpartition("@")[2][:16] for column in columns)]
    return contact_sheet(strips, titles, columns=3) if strips else None


def make_page(folder: Path, data_root: Path, *, thumbs: bool = True, out: Path | None = None) -> Path:
    """Draw contact sheets that are missing, then write the page and its numbers; where the page lies."""
    from reid_train.report.html import write_report
    from reid_train.runs.matrix_document import read_results

    if thumbs:
        write_sheets(read_results(folder), folder, data_root)
    return write_report(folder, data_root=data_root, thumbs=thumbs, out=out)
