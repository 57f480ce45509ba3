"""Raw material for training a segmenter: cut-outs, empty places and synthetic crops, gathered once into memory-mapped arrays.

Readers yield (image, mask of the people, mask of the one person); the bank scales them to canvases.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import loadmat

from reid_data.errors import ImageError, InputError
from reid_data.files import make_folder, printable, replacing, settings_digest, write_json
from reid_data.formats import SUFFIXES
from reid_data.images import read_image, read_mask
from reid_data.manifest import raised
from reid_data.masks import largest_part
from reid_data.parallel import ordered_map
from reid_data.records import TRANSPARENT
from reid_data.segment.network import SIZE
from reid_data.silenced import silenced
from reid_data.train_segmenter.samples import BODY, CANVAS, EMPTY_CANVAS, Bank

VERSIONS = {"segmenter-bank": 1}  # what is gathered and how it is cut

Box = tuple[float, float, float, float]
NETWORKS = ("market", "duke")
DRAWN_PART = 50
"""Synthetic crops per task."""

PLACE_EVERY = 4
"""One empty synthetic place for so many synthetic crops."""

NOTE = "bank.json"
"""Written last: a bank without it is unfinished."""

MIN_BODY = 100
EMPTY_PER_PHOTO = 12


@dataclass(frozen=True)
class Sources:
    """What a bank is made of: folders of photographs with masks ('' = none), and the number of synthetic crops.

    `penn_fudan` holds PNGImages and PedMasks (Wang et al., ACCV 2007); `ccp` photos and annotations/pixel-level (Yang et
    al., "Clothing Co-Parsing", CVPR 2014); `own` pictures, each with a mask of the same relative name (.png) below
    `own`/masks: the layout of a synthetic or composite set, or of `reid-data segment`.
    """

    penn_fudan: str = ""
    ccp: str = ""
    own: str = ""
    drawn: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Photo:
    """A photograph, RGB; `people` (H, W) bool: every pixel of anybody; `persons`: one bool mask for each usable person."""

    name: str
    image: np.ndarray
    people: np.ndarray
    persons: list[np.ndarray]


def is_held_out(stem: str) -> bool:
    """Whether a Penn-Fudan photograph belongs to the benchmark (contiguous numbers, as neighbours share scene and people)."""
    number = int(stem[-5:])
    return number >= 53 if stem.startswith("Fudan") else number >= 68


def penn_fudan_photos(folder: Path, *, held_out: bool) -> Iterator[Photo]:
    """The photographs of Penn-Fudan on one side of the split, sorted by name."""
    for path in _sorted_images(folder / "PNGImages"):
        if is_held_out(path.stem) is not held_out:
            continue
        with silenced():
            plane = cv2.imread(str(folder / "PedMasks" / f"{path.stem}_mask.png"), cv2.IMREAD_UNCHANGED)
        if plane is None:
            raise InputError(f"'{printable(folder)}' lacks PedMasks/{path.stem}_mask.png. Unpack Penn-Fudan again.")
        plane = plane if plane.ndim == 2 else plane[..., 0]
        persons = [plane == label for label in range(1, int(plane.max()) + 1)]
        yield Photo(path.stem, _read(path, read_image), plane > 0, [one for one in persons if one.any()])


def ccp_photos(folder: Path) -> Iterator[Photo]:
    """The pixel-annotated photographs of clothing-co-parsing (one person each; label 0 is the background)."""
    for path in sorted((folder / "annotations" / "pixel-level").glob("*.mat")):
        image = _read(folder / "photos" / f"{path.stem}.jpg", read_image)
        people = loadmat(path)["groundtruth"] > 0
        if people.shape == image.shape[:2]:
            yield Photo(path.stem, image, people, [largest_part(people)] if people.any() else [])


def own_photos(folder: Path) -> Iterator[Photo]:
    """A user's pictures with their masks; pictures without one are passed over."""
    masks = folder / "masks"
    for path in _sorted_images(folder, recursive=True):
        if masks in path.parents or "plates" in path.relative_to(folder).parts:
            continue
        mask_path = (masks / path.relative_to(folder)).with_suffix(".png")
        if not mask_path.exists():
            continue
        image, alpha = _read(path, read_image), _read(mask_path, read_mask)
        if alpha.shape != image.shape[:2]:
            raise InputError(
                f"the mask of '{printable(path)}' has another size: {alpha.shape}, expected {image.shape[:2]}."
            )
        mask = alpha > 0.5
        yield Photo(path.stem, image, mask, [mask] if mask.any() else [])


