"""Person-sized pieces of scenes without people: out of any pictures, and out of the frames of fixed cameras."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from reid_data.errors import ImageError
from reid_data.files import printable
from reid_data.images import luminance, read_record
from reid_data.records import Record

ASPECT = 0.5  # width over height of a pedestrian crop
HEIGHTS = (96, 512)
STORED = 256
HORIZON = 0.42
GROUND = 0.15
MAX_FRAMES = 49


@dataclass(frozen=True)
class Box:
    """A piece of a picture: rows `top` to `top + height`, columns `left` to `left + width`."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The piece, (height, width, 3) uint8."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def overlaps(self, other: "Box") -> bool:
        """Whether more than a quarter of the smaller one is shared."""
        rows = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        columns = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        return (
            rows > 0 and columns > 0 and 4 * rows * columns > min(self.height * self.width, other.height * other.width)
        )


def draw_boxes(
    size: tuple[int, int], number: int, rng: np.random.Generator, columns: tuple[float, float] = (0.0, 1.0)
) -> list[Box]:
    """Up to `number` places where a pedestrian could stand in a scene of `size` = (height, width), within a share of its columns.

    On level ground a person's height in the picture is in proportion to how far the feet are below the horizon (Hoiem et
    al., Putting Objects in Perspective, 2008). The horizon is taken at 42 % of the height, and a person to reach 0 to 60 %
    of the way from the feet's depth above it: cameras stand at a height of 1 to 4 m. Boxes share little of one another.
    """
    height, width = size
    boxes: list[Box] = []
    low, high = round(columns[0] * width), round(columns[1] * width)
    for _ in range(30 * number):
        feet = rng.uniform(HORIZON + 0.12, 1.0)
        tall = round(height * (feet - HORIZON) * rng.uniform(1.0, 1.6))
        wide = round(tall * ASPECT)
        top = round(feet * height) - tall
        if not HEIGHTS[0] <= tall <= max(HEIGHTS[1], height) or top < 0 or wide > high - low:
            continue
        box = Box(top, int(rng.integers(low, high - wide + 1)), tall, wide)
        if not any(box.overlaps(other) for other in boxes):
            boxes.append(box)
        if len(boxes) == number:
            break
    return boxes


def whole_crop(size: tuple[int, int]) -> Box | None:
    """The largest pedestrian-shaped piece from the middle of a picture's lower edge; None if it is too small."""
    height, width = size
    tall = min(height, int(width / ASPECT))
    wide = round(tall * ASPECT)
    return Box(height - tall, (width - wide) // 2, tall, wide) if tall >= HEIGHTS[0] // 2 else None


def ground_fault(piece: np.ndarray) -> str:
    """Why somebody could not stand in a piece (H, W, 3): its lowest 15 % must look like ground. Empty if nothing speaks
    against it.

    Ground is calmer than what stands on it: few strong edges, and above all none that rise. Contrast counts relative to that
    of the whole piece. Pieces in which there is hardly anything to see are refused as well.
    """
    grey = luminance(cv2.resize(piece, (64, 128), interpolation=cv2.INTER_AREA))
    strip = grey[round((1 - GROUND) * 128) :]
    if not 30 <= grey.mean() <= 225 or strip.mean() > 245:
        return "too dark or burnt out"
    contrast = max(float(grey.std()), 20.0)
    across = np.abs(np.diff(cv2.GaussianBlur(strip, (0, 0), 1.0), axis=1)) / contrast
    if np.percentile(across, 97) > 0.16 or strip.std() / contrast > 0.8:
        return "something stands where the feet should be"
    return ""


def search_windows(size: tuple[int, int]) -> list[Box]:
    """The parts of a piece of `size` in which to look for people of any size: itself, six halves, twelve parts of 36 %."""
    height, width = size
    windows = [(1.0, 0.0, 0.0)]
    windows += [(0.5, top, left) for top in (0.25, 0.5) for left in (0.0, 0.25, 0.5)]
    windows += [(0.36, top, left) for top in (0.28, 0.44, 0.6) for left in (0.0, 0.21, 0.43, 0.64)]
    return [
        Box(round(top * height), round(left * width), round(share * height), round(share * width))
        for share, top, left in windows
    ]


def store_size(piece: np.ndarray) -> np.ndarray:
    """The piece, no higher than 256 pixels."""
    if piece.shape[0] <= STORED:
        return piece.copy()
    width = max(1, round(piece.shape[1] * STORED / piece.shape[0]))
    return cv2.resize(piece, (width, STORED), interpolation=cv2.INTER_AREA)


def median_frame(records: Sequence[Record], faults: list[tuple[Record, str]]) -> np.ndarray:
    """The median over time of up to 49 frames of a fixed camera, spread evenly over `records`: whatever moves is gone.

    Frames of another size than the first readable one, and unreadable ones, are left out; the latter, and why, are added to
    `faults`. Raises ImageError if fewer than three are left. Done in bands of rows, so that memory does not grow with the
    frames' number.
    """
    chosen = [records[index] for index in sorted({round(i) for i in np.linspace(0, len(records) - 1, MAX_FRAMES)})]
    frames = list(_frames_alike(chosen, faults))
    if len(frames) < 3:
        lost = (
            f"; {len(faults)} cannot be read, the first: {printable(faults[0][0].name)} {faults[0][1]}"
            if faults
            else ""
        )
        raise ImageError(f"has {len(frames)} frames of one size: a median over time needs at least 3{lost}")
    result = np.empty_like(frames[0])
    for top in range(0, result.shape[0], 64):
        result[top : top + 64] = np.median(np.stack([frame[top : top + 64] for frame in frames]), axis=0)
    return result


def _frames_alike(records: Sequence[Record], faults: list[tuple[Record, str]]) -> Iterator[np.ndarray]:
    """Frames of the first one's size; why others cannot be read is added to `faults`."""
    size = None
    for record in records:
        try:
            frame = read_record(record)
        except ImageError as error:
            faults.append((record, str(error)))
            continue
        size = size or frame.shape
        if frame.shape == size:
            yield frame
