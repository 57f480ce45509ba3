"""One short text for what a step gave: a hash where every bit counts, numbers where machines may differ in the last ones.

What holds where. The bytes are promised under the versions in constraints.txt: all steps depend on numpy (its Generator and,
for synthetic people and pictures, its float32 functions); masks, plates, composition and synthetic sets on OpenCV (filters,
drawing, warping, JPEG, PNG, GrabCut's clusters); resize and the reading of JPEG tables on Pillow; augmentation and swap on
albumentations; small-network, sam, losses, segmenter-steps, ranking and rerank on torch. A new version of one of these may
ask for renewed entries, and is then a change of bytes like any other.

Tried on one processor with AVX-512 by taking kernels away: numpy without AVX-512 and without AVX2 (NPY_DISABLE_CPU_FEATURES),
OpenCV without AVX-512 and without AVX2, FMA3 and FP16 (OPENCV_CPU_DISABLE), torch at AVX2 and at its default
(ATEN_CPU_CAPABILITY, DNNL_MAX_CPU_ISA), one and two threads. Everything that is hashed was the same in all of them. The
steps that return a `Near` were not, to the last bit; their sketches moved by at most a seventh of TOLERANCE. So was `fill-rows`,
until a processor was met for which OpenBLAS takes other kernels (OPENBLAS_CORETYPE switches between them): a `Near`, too, since
then, and its sketch moved by a twentieth of TOLERANCE. Processors of another architecture were not tried.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

DIGITS = 6


@dataclass(frozen=True)
class Near:
    """Pictures or masks that went through floating-point sums which processors round differently: compared by `sketch`.
    `also`: what else the step gave, compared to the last bit."""

    arrays: tuple[np.ndarray, ...]
    also: Any = None


GRID = (6, 3)
FEW = 60
TOLERANCE = 0.02


def exact(value: Any) -> str:
    """sha256 of nested numbers, texts and arrays. Integers and uint8 to the last bit, floats to DIGITS significant digits."""
    total = hashlib.sha256()
    _feed(total, value)
    return total.hexdigest()


def _feed(total: Any, value: Any) -> None:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        for key, part in value.items():
            _feed(total, key)
            _feed(total, part)
    elif isinstance(value, (list, tuple)):
        total.update(f"[{len(value)}]".encode())
        for part in value:
            _feed(total, part)
    elif isinstance(value, np.ndarray):
        total.update(f"{value.dtype.kind}{value.shape}".encode())
        if value.dtype.kind == "f":
            total.update(" ".join(map(_text, value.ravel().tolist())).encode())
        else:
            total.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (float, np.floating)):
        total.update(_text(float(value)).encode())
    elif isinstance(value, bytes):
        total.update(value)
    else:
        total.update(f"{value!r};".encode())


def _text(value: float) -> str:
    return f"{value + 0.0:.{DIGITS}g};"


def sketch(near: Near) -> list[list[float]]:
    """Per array and channel: the means of GRID cells, the mean detail across and the mean detail down, to 3 decimals;
    of an array of fewer than FEW numbers all of them.

    Values are in the array's own unit (0..255 or 0..1 times 255). A sum in another order moves single pixels by one level
    and these numbers by some thousandths; a changed constant moves many pixels and these numbers by more than TOLERANCE.
    """
    rows = []
    for array in near.arrays:
        planes = array.astype(np.float64) * (1 if array.dtype == np.uint8 else 255)
        for plane in np.moveaxis(planes, -1, 0) if planes.ndim == 3 else [planes]:
            if plane.size < FEW:
                rows.append([round(float(number), 3) for number in plane.ravel()])
                continue
            cells = [
                cell.mean() for band in np.array_split(plane, GRID[0]) for cell in np.array_split(band, GRID[1], 1)
            ]
            detail = [float(np.abs(np.diff(plane, axis=axis)).mean()) for axis in (0, 1)]
            rows.append([round(float(number), 3) for number in (*cells, *detail)])
    return rows


def describe(value: Any) -> dict[str, Any]:
    """The entry of the table for what a step gave: {"sha256": ...}, with {"sketch": [...]} besides for a `Near`."""
    if isinstance(value, Near):
        return {"sha256": exact(value.also), "sketch": sketch(value)}
    return {"sha256": exact(value)}


def same(kept: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two such entries agree."""
    old, new = kept.get("sketch", []), found.get("sketch", [])
    if kept["sha256"] != found["sha256"] or [len(row) for row in old] != [len(row) for row in new]:
        return False
    return all(bool(np.allclose(a, b, rtol=0, atol=TOLERANCE)) for a, b in zip(old, new))
