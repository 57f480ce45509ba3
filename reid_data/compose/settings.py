"""What decides a composite, and what a run of it will take: settings, fingerprint, image lists, estimates."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reid_data.compose.picture import PICTURE_VERSIONS, Steps
from reid_data.compose.recipe import VERSIONS as PLAN_VERSIONS
from reid_data.compose.recipe import PlanSettings
from reid_data.datasets import find_dataset, load_dataset
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import ReidError
from reid_data.files import refuse_links
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.jpeg import VERSIONS as JPEG_VERSIONS
from reid_data.jpeg import usual_quality
from reid_data.manifest import Form, Row, raised
from reid_data.plates.crops import PLATE_VERSIONS, PlateSettings
from reid_data.plates.files import VERSIONS as FIT_VERSIONS
from reid_data.plates.load import is_plate_set, plate_set_quality
from reid_data.plates.sides import SIDES
from reid_data.records import SPLITS, Record, ReidDataset, matte_row, read_colour
from reid_data.segment.base import Segmenter
from reid_data.written.output import Output

VERSIONS = {"sides": 1}  # limit_records, background_sides, num_plates
COMPOSITE_VERSIONS = {
    **PLATE_VERSIONS,
    **FIT_VERSIONS,
    **PICTURE_VERSIONS,
    **PLAN_VERSIONS,
    **JPEG_VERSIONS,
    **IMAGE_VERSIONS,
    **VERSIONS,
}

SPARE_PLATES = 1.3
MIN_PLATES = 16


@dataclass(frozen=True)
class CompositeSettings:
    """All that decides the result besides the two sets and the segmenter; `limit`: at most so many images of each split."""

    plan: PlanSettings = field(default_factory=PlanSettings)
    plates: PlateSettings = field(default_factory=PlateSettings)
    steps: Steps = field(default_factory=Steps)
    limit: int | None = None


def resolve_settings(settings: CompositeSettings, bg: ReidDataset) -> CompositeSettings:
    """The settings with what is left open filled in: the JPEG quality at which `bg`, or what its plates come from, was
    written."""
    if settings.steps.jpeg_quality:
        return settings
    quality = plate_set_quality(bg) if is_plate_set(bg) else usual_quality(bg.records)
    return replace(settings, steps=replace(settings.steps, jpeg_quality=quality))


def limit_records(dataset: ReidDataset, limit: int | None) -> list[Record]:
    """The first `limit` images of each split; in the gallery those of the queried identities come first."""
    if limit is None:
        return dataset.records
    query = dataset.query[:limit]
    asked = {record.pid for record in query}
    gallery = sorted(range(len(dataset.gallery)), key=lambda index: (dataset.gallery[index].pid not in asked, index))
    return [*dataset.train[:limit], *query, *(dataset.gallery[index] for index in sorted(gallery[:limit]))]


def describe_settings(
    fg: ReidDataset, bg: ReidDataset, foregrounds: Sequence[Record], segmenter: Segmenter, settings: CompositeSettings
) -> Row:
    """The run's fingerprint, flat and printable: two runs with equal fingerprints write equal bytes. To be compared, and
    digested, by `FORM`."""
    return {
        "foreground": fg.name,
        "foreground_digest": dataset_digest(fg),
        "background": bg.name,
        "background_digest": dataset_digest(bg),
        "segmenter": segmenter.name,
        "segmenter_digest": segmenter.digest(foregrounds),
        **flat(settings),
        **matte_row(fg, bg),
        **raised(COMPOSITE_VERSIONS),
    }


def flat(settings: CompositeSettings) -> Row:
    """The settings by name."""
    return {
        **asdict(settings.plan),
        **{f"plate_{key}": value for key, value in asdict(settings.plates).items()},
        **asdict(settings.steps),
        "limit": settings.limit,
    }


FORM = Form("composite", 2, flat(CompositeSettings()))


def estimate_bytes(records: Sequence[Record]) -> int:
    """About how much the images, masks, plates and the manifest of a run will take, from the size of the sources."""
    total = 0
    for record in records:
        try:
            total += 2 * os.stat(record.path).st_size
        except OSError:
            continue
    return total + 12_000 * len(records)


def num_plates(num_images: int, max_reuse: int) -> int:
    """Plates to make for so many images: some more than the reuse cap asks for, so that there is a choice to the end."""
    return max(MIN_PLATES, round(SPARE_PLATES * num_images / max_reuse))


def describe_sources(out: Path, fg: ReidDataset, bg: ReidDataset) -> Row:
    """Where the two sets are, seen from the output, so that both may move together."""
    return {
        role: {"name": dataset.name, "path": os.path.relpath(dataset.root, out), **matte_row(dataset)}
        for role, dataset in (("foreground", fg), ("background", bg))
    }


def load_source(out: Path, source: Row, data_root: Path) -> ReidDataset:
    """A set that `describe_sources` named: by its name where that leads to the same folder, else by path."""
    path = Path(os.path.normpath(out / source["path"]))
    try:
        same = os.path.realpath(find_dataset(source["name"], data_root)) == os.path.realpath(path)
    except ReidError:
        same = False
    matte = source.get("matte")
    name = source["name"] if same else os.path.abspath(path)
    return load_dataset(name, data_root, None if matte is None else read_colour(matte))


def outlook(
    fg: ReidDataset,
    bg: ReidDataset,
    out: Path,
    segmenter: Segmenter,
    settings: CompositeSettings,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """What `build_composite` would do with the same arguments; raises as it would before its first image."""
    settings = resolve_settings(settings, bg)
    foregrounds = limit_records(fg, settings.limit)
    fingerprint = describe_settings(fg, bg, foregrounds, segmenter, settings)
    output = Output(out, FORM, fingerprint, sources=[fg, bg], overwrite=overwrite).look()
    refuse_links(out)
    images = Counter(record.split for record in foregrounds)
    sides = Counter(SIDES[record.split] for record in foregrounds)
    return {
        "out": str(out),
        "state": "finished" if output.finished else "to be resumed" if output.begun else "to be made",
        "images": {split: images[split] for split in SPLITS},
        "done": len(output.done()),
        "plates": len(bg.records)
        if is_plate_set(bg)
        else sum(num_plates(number, settings.plan.max_reuse) for number in sides.values()),
        "bytes": estimate_bytes(foregrounds),
    }
