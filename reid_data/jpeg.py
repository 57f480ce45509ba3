"""At which JPEG quality a set's files were written, so that new ones are written alike."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from reid_data.errors import ImageError
from reid_data.images import read_bytes
from reid_data.records import Record

VERSIONS = {"jpeg-quality": 1}  # written_quality, usual_quality

NUM_SAMPLES = 64
RANGE = (70, 98)
OTHERWISE = 95

# Luminance quantisation at quality 50: ITU-T T.81, Annex K, table K.1; the order does not matter for its sum.
_SUM_AT_50 = 3688


def written_quality(data: bytes) -> int | None:
    """The quality 1 to 100 of JPEG bytes, as the Independent JPEG Group's software counts it; None for other formats.

    Judged by the sum of the luminance table (good from about 20 up, where no entry is clipped): at quality q it is
    3688 * s / 100, with s = 5000 / q below 50, else 200 - 2 q.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as file:
            tables = getattr(file, "quantization", {})
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None
    if 0 not in tables:
        return None
    scale = 100 * sum(tables[0]) / _SUM_AT_50
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return int(np.clip(round(quality), 1, 100))


def usual_quality(records: Sequence[Record]) -> int:
    """The median quality of up to 64 files spread evenly over `records`, kept within 70 to 98; 95 if none is a JPEG."""
    chosen = sorted({round(index) for index in np.linspace(0, len(records) - 1, min(NUM_SAMPLES, len(records)))})
    found = []
    for index in chosen:
        try:
            quality = written_quality(read_bytes(records[index].path, records[index].root))
        except ImageError:
            continue
        if quality is not None:
            found.append(quality)
    return int(np.clip(round(float(np.median(found))), *RANGE)) if found else OTHERWISE
