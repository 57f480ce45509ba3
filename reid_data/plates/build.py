"""A set of person-free plates: out of pedestrian crops, any pictures of scenes, or the frames of fixed cameras."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from reid_data.datasets.digest import dataset_digest
from reid_data.errors import InputError, UsageError, unknown_name
from reid_data.files import AnyPath, make_folder, sha256_bytes, write_atomic
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.images import read_bytes
from reid_data.jpeg import VERSIONS as JPEG_VERSIONS
from reid_data.jpeg import usual_quality
from reid_data.manifest import Form, Manifest, Row, raised
from reid_data.plates.crops import PLATE_VERSIONS, Plate, PlateBank, PlateSettings, gather_plates
from reid_data.plates.scenes import VERSIONS as SCENE_VERSIONS
from reid_data.plates.scenes import Piece, Search, frame_pieces, scene_pieces, unreadable
from reid_data.plates.sides import SPLIT_OF, background_sides
from reid_data.records import PLATE_SET, SPLIT_FOLDERS, ReidDataset, matte_row
from reid_data.seals import unsealed
from reid_data.seeds import image_seed
from reid_data.segment import SEGMENTERS, build_segmenter
from reid_data.segment.base import Segmenter
from reid_data.written.output import Output
from reid_data.written.readme import backgrounds_card, plate_counts, refusals

SOURCES = ("crops", "scenes", "frames")
BYTES_PER_PLATE = 60_000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BackgroundSettings:
    """What decides a background set besides its source and the segmenter: `source` is one of `SOURCES`, `num` how many plates
    are wanted, half of them for training."""

    source: str = "crops"
    num: int = 1000
    plates: PlateSettings = field(default_factory=PlateSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise unknown_name("kind of source", self.source, SOURCES)


@dataclass(frozen=True)
class BuiltBackgrounds:
    """A finished background set: where it is, plates by side and camera, pieces tried, reasons against the others, the pictures
    that cannot be read (name, reason)."""

    root: Path
    plates: dict[str, dict[int, int]]
    tried: int
    rejected: dict[str, int]
    failed: tuple[tuple[str, str], ...] = ()
    was_finished: bool = False


def build_backgrounds(
    source: ReidDataset,
    out: AnyPath,
    segmenter: Segmenter,
    settings: BackgroundSettings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> BuiltBackgrounds:
    """Write the plates of `source` (`reid_data.plates.scenes.picture_source` makes one of a folder) below `out`, in Market layout.

    The bytes depend on the source, the segmenter and `settings` alone. An interrupted run begins anew, with what is kept
    in the cache. Raises InputError if no plate comes of it; see also `Output`.
    """
    out = Path(out)
    fingerprint, room = describe(source, segmenter, settings), settings.num * BYTES_PER_PLATE
    with Output(out, FORM, fingerprint, sources=[source], num_bytes=room, overwrite=overwrite) as output:
        if output.finished:
            return replace(summarise_backgrounds(out, output.manifest), was_finished=True)
        pieces = _PIECES[settings.source](source, segmenter, settings, workers, progress)
        output.begin(resume=False, source=_source_row(out, source))
        rows = []
        for row in write_pieces(out, pieces):
            output.append(row)
            rows.append(row)
        _require_plates(source, rows)
        return summarise_backgrounds(out, output.finish(backgrounds_card(out.name, source)))


def _require_plates(source: ReidDataset, rows: Sequence[Row]) -> None:
    if any(row["row"] == "image" for row in rows):
        return
    reasons = Counter(row["reason"] for row in rows).most_common(3)
    raise InputError(
        f"no plate came of '{source.name}' ({len(rows):,} pieces tried; "
        + ("; ".join(f"{count}: {reason}" for reason, count in reasons) or "none could be read")
        + "). Choose other pictures, or lower --min-quality."
    )


def describe(source: ReidDataset, segmenter: Segmenter, settings: BackgroundSettings) -> Row:
    """The fingerprint of a run, flat and printable."""
    return {
        "source": source.name,
        "source_digest": dataset_digest(source),
        "segmenter": segmenter.name,
        "segmenter_digest": segmenter.digest(source.records if settings.source == "crops" else ()),
        "jpeg_quality": usual_quality(source.records),
        **flat(settings),
        **matte_row(source),
        **raised(_versions(settings.source)),
    }


def flat(settings: BackgroundSettings) -> Row:
    """The settings by name."""
    return {
        "source_kind": settings.source,
        "num": settings.num,
        "seed": settings.seed,
        **{f"plate_{key}": value for key, value in asdict(settings.plates).items()},
    }


def _versions(source: str) -> dict[str, int]:
    """The versions of the steps that plates of such a source go through."""
    if source == "crops":
        return {**PLATE_VERSIONS, **JPEG_VERSIONS, **IMAGE_VERSIONS}
    return {f"plates-{source}": SCENE_VERSIONS[f"plates-{source}"], **JPEG_VERSIONS, **IMAGE_VERSIONS}


FORM = Form(PLATE_SET, 2, flat(BackgroundSettings()))


def _source_row(out: Path, source: ReidDataset) -> Row:
    return {"name": source.name, "path": os.path.relpath(source.root, out)}


def _crop_pieces(
    source: ReidDataset, segmenter: Segmenter, settings: BackgroundSettings, workers: int, progress: Progress
) -> Iterator[Piece]:
    """Plates of pedestrian crops, from the train side for training and from the test side for tests."""
    for side, records in background_sides(source).items():
        bank = gather_plates(
            records,
            settings.num // 2,
            segmenter,
            settings.plates,
            image_seed(settings.seed, f"plates {side}"),
            workers=workers,
            progress=partial(progress, f"plates ({side})"),
        )
        yield from bank_pieces(bank, side)


def bank_pieces(bank: PlateBank, side: str) -> Iterator[Piece]:
    """The plates of a bank and what became of the other crops."""
    for plate in bank.plates:
        about = {"mask_quality": plate.quality, "person_share": plate.person, "invented": _share(plate)}
        yield Piece(plate.record, side, plate.sha256, unsealed(read_bytes(plate.path))[0], "", about)
    for one in bank.rejected:
        yield Piece(one.record, side, one.sha256, None, one.reason, {"mask_quality": one.quality})
    for broken in bank.unusable:
        yield unreadable(broken.record, side, broken.reason)


def _share(plate: Plate) -> float:
    return round(float(plate.hole.mean()) / 255, 4)


def _scene_pieces(
    source: ReidDataset, segmenter: Segmenter, settings: BackgroundSettings, workers: int, progress: Progress
) -> Iterator[Piece]:
    search = _search(segmenter, settings, workers)
    for side, split in SPLIT_OF.items():
        yield from scene_pieces(source.split(split), side, search, partial(progress, f"scenes ({side})"))


def _frame_pieces(
    source: ReidDataset, segmenter: Segmenter, settings: BackgroundSettings, workers: int, progress: Progress
) -> Iterator[Piece]:
    yield from frame_pieces(source.train, _search(segmenter, settings, workers), partial(progress, "cameras"))


def _search(segmenter: Segmenter, settings: BackgroundSettings, workers: int) -> Search:
    if not segmenter.tells_empties:
        able = [name for name in SEGMENTERS if build_segmenter(name).tells_empties]
        raise UsageError(
            f"--segmenter {segmenter.name} cannot tell that nobody is there: choose one of {', '.join(able)}."
        )
    workers = min(workers, segmenter.max_workers or workers)
    return Search(settings.num // 2, segmenter, settings.plates.max_person, settings.seed, workers)


_PIECES = {"crops": _crop_pieces, "scenes": _scene_pieces, "frames": _frame_pieces}


def write_pieces(out: Path, pieces: Iterable[Piece]) -> Iterator[Row]:
    """Write the plates, numbered by side; yields the manifest row of every piece, in order, after its file."""
    numbers = Counter[str]()
    for piece in pieces:
        record = piece.record
        row: Row = {
            "row": "plate" if piece.data is None else "image",
            "side": piece.side,
            "status": piece.status,
            "reason": piece.reason,
            "source": record.name,
            "source_sha256": piece.sha256,
            "pid": record.pid,
            "camid": record.camid,
            **piece.about,
        }
        if piece.data is not None:
            numbers[piece.side] += 1
            split = SPLIT_OF[piece.side]
            name = f"{SPLIT_FOLDERS[split]}/0000_c{record.camid}s1_{numbers[piece.side]:06d}_00.png"
            make_folder(out / SPLIT_FOLDERS[split])
            write_atomic(out / name, piece.data)
            row |= {"name": name, "split": split, "sha256": sha256_bytes(piece.data)}
        yield row


def summarise_backgrounds(out: Path, manifest: Manifest) -> BuiltBackgrounds:
    """The counts of a background set from its manifest."""
    failed = tuple((row["source"], row["reason"]) for row in manifest.of_kind("plate") if row.get("status") == "failed")
    return BuiltBackgrounds(out, plate_counts(manifest), len(manifest.rows), refusals(manifest), failed)
