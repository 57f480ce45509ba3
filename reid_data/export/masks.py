"""Masks or cut-outs of a whole folder of crops, with a verdict per picture."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reid_data.compose.rim import VERSIONS as RIM_VERSIONS
from reid_data.compose.rim import decontaminate
from reid_data.datasets.named_files import list_pictures
from reid_data.datasets.pictures import require_pictures
from reid_data.errors import InputError
from reid_data.files import AnyPath, make_folder, printable, write_atomic
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.images import encode_mask, encode_png
from reid_data.manifest import Form, differences, raised
from reid_data.masks import VERSIONS as MASK_VERSIONS
from reid_data.masks import iou
from reid_data.records import Record, matte_text
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import Masked, Unusable
from reid_data.segment.central import VERSIONS as PERSON_VERSIONS
from reid_data.segment.survey import masked_map
from reid_data.written.table import TableOutput

VERSIONS = {"cut-out": 2}  # cut_out: 1 was the photograph under the mask
BYTES_PER_IMAGE = {"alpha": 4_000, "rgba": 25_000}


@dataclass(frozen=True)
class ExportSettings:
    """`kind`: `alpha` (8-bit soft masks) or `rgba` (the picture with the mask as its transparency). Below `min_quality` a
    verdict is `low`; the file is written all the same. `mirror` also segments the mirrored picture: the agreement of the two
    masks multiplies the quality, at twice the time. `keep_colour`: an `rgba` picture holds the photograph everywhere, also where
    it is transparent, else see `cut_out`."""

    kind: str = "alpha"
    min_quality: float = 0.7
    mirror: bool = False
    keep_colour: bool = False


FORM = Form("segment", 1, asdict(ExportSettings()))
COMPARED = ("segmenter", "segmenter_digest", "kind", "settings_schema", "matte")


def list_crops(root: Path, out: Path | None = None) -> tuple[list[Record], int]:
    """`named_files.list_pictures` below `root` but for what lies in `out`. Raises InputError when there is no picture."""
    own = out.resolve() if out else None
    records, others = list_pictures(root, lambda folder: folder.resolve() == own)
    require_pictures(records, root)
    return records, others


def output_name(record: Record) -> str:
    """Where the mask goes below the output: the picture's own relative path, ending in .png."""
    return str(PurePosixPath(record.name).with_suffix(".png"))


