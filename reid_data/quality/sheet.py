"""Contact sheets: rows of pictures to look at."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid_data.errors import ImageError, InputError, ReidError
from reid_data.files import printable
from reid_data.images import read_image, read_record
from reid_data.manifest import Row, read_manifest
from reid_data.plates.crops import PlateSettings, make_plate
from reid_data.plates.files import fit_plate, read_plate
from reid_data.plates.load import is_plate_set
from reid_data.quality.score import reasons, score, worst_median_best
from reid_data.records import Record, ReidDataset
from reid_data.segment import build_segmenter
from reid_data.segment.base import KeptMasks, Segmenter
from reid_data.segment.cache import MaskCache, Masked, Unusable
from reid_data.sheets import Strip, draw_sheet

TITLES = ("source", "mask", "plate", "composite")
CELL = (192, 96)


def contact_sheet(strips: Sequence[Strip], titles: Sequence[str] = TITLES, columns: int = 3) -> np.ndarray:
    """`strips` in `columns` beside each other, titles on top, captions below: (H, W, 3) uint8 RGB."""
    return draw_sheet(strips, CELL, titles=titles, columns=columns)


def same_segmenter(settings: Row) -> Segmenter:
    """The segmenter that a manifest's settings name, if it can be built as it was; else `KeptMasks`."""
    try:
        segmenter = build_segmenter(settings["segmenter"])
        if not segmenter.cached or segmenter.digest() == settings["segmenter_digest"]:
            return segmenter
    except ReidError as error:
        logging.getLogger(__name__).info("segmenter %s: %s", settings["segmenter"], error)
    return KeptMasks(settings["segmenter"], settings["segmenter_digest"])


def composite_strips(root: Path, fg: ReidDataset, bg: ReidDataset, num: int, *, sort: str = "") -> list[Strip]:
    """Source, mask, plate and composite of `num` images spread evenly over a composite set; with `sort` = `quality` the worst,
    the middle and the best by `quality.score`, with what is outside its aim.

    Masks come from the cache or are made again (see `same_segmenter`); plates are made again. Raises InputError if the
    set has no manifest or no images.
    """
    manifest = read_manifest(root)
    if manifest is None:
        raise InputError(f"'{printable(root)}' has no manifest.jsonl: it is no set made by 'reid-data composite'.")
    rows = [row for row in manifest.of_kind("image") if row["sha256"]]
    if not rows:
        raise InputError(f"'{printable(root)}' holds no finished images yet. Run the 'composite' command to its end.")
    if sort == "quality":
        shown = [(row, f"{name} {score(row):.2f}: {reasons(row)}") for name, row in worst_median_best(rows, num)]
    else:
        chosen = sorted({round(index) for index in np.linspace(0, len(rows) - 1, min(num, len(rows)))})
        shown = [(rows[index], f"q {rows[index]['mask_quality']:.2f} {rows[index]['status']}") for index in chosen]
    settings = manifest.header["settings"]
    plates = PlateSettings(**{key[6:]: value for key, value in settings.items() if key.startswith("plate_")})
    cache = MaskCache(same_segmenter(settings))
    people, scenes = ({record.name: record for record in dataset.records} for dataset in (fg, bg))
    kept = is_plate_set(bg)
    return [_strip(root, row, text, people, scenes, cache, None if kept else plates) for row, text in shown]


def _strip(
    root: Path,
    row: Row,
    caption: str,
    people: dict[str, Record],
    scenes: dict[str, Record],
    cache: MaskCache,
    plates: PlateSettings | None,
) -> Strip:
    """One image's strip; `plates`: how plates are made again, None where the backgrounds are plates."""
    caption = f"{Path(row['name']).stem[:22]} {caption}"
    try:
        composite = read_image(str(root / row["name"]))
        source, scene = read_record(people[row["source"]]), scenes[row["background"]]
    except (ImageError, KeyError):
        return Strip((None,) * 4, f"{caption}: a source is missing")
    person = cache.masked([people[row["source"]]])[0]
    try:
        plate = read_plate(scene.path)[0] if plates is None else _made(cache.masked([scene])[0], plates)
    except ImageError as error:
        return Strip((source, None, None, composite), f"{caption}: {error}")
    if isinstance(person, Unusable):
        return Strip((source, None, None, composite), f"{caption}: {person.reason}")
    mask = np.repeat(np.rint(person.alpha * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return Strip((source, mask, fit_plate(plate, (source.shape[0], source.shape[1])), composite), caption)


def _made(scene: Masked | Unusable, plates: PlateSettings) -> np.ndarray:
    """A crop's plate, made again."""
    if isinstance(scene, Unusable):
        raise ImageError(scene.reason)
    return make_plate(scene, plates)[0]