def _read(path: Path, reader: Callable[[str], np.ndarray]) -> np.ndarray:
    """What `reader` makes of a file; an error names it."""
    try:
        return reader(str(path))
    except ImageError as error:
        reason = (
            "has transparent pixels: to learn from it, it must show its background"
            if str(error) == TRANSPARENT
            else error
        )
        raise InputError(f"'{printable(path)}' {reason}. Mend or remove it.") from error


def _sorted_images(folder: Path, *, recursive: bool = False) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"'{printable(folder)}' is not a folder. Give the folder that the data set was unpacked into.")
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def canvas_of(photo: Photo, person: np.ndarray) -> tuple[np.ndarray, Box]:
    """The person on a canvas, (224, 144, 4) uint8 RGB + mask, BODY pixels tall in the middle; and the mask's box on it."""
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    tall, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    scale = BODY / tall
    size = (max(1, round(photo.image.shape[1] * scale)), max(1, round(photo.image.shape[0] * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(photo.image, size, interpolation=shrink)
    mask = cv2.resize(person.astype(np.uint8) * 255, size, interpolation=shrink)
    top = round((rows[0] + tall / 2) * scale - CANVAS[0] / 2)
    left = round((columns[0] + wide / 2) * scale - CANVAS[1] / 2)
    pad = max(0, -top, -left, top + CANVAS[0] - size[1], left + CANVAS[1] - size[0])
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        mask = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    window = np.s_[top + pad : top + pad + CANVAS[0], left + pad : left + pad + CANVAS[1]]
    box = (
        rows[0] * scale - top,
        columns[0] * scale - left,
        (rows[-1] + 1) * scale - top,
        (columns[-1] + 1) * scale - left,
    )
    return np.dstack([image[window], mask[window]]), box


def empty_patches(photo: Photo, rng: np.random.Generator, wanted: int, smallest: int = 140) -> Iterator[np.ndarray]:
    """Up to `wanted` windows of a photograph without a pixel of anybody, as (176, 96, 3) uint8."""
    height, width = photo.image.shape[:2]
    kernel = np.ones((21, 21), np.uint8)
    taken = cv2.integral(cv2.dilate(photo.people.astype(np.uint8), kernel))
    for _ in range(wanted * 12):
        if wanted <= 0 or height <= smallest:
            return
        tall = int(rng.uniform(smallest, min(height, 3 * smallest)))
        wide = round(tall * EMPTY_CANVAS[1] / EMPTY_CANVAS[0])
        if wide >= width:
            continue
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        corners = taken[[top, top, top + tall, top + tall], [left, left + wide, left, left + wide]]
        if corners[3] - corners[1] - corners[2] + corners[0] == 0:
            wanted -= 1
            yield cv2.resize(
                photo.image[top : top + tall, left : left + wide], EMPTY_CANVAS[::-1], interpolation=cv2.INTER_AREA
            )


def sources_digest(sources: Sources) -> str:
    """Changes with every picture or mask of the sources (name, size, time of change), not with where they lie."""
    folders = {name: getattr(sources, name) for name in ("penn_fudan", "ccp", "own")}
    stamps = {name: _stamps(Path(folder)) for name, folder in folders.items() if folder}
    from reid_data.synth.generate import SYNTH_VERSIONS

    versions = raised({**VERSIONS, **(SYNTH_VERSIONS if sources.drawn else {})})
    return settings_digest({"drawn": sources.drawn, "seed": sources.seed, "version": 1, **stamps, **versions})


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (*SUFFIXES, ".mat") and path.is_file())
    states = ((path, path.stat()) for path in files)
    return [(printable(path.relative_to(folder)), state.st_size, state.st_mtime_ns) for path, state in states]


def build_bank(folder: Path, sources: Sources, workers: int) -> Bank:
    """The bank for these sources in `folder`, made if it is not there yet (another or a damaged one is replaced).

    Raises InputError when the sources hold no person at all, or `own` none.
    """
    note, digest = folder / NOTE, sources_digest(sources)
    if bank_digest(folder) == digest:
        try:
            return Bank.open(folder)
        except (OSError, ValueError, EOFError):
            logging.getLogger(__name__).info("the bank in %s is damaged and made anew", printable(folder))
    make_folder(folder)
    note.unlink(missing_ok=True)
    people, boxes, labels, empty = _gather(sources)
    if not people and not sources.drawn:
        raise InputError("the sources hold no person with a mask. Give --penn-fudan, --ccp, --own or --synthetic N.")
    _save(folder, "people", np.array(people, np.uint8).reshape(-1, *CANVAS, 4))
    _save(folder, "boxes", np.array(boxes, np.float32).reshape(-1, 4))
    _save(folder, "sources", np.array(labels, np.int64))
    _save(folder, "empty", np.array(empty, np.uint8).reshape(-1, *EMPTY_CANVAS, 3))
    tasks = [
        (sources.seed, start, min(start + DRAWN_PART, sources.drawn)) for start in range(0, sources.drawn, DRAWN_PART)
    ]
    drawn = list(ordered_map(draw_part, tasks, workers, chunk=1))
    _save(folder, "drawn", np.concatenate([np.empty((0, *SIZE, 4), np.uint8), *(crops for crops, _ in drawn)]))
    _save(folder, "places", np.concatenate([np.empty((0, *SIZE, 3), np.uint8), *(places for _, places in drawn)]))
    write_json(note, {"digest": digest, "sources": asdict(sources), "people": len(people), "empty": len(empty)})
    return Bank.open(folder)


def bank_digest(folder: Path) -> str:
    """The `sources_digest` of the finished bank in `folder`; '' if there is none."""
    try:
        return str(json.loads((folder / NOTE).read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _gather(
    sources: Sources,
) -> tuple[list[np.ndarray], list[Box], list[int], list[np.ndarray]]:
    readers: list[tuple[Iterable[Photo], int]] = []
    if sources.penn_fudan:
        readers.append((penn_fudan_photos(Path(sources.penn_fudan), held_out=False), EMPTY_PER_PHOTO))
    if sources.ccp:
        readers.append((ccp_photos(Path(sources.ccp)), 2))
    if sources.own:
        readers.append((own_photos(Path(sources.own)), 0))
    people: list[np.ndarray] = []
    boxes: list[Box] = []
    labels: list[int] = []
    empty: list[np.ndarray] = []
    for label, (photos, wanted) in enumerate(readers):
        rng = np.random.default_rng([sources.seed & 0xFFFFFFFF, label, 77])
        for photo in photos:
            for one in photo.persons:
                rows = np.flatnonzero(one.any(axis=1))
                if rows[-1] - rows[0] < (MIN_BODY if wanted else 24):
                    continue
                canvas, box = canvas_of(photo, one)
                people.append(canvas)
                boxes.append(box)
                labels.append(label)
            empty.extend(empty_patches(photo, rng, wanted))
    if sources.own and (not labels or labels[-1] != len(readers) - 1):
        raise InputError(
            f"'{printable(sources.own)}' holds no picture with a mask of a person. Expected PICTURE.jpg beside "
            "masks/PICTURE.png, 0 to 255, the same size."
        )
    return people, boxes, labels, empty


def draw_part(task: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic crops number start..stop, (N, 128, 64, 4) uint8 RGB + mask, and a quarter as many empty places, (M, 128, 64, 3)."""
    from reid_data.synth.generate import sample

    seed, start, stop = task
    crops, places = [], []
    for index in range(start, stop):
        network = NETWORKS[index % len(NETWORKS)]
        image, alpha, _ = sample(seed, index, network)
        crops.append(np.dstack([image, np.rint(alpha * 255).astype(np.uint8)]))
        if index % PLACE_EVERY == 0:
            places.append(sample(seed, index, NETWORKS[index // PLACE_EVERY % len(NETWORKS)], empty=1.0)[0])
    return np.array(crops, np.uint8), np.array(places, np.uint8).reshape(-1, *SIZE, 3)


def _save(folder: Path, name: str, array: np.ndarray) -> None:
    with replacing(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, array)
