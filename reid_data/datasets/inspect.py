"""What one look at an image tells `check`: its hash, size, brightness, sharpness and a fingerprint of its content."""

from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.errors import ImageError
from reid_data.files import sha256_bytes
from reid_data.formats import picture_kind
from reid_data.images import decode_image, read_bytes
from reid_data.records import Record

HASH_ROWS, HASH_COLUMNS = 16, 8


@dataclass(frozen=True, slots=True)
class Look:
    """One image. `brightness` mean luminance 0 to 255; `sharpness` variance of the Laplacian at 128x64; `fingerprint`
    a 128-bit difference hash (16 rows of 8 comparisons of horizontal neighbours). `fault` replaces all if unreadable.
    `format` is what the first bytes say.
    """

    fault: str = ""
    sha256: str = ""
    height: int = 0
    width: int = 0
    brightness: float = 0.0
    sharpness: float = 0.0
    fingerprint: bytes = b""
    format: str = ""


def look_at(record: Record) -> Look:
    """Decode a record's image and measure it; never raises for a bad image."""
    try:
        data = read_bytes(record.path, record.root)
        image = decode_image(data, record.transparency)
    except ImageError as error:
        return Look(fault=str(error))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    crop = cv2.resize(grey, (64, 128), interpolation=cv2.INTER_AREA)
    sharpness = float(cv2.Laplacian(crop, cv2.CV_32F).var())
    height, width = grey.shape
    return Look(
        "",
        sha256_bytes(data),
        height,
        width,
        float(grey.mean()),
        sharpness,
        fingerprint(grey),
        picture_kind(data) or "",
    )


def fingerprint(grey: np.ndarray) -> bytes:
    """16-byte difference hash of an (H, W) uint8 image: equal pictures at other sizes or JPEG qualities differ in few bits."""
    small = cv2.resize(grey, (HASH_COLUMNS + 1, HASH_ROWS), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def near_pairs(left: np.ndarray, right: np.ndarray, most_bits: int) -> list[tuple[int, int]]:
    """Pairs (i, j) whose fingerprints `left[i]`, `right[j]` ((N, 16) uint8) differ in at most `most_bits` < 8 bits.

    Two such fingerprints agree in at least one of their eight 16-bit bands (pigeonhole), so only those are compared.
    """
    assert most_bits < 8, "eight bands find every pair only below eight differing bits"
    pairs: set[tuple[int, int]] = set()
    left_bands, right_bands = left.view(np.uint16), right.view(np.uint16)
    for band in range(8):
        order = np.argsort(right_bands[:, band], kind="stable")
        keys = right_bands[order, band]
        starts = np.searchsorted(keys, left_bands[:, band], "left")
        ends = np.searchsorted(keys, left_bands[:, band], "right")
        for i in np.nonzero(ends > starts)[0]:
            candidates = order[starts[i] : ends[i]]
            bits = np.bitwise_count(right[candidates] ^ left[i]).sum(1)
            pairs.update((int(i), int(j)) for j in candidates[bits <= most_bits])
    return sorted(pairs)
