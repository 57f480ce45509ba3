"""`reid-data preview`: a contact sheet of a composite."""

from pathlib import Path

import click

from ..options import data_root_option
from ..sets import output_path
from ..terminal import show


@click.command()
@click.argument("name")
@click.option("--num", type=click.IntRange(min=1), default=24, show_default=True, help="Images shown.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Picture to write.  [default: NAME-preview.jpg beside the set]"
)
@click.option(
    "--sort",
    type=click.Choice(["even", "quality"]),
    default="even",
    show_default=True,
    help="Spread over the set, or the worst, the middle and the best by the judges, with reasons.",
)
@data_root_option
def preview(name: str, num: int, out: Path | None, sort: str, data_root: Path) -> None:
    """A contact sheet of a composite: source, mask, plate, picture. Prints where it lies.

    \b
    Example:
      reid-data preview composite --num 48
      reid-data preview composite --sort quality
    """
    from reid_data.compose.settings import load_source
    from reid_data.errors import InputError
    from reid_data.images import write_image
    from reid_data.manifest import read_manifest
    from reid_data.quality.sheet import composite_strips, contact_sheet

    root = output_path(name, data_root)
    manifest = read_manifest(root)
    if manifest is None or manifest.header["command"] != "composite":
        raise InputError(
            f"'{root}' is no set made by 'reid-data composite'. Give the name of one below --data-root, or its path."
        )
    sources = manifest.header["sources"]
    people, scenes = (load_source(root, sources[role], data_root) for role in ("foreground", "background"))
    strips = composite_strips(root, people, scenes, num, sort=sort)
    target = out or root.parent / f"{root.name}-preview{'-quality' * (sort == 'quality')}.jpg"
    write_image(target, contact_sheet(strips))
    show(str(target))
