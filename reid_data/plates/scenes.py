"""Plates out of pictures that are no pedestrian crops: where to cut, and the check that nobody is in the piece."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.datasets.spec import empty_splits
from reid_data.errors import ImageError
from reid_data.files import sha256_bytes
from reid_data.images import decode_image, encode_png, read_bytes
from reid_data.parallel import ordered_map
from reid_data.plates.files import list_scenes
from reid_data.plates.pieces import Box, draw_boxes, ground_fault, median_frame, search_windows, store_size, whole_crop
from reid_data.records import Card, Record, ReidDataset
from reid_data.seeds import image_seed
from reid_data.segment.base import Segmenter

VERSIONS = {"plates-scenes": 1, "plates-frames": 1}  # scene_pieces; frame_pieces; both with pieces.py

MAX_PART = 0.08
PER_PICTURE = 6
ROUNDS = 12

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Piece:
    """Something that was tried as a plate: from which picture (and its hash), for which side; `data` an RGBA PNG, None with a
    `reason` if it is refused, or (`failed`) its picture cannot be read; `about` what goes into its manifest row."""

    record: Record
    side: str
    sha256: str | None
    data: bytes | None
    reason: str
    about: dict[str, Any] = field(default_factory=dict)
    failed: bool = False

    @property
    def status(self) -> str:
        """As the manifest has it."""
        return "ok" if self.data is not None else "failed" if self.failed else "rejected"


def unreadable(record: Record, side: str, reason: str) -> Piece:
    """What stands for a picture that cannot be read."""
    return Piece(record, side, None, None, reason, failed=True)


@dataclass(frozen=True)
class Search:
    """How pieces are looked for: `wanted` for each side, who looks for people, and how much of one may be seen."""

    wanted: int
    segmenter: Segmenter
    max_person: float
    seed: int
    workers: int


def picture_source(folder: Path, terms: str, *, frames: bool = False) -> ReidDataset:
    """All pictures below a folder as a set: each sub-folder that holds some is a camera, and nobody (pid 0) is known.

    The first half of each camera's pictures, in sorted order, is for training, the rest for tests; `frames`: all in
    `train`, since a fixed camera's frames are used together. Raises InputError if there are none.
    """
    root = os.path.abspath(folder)
    names = [os.path.relpath(path, root).replace(os.sep, "/") for path in list_scenes(root)]
    places = sorted({os.path.dirname(name) for name in names}, key=os.fsencode)
    splits = empty_splits()
    for camid, place in enumerate(places, start=1):
        mine = [name for name in names if os.path.dirname(name) == place]
        for index, name in enumerate(mine):
            split = "train" if frames or 2 * index < len(mine) else "gallery"
            splits[split].append(Record(root, name, 0, camid, split))
    card = Card(os.path.basename(root), "pictures", terms=terms)
    return ReidDataset(card, Path(root), splits["train"], [], splits["gallery"])


def scene_pieces(records: Sequence[Record], side: str, search: Search, progress: Progress) -> Iterator[Piece]:
    """Pieces of scenes, until `search.wanted` of them are plates or the pictures are used up: the cameras in turn, each
    picture once, up to six pieces of it."""
    rng = np.random.default_rng(image_seed(search.seed, f"scenes {side}"))
    of_camera: dict[int, list[Record]] = {}
    for index in rng.permutation(len(records)):
        of_camera.setdefault(records[index].camid, []).append(records[index])
    turns = sorted((turn, camid) for camid, mine in of_camera.items() for turn in range(len(mine)))
    jobs = [(of_camera[camid][turn], side) for turn, camid in turns]
    yield from _until_enough(partial(_cut_scene, search), jobs, search.workers, {side: search.wanted}, progress)


def frame_pieces(records: Sequence[Record], search: Search, progress: Progress) -> Iterator[Piece]:
    """Pieces of each camera's median frame: of its left half for training, of its right half for tests, so that no place
    serves both."""
    cameras = sorted({record.camid for record in records})
    each = -(-search.wanted // len(cameras))
    jobs = [
        ([record for record in records if record.camid == camid], side, each)
        for camid in cameras
        for side in ("train", "test")
    ]
    wanted = {"train": search.wanted, "test": search.wanted}
    yield from _until_enough(partial(_cut_median, search), jobs, search.workers, wanted, progress)


def _until_enough(
    cut: Callable[[Any], list[Piece]], jobs: list[Any], workers: int, wanted: dict[str, int], progress: Progress
) -> Iterator[Piece]:
    """The pieces of the jobs, in their order, as long as some side wants more plates."""
    left, total = dict(wanted), sum(wanted.values())
    with closing(ordered_map(cut, jobs, workers, chunk=1)) as results:  # type: ignore[type-var]
        for pieces in results:
            for piece in pieces:
                if piece.data is not None and left[piece.side] == 0:
                    continue
                left[piece.side] -= piece.data is not None
                yield piece
            progress(total - sum(left.values()), total)
            if not any(left.values()):
                return


def _cut_scene(search: Search, job: tuple[Record, str]) -> list[Piece]:
    """Up to six pieces of one picture; of an upright one, which is a crop already, the whole."""
    record, side = job
    try:
        data = read_bytes(record.path, record.root)
        picture = decode_image(data, record.transparency)
    except ImageError as error:
        return [unreadable(record, side, str(error))]
    size, sha = (picture.shape[0], picture.shape[1]), sha256_bytes(data)
    rng = np.random.default_rng(image_seed(search.seed, record.name))
    whole = whole_crop(size)
    upright = size[0] > 1.3 * size[1]
    boxes = ([whole] if whole else []) if upright else draw_boxes(size, PER_PICTURE, rng)
    if not boxes:
        return [Piece(record, side, sha, None, f"is too small ({size[1]}x{size[0]})")]
    return [_judged(search, record, side, sha, picture, box) for box in boxes]


def _cut_median(search: Search, job: tuple[list[Record], str, int]) -> list[Piece]:
    """Pieces of one half of the median of a camera's frames, `wanted` good ones if they can be found; the frames that cannot be
    read come with those for training."""
    records, side, wanted = job
    faults: list[tuple[Record, str]] = []
    try:
        scene = median_frame(records, faults)
    except ImageError as error:
        scene, reason = None, f"camera {records[0].camid} {error}"
    pieces = [unreadable(record, side, fault) for record, fault in faults if side == "train"]
    if scene is None:
        return [*pieces, Piece(records[0], side, None, None, reason)]
    sha = sha256_bytes(scene.tobytes())
    columns = (0.0, 0.5) if side == "train" else (0.5, 1.0)
    rng = np.random.default_rng(image_seed(search.seed, f"frames {records[0].camid} {side}"))
    made: list[Piece] = []
    for _ in range(ROUNDS):
        for box in draw_boxes((scene.shape[0], scene.shape[1]), PER_PICTURE, rng, columns):
            if sum(piece.data is not None for piece in made) < wanted:
                made.append(_judged(search, records[0], side, sha, scene, box))
    small = Piece(records[0], side, sha, None, "too small for a pedestrian in either half")
    return [*pieces, *(made or [small])]


def _judged(search: Search, record: Record, side: str, sha: str, picture: np.ndarray, box: Box) -> Piece:
    """A piece with what speaks against it: no ground to stand on, or somebody there already."""
    piece = store_size(box.cut(picture))
    about: dict[str, Any] = {"box": [box.top, box.left, box.height, box.width]}
    reason = ground_fault(piece)
    if not reason:
        share, part = person_shares(piece, search.segmenter, search.max_person)
        about |= {"person_share": share, "person_part": part, "invented": 0.0}
        if share >= search.max_person:
            reason = f"somebody is seen in {share:.0%} of it"
        elif part >= MAX_PART:
            reason = f"somebody smaller is seen in {part:.0%} of a part of it"
    if reason:
        return Piece(record, side, sha, None, reason, about)
    opaque = np.full(piece.shape[:2], 255, np.uint8)
    return Piece(record, side, sha, encode_png(np.dstack([piece, opaque])), "", about)


def person_shares(piece: np.ndarray, segmenter: Segmenter, enough: float) -> tuple[float, float]:
    """The share of a piece (H, W, 3) in which `segmenter` sees a person, and the largest such share of its parts (see
    `search_windows`); the parts are not looked at where the first is `enough`."""
    whole, *parts = [window.cut(piece) for window in search_windows((piece.shape[0], piece.shape[1]))]
    seen = _seen(segmenter, [whole])[0]
    if seen >= enough:
        return seen, seen
    return seen, max(_seen(segmenter, parts))


def _seen(segmenter: Segmenter, pictures: list[np.ndarray]) -> list[float]:
    alphas, _ = segmenter.segment([], pictures)
    return [round(float((alpha > 0.5).mean()), 4) for alpha in alphas]