def export_masks(
    records: Sequence[Record],
    out: AnyPath,
    segmenter: Segmenter,
    settings: ExportSettings,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter[str]:
    """Write a mask (or cut-out) per record below `out`, sub-folders kept, then `masks.jsonl`. Returns verdict -> pictures.

    `masks.jsonl` has one row per picture: its hash, file, verdict (ok, low, failed), quality, share of the crop, reasons. The bytes do
    not depend on `workers` nor on what an earlier call with the same settings left: its files that are no longer asked for
    are removed. Made masks are kept in the cache, so a second run is quick (but for `mirror`). Raises EnvironmentFault if
    `out` holds anything that this function did not write or files of another segmenter or kind, InputError if two
    pictures would become the same file.
    """
    _refuse_same_names(records)
    out = Path(out)
    header = _header(segmenter, settings, records)
    room = len(records) * BYTES_PER_IMAGE[settings.kind]
    with TableOutput(out, header, _differences, num_bytes=room) as output:
        output.begin(output_name(record) for record in records)
        rows = []
        for row in _rows(records, out, segmenter, settings, workers):
            rows.append(row)
            progress(len(rows), len(records))
        output.finish(rows)
    return Counter(str(row["verdict"]) for row in rows)


def _header(segmenter: Segmenter, settings: ExportSettings, records: Sequence[Record]) -> dict[str, Any]:
    """What the files depend on; masks on disk may change, so they have no digest (but asking for it finds missing ones)."""
    digest = segmenter.digest(records)
    cleaning = RIM_VERSIONS | VERSIONS if settings.kind == "rgba" and not settings.keep_colour else {}
    return {
        "row": "header",
        "command": "segment",
        "segmenter": segmenter.name,
        "segmenter_digest": digest if segmenter.cached else "",
        "settings_schema": FORM.schema,
        **asdict(settings),
        **({"matte": matte} if (matte := matte_text(records)) else {}),
        **raised(MASK_VERSIONS | PERSON_VERSIONS | IMAGE_VERSIONS | cleaning),
    }


def _differences(found: dict[str, Any], header: dict[str, Any]) -> list[str]:
    """What of an earlier call's header must be as in this one's, and is not."""
    compared = [{"settings_schema": 1} | FORM.defaults | row for row in (found, header)]
    different = [key for key in COMPARED if compared[0].get(key) != compared[1].get(key)]
    return different or differences(*({"versions": row.get("versions", {})} for row in compared))


def _refuse_same_names(records: Sequence[Record]) -> None:
    seen: dict[str, str] = {}
    for record in records:
        name = output_name(record)
        if name in seen:
            raise InputError(
                f"'{printable(seen[name])}' and '{printable(record.name)}' would both become '{printable(name)}'. Rename one of them."
            )
        seen[name] = record.name


def _rows(
    records: Sequence[Record], out: Path, segmenter: Segmenter, settings: ExportSettings, workers: int
) -> Iterator[dict[str, Any]]:
    write = partial(_write_batch, segmenter if settings.mirror else None, settings, out)
    return masked_map(write, records, segmenter, workers)


def _write_batch(
    mirrors: Segmenter | None, settings: ExportSettings, out: Path, found: Sequence[Masked | Unusable]
) -> list[dict[str, Any]]:
    agreements = _mirror_agreements(mirrors, found) if mirrors is not None else {}
    return [_write_one(one, settings, out, agreements.get(index)) for index, one in enumerate(found)]


def _mirror_agreements(segmenter: Segmenter, found: Sequence[Masked | Unusable]) -> dict[int, float]:
    """IoU of each mask with the mask of the mirrored picture, by position."""
    usable = [(index, one) for index, one in enumerate(found) if isinstance(one, Masked)]
    mirrored = [np.ascontiguousarray(one.image[:, ::-1]) for _, one in usable]
    alphas, _ = segmenter.segment([one.record for _, one in usable], mirrored)
    return {
        index: iou(one.alpha > 0.5, alpha[:, ::-1] > 0.5) for (index, one), alpha in zip(usable, alphas, strict=True)
    }


def _write_one(one: Masked | Unusable, settings: ExportSettings, out: Path, agreement: float | None) -> dict[str, Any]:
    name = output_name(one.record)
    if isinstance(one, Unusable):
        return {"row": "image", "name": one.record.name, "verdict": "failed", "reasons": [one.reason]}
    quality, reasons = one.quality, list(one.verdict.reasons)
    if agreement is not None:
        quality *= agreement
        reasons += [f"the mirrored picture's mask agrees only to {agreement:.2f}"] if agreement < 0.9 else []
    target = out / name
    make_folder(target.parent)
    if settings.kind == "alpha":
        data = encode_mask(one.alpha)
    else:
        data = encode_png(cut_out(one.image, one.alpha, keep_colour=settings.keep_colour))
    write_atomic(target, data)
    return {
        "row": "image",
        "name": one.record.name,
        "sha256": one.sha256,
        "file": name,
        "verdict": "ok" if quality >= settings.min_quality else "low",
        "quality": round(quality, 4),
        "area": round(one.verdict.area, 4),
        "reasons": reasons,
    }


def cut_out(image: np.ndarray, alpha: np.ndarray, *, keep_colour: bool = False) -> np.ndarray:
    """(H, W, 4) uint8 of (H, W, 3) uint8 RGB and an (H, W) mask in [0, 1]: the rim in the person's own colours, 0 under alpha 0.

    `keep_colour`: the image itself, whose background is then still in the file.
    """
    plane = np.rint(alpha * 255).astype(np.uint8)
    if keep_colour:
        return np.dstack([image, plane])
    clean = np.rint(np.clip(decontaminate(image, alpha), 0, 255)).astype(np.uint8)
    return np.dstack([np.where(plane[:, :, None] > 0, clean, 0).astype(np.uint8), plane])
