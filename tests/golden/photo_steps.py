"""What each step gives on its drawn input: masks, plates, composition, plan, JPEG."""

from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.compose.blend import BLENDS, paste
from reid_data.compose.harmonise import brighten, contact_shadow, luminance_gain, match_sharpness
from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import PAIRINGS, PlanSettings, make_plan
from reid_data.compose.rim import decontaminate, old_background, seam_ratio
from reid_data.compose.settings import limit_records, num_plates
from reid_data.compose.swap import BackgroundSwap
from reid_data.export.masks import cut_out
from reid_data.export.subset import SubsetSettings, choose_records, market_names
from reid_data.files import write_atomic
from reid_data.images import encode_jpeg, encode_mask, encode_png, resize
from reid_data.jpeg import usual_quality, written_quality
from reid_data.masks import edge_support, fill_holes, grow, iou, judge, largest_part, looseness, thumbnail
from reid_data.plates.crops import Plate, PlateSettings, candidate_order, make_plate, person_hole
from reid_data.plates.files import fit_plate
from reid_data.plates.fill import fill_rows, fill_telea
from reid_data.plates.scenes import Search, frame_pieces, picture_source, scene_pieces
from reid_data.plates.sides import background_sides
from reid_data.records import SPLITS, Card, Record, ReidDataset
from reid_data.seeds import image_seed
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.cache import Masked, Unusable
from reid_data.segment.central import central_person
from reid_data.segment.grabcut import GrabCutSegmenter
from reid_data.segment.prompts import Prompts
from reid_data.segment.sam import enlarge_all, fuse, mobile_sam
from reid_data.segment.silhouette import draw_silhouette
from reid_data.segment.small_net import SmallSegmenter, enlarge, reduce
from reid_data.segment.survey import MaskInfo
from tests.golden.digest import Near
from tests.golden.inputs import alpha, person_mask, photograph, records, street, write_pictures

SEEDS = (0, 1, 2)
SIZES = ((64, 32), (160, 70))


def resized(folder: Path) -> Any:
    return [resize(photograph(0), size) for size in ((32, 16), (100, 41))] + [resize(photograph(1)[:, :, 0], (31, 17))]


def encoded(folder: Path) -> Any:
    four = np.dstack([photograph(0), person_mask(0)])
    return [encode_jpeg(photograph(0), quality) for quality in (70, 95)] + [encode_png(four), encode_mask(alpha(0))]


def clean_masks(folder: Path) -> Any:
    rng = np.random.default_rng(3)
    given = []
    for seed in SEEDS:
        specks = (person_mask(seed) > 127) ^ (rng.integers(0, 12, (64, 32)) == 0)
        given += [largest_part(specks), fill_holes(specks, 0.02), fill_holes(specks, 0.2), thumbnail(specks)]
        given += [grow(person_mask(seed) > 127, reach) for reach in (1.0, 3.5)]
    return given


def mask_quality(folder: Path) -> Any:
    given: list[Any] = []
    for seed in SEEDS:
        soft, hard = alpha(seed), alpha(seed, soft=False)
        cut = np.where(np.arange(64)[:, None] < 40, soft, 0)
        narrow, wide, flat = np.roll(soft, 12, 1), np.ones_like(soft), np.zeros_like(soft)
        scraps = np.where(np.arange(64)[:, None] % 20 < 15, soft, 0)
        given += [[verdict.quality, verdict.reasons, verdict.area] for verdict in map(judge, (soft, hard, cut, narrow))]
        given += [[verdict.quality, verdict.reasons, verdict.area] for verdict in map(judge, (wide, flat, scraps))]
        given += [looseness(soft), iou(soft > 0.3, hard > 0.5), edge_support(photograph(seed), soft > 0.5)]
    return given


def central_people(folder: Path) -> Any:
    given = []
    for seed in SEEDS:
        crowd = alpha(seed, (96, 64))
        crowd[:30, :6] = 0.8
        crowd[50:52] = 0
        crowd[5:7, 50:52] = 1
        given.append(central_person(crowd))
    return [*given, central_person(np.full((64, 32), 0.4, np.float32))]


def grabcut(folder: Path) -> Any:
    rng = np.random.default_rng(0)
    found = GrabCutSegmenter().segment([], [photograph(seed, size) for seed, size in zip(SEEDS, (*SIZES, (128, 64)))])
    fitted = GrabCutSegmenter(tall=0.9, wide=0.8).segment([], [photograph(4, (128, 64))])
    return [*found[0], found[1], *fitted[0], np.rint(draw_silhouette(rng) * 255).astype(np.uint8)]


def small_network(folder: Path) -> Any:
    pictures = [photograph(seed, size) for seed in SEEDS for size in SIZES]
    chances = [SmallSegmenter("small", flip=flip, device="cpu").chances(pictures[:3])[0] for flip in (False, True)]
    masks, _ = SmallSegmenter("small-synth", device="cpu").segment([], pictures)
    frames = [reduce(pictures[0]), enlarge(chances[0], pictures[0]), enlarge(chances[0], photograph(0, (300, 200)))]
    return Near((*chances, *masks, *frames[1:]), frames[0])


def sam(folder: Path) -> Any:
    """Without its network: how pictures are enlarged, what is asked, and how the answer is fused."""
    made = mobile_sam()
    canvas, sizes = enlarge_all(made, [photograph(0), photograph(2)])
    other, other_sizes = enlarge_all(made, [photograph(1, (160, 70))])
    prompts = Prompts.of([alpha(seed, (128, 64)) for seed in SEEDS])
    fused = fuse(np.linspace(-9, 9, 64 * 32, dtype=np.float32).reshape(64, 32), alpha(0))
    masks = prompts.mask([(32, 16), (30, 14), (32, 15)], 32, 16)[:, 0]
    asked = [prompts.points.round(4), prompts.labels, prompts.boxes.round(4), sizes, other_sizes]
    return Near((*canvas, *other, *masks, fused), also=asked)


def filled_rows(folder: Path) -> Any:
    sizes = (*SIZES, (256, 128))  # the narrowest window counts from about 128 columns on
    return Near(
        tuple(fill_rows(photograph(seed, size), alpha(seed, size) > 0.3, seed) for seed in SEEDS for size in sizes)
    )


def filled_telea(folder: Path) -> Any:
    return tuple(fill_telea(photograph(seed), alpha(seed) > 0.3, seed) for seed in SEEDS)


def crop_plates(folder: Path) -> Any:
    """Which crops are tried in which order, what is invented, and which numbers its grain is drawn from."""
    order = [record.name for record in candidate_order(records(6, 3, "train"), 5)]
    holes = [person_hole(alpha(seed, size), dilation) for seed in SEEDS for size in SIZES for dilation in (6.0, 9.0)]
    masked = Masked(records(1, 1, "train")[0], photograph(0), "0123abcd" * 8, alpha(0), 1.0)
    plate, hole = make_plate(masked, PlateSettings(fill="telea"))
    drawn = [image_seed(5, "plates train")]
    return [order, holes, hole, bool((plate[~hole] == masked.image[~hole]).all()), drawn]


class _Watcher(PlainSegmenter):
    """A segmenter that sees somebody where a picture's upper left corner is bright."""

    name, cached, max_workers, batch, tells_empties = "watcher", True, None, 16, True

    def digest(self, given: Any = ()) -> str:
        return "watcher"

    def segment(self, given: Any, images: Any) -> tuple[list[np.ndarray], list[float]]:
        return [np.full(image.shape[:2], image[:8, :8].mean() > 165, np.float32) for image in images], [1.0] * len(
            images
        )


def _pieces(pieces: Any) -> list[Any]:
    return [[one.record.name, one.side, one.reason, one.about, one.data is not None] for one in pieces]


def scene_plates(folder: Path) -> Any:
    for camera in ("first", "second"):
        write_pictures(folder / camera, [street(seed) for seed in range(2)] + [photograph(9, (200, 90))])
    source = picture_source(folder, "drawn")
    search = Search(7, _Watcher(), 0.02, 3, 1)
    sides = {"train": source.train, "test": source.gallery}
    return [_pieces(scene_pieces(part, side, search, lambda *done: None)) for side, part in sides.items()]


def frame_plates(folder: Path) -> Any:
    place = street(5)
    moving = [place.copy() for _ in range(5)]
    for number, frame in enumerate(moving):
        frame[140:240, 60 * number : 60 * number + 40] = 200 - 30 * number
    write_pictures(folder / "camera", moving)
    source = picture_source(folder, "drawn", frames=True)
    pieces = list(frame_pieces(source.train, Search(3, _Watcher(), 0.02, 3, 1), lambda *done: None))
    return [*_pieces(pieces), [one.data for one in pieces]]


def fitted_plates(folder: Path) -> Any:
    return [fit_plate(street(1)[:h, :w], size) for h, w in ((300, 90), (120, 400), (40, 20)) for size in SIZES]


def sides(folder: Path) -> Any:
    def dataset(train: list[Record], gallery: list[Record]) -> ReidDataset:
        return ReidDataset(Card("there", "real"), Path("there"), train, [], gallery)

    both = dataset(records(3, 2, "train"), records(3, 2, "gallery", first=9))
    one = dataset(records(5, 2, "train"), [])
    query = replace(both, query=records(3, 1, "query", first=10))
    cut = [record.name for record in limit_records(query, 2)]
    found = [
        [side, [record.name for record in part]]
        for data in (both, one)
        for side, part in background_sides(data).items()
    ]
    return [found, cut, [num_plates(images, 6) for images in (1, 100, 751)]]


def blended(folder: Path) -> Any:
    masks = [alpha(seed, size, soft=soft) for seed in SEEDS for size in SIZES for soft in (False, True)]
    pasted = [paste(photograph(seed), photograph(seed + 5), alpha(seed)) for seed in SEEDS]
    return Near(tuple(blend(mask) for mask in masks for blend in BLENDS.values()), pasted)


def rims(folder: Path) -> Any:
    return Near(
        tuple(
            decontaminate(photograph(seed, size), alpha(seed, size, soft=soft)) / 255
            for seed in SEEDS
            for size in SIZES
            for soft in (False, True)
        )
    )


def cut_outs(folder: Path) -> Any:
    return Near(
        tuple(
            cut_out(photograph(seed, size), alpha(seed, size, soft=soft)) / 255
            for seed in SEEDS
            for size in SIZES
            for soft in (False, True)
        )
    )


def rim_judges(folder: Path) -> Any:
    given = []
    for seed in SEEDS:
        source, plate, mask = photograph(seed, (128, 64)), photograph(seed + 5, (128, 64)), alpha(seed, (128, 64))
        for pasted in (paste(source, plate, mask), source):
            given += [seam_ratio(pasted, source, mask), old_background(pasted, source, plate, mask)]
    return [None if value is None else round(value, 4) for value in given]


def lights(folder: Path) -> Any:
    given = []
    for seed in SEEDS:
        source, plate = photograph(seed), photograph(seed + 5) // 2 + 20 * seed
        gain = luminance_gain(source, alpha(seed), plate.astype(np.uint8))
        given += [np.full((1, 1), gain), brighten(source, gain) / 255, brighten(source, 1.9) / 255]
    return tuple(given)


def sharpnesses(folder: Path) -> Any:
    given = []
    for seed in SEEDS:
        noise = np.random.default_rng(seed).integers(0, 40 + 60 * seed, (128, 64, 3), dtype=np.uint8)
        given.append(
            match_sharpness(
                photograph(seed + 5, (128, 64)) // 2 + noise, photograph(seed, (128, 64)), alpha(seed, (128, 64))
            )
        )
    return tuple(given)


def shadows(folder: Path) -> Any:
    return tuple(contact_shadow(photograph(seed, size), alpha(seed, size)) for seed in SEEDS for size in SIZES)


def composites(folder: Path) -> Any:
    kinds = [Steps(), Steps(blend="hard", decontaminate=False), Steps(match_luminance=False, contact_shadow=False)]
    size = (128, 64)
    return tuple(
        compose(photograph(seed, size), alpha(seed, size), photograph(seed + 5, size) ^ np.uint8(64), steps)
        for seed in SEEDS
        for steps in kinds
    )


def swaps(folder: Path) -> Any:
    plates = write_pictures(
        folder,
        [np.dstack([np.full((64, 32, 3), 20 * number, np.uint8), person_mask(number) ^ 255]) for number in range(9)],
    )
    swap = BackgroundSwap(plates, {"blend": "hard", "match_luminance": False, "contact_shadow": False}, p=0.6)
    found = []
    for seed in range(12):
        swap.set_random_seed(seed)
        image = swap(image=photograph(seed), mask=alpha(seed))["image"]
        found.append([int(image[0, 0].max()), image.shape])
    return found


def jpeg_qualities(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, quality in enumerate((40, 60, 75, 88, 88, 92, 99)):
        names.append(f"{number}.jpg")
        write_atomic(folder / names[-1], encode_jpeg(photograph(number), quality))
    kept = [Record(str(folder), name, 1, 1, "train") for name in names]
    written = [written_quality(encode_jpeg(photograph(0), quality)) for quality in range(20, 101)]
    return [written, usual_quality(kept), usual_quality(kept[:1]), usual_quality(kept[-1:]), usual_quality([])]


def plans(folder: Path) -> Any:
    people = [*records(9, 3, "train"), *records(3, 2, "query", first=20), *records(3, 3, "gallery", first=20)]
    people += [
        Record("there", "odd name.png", 0, 2, "gallery"),
        Record("there", "-1_c1s1_000001_00.jpg", -1, 1, "gallery"),
    ]
    infos: list[MaskInfo | Unusable] = []
    for number, record in enumerate(people):
        thumb = thumbnail(person_mask(number) > 127)
        area = 0.0 if number % 11 == 5 else 0.31
        infos.append(MaskInfo(record, f"{number:064x}", (64, 32), (number * 7 % 10) / 10, area, ("loose",), thumb))
    infos[4] = Unusable(people[4], "is damaged")
    plates = [
        Plate(
            record,
            record.name,
            f"{number:064x}",
            (128, 64),
            1.0,
            thumbnail(grow(person_mask(number) > 127, number % 5)),
        )
        for number, record in enumerate(records(6, 4, "train", root="there", first=5))
    ]
    settings = [PlanSettings(pairing=pairing, max_reuse=reuse, seed=7) for pairing in PAIRINGS for reuse in (1, 6)]
    plans = [make_plan(infos, {"train": plates, "test": plates[::2]}, one) for one in [PlanSettings(), *settings]]
    return [[(astuple(task.record)[:5], *astuple(task)[1:]) for task in plan] for plan in plans]


def subsets(folder: Path) -> Any:
    """Whose pictures are taken by every way of choosing, and how they are called where names do not say it."""
    people = [*records(9, 3, "train"), *records(12, 2, "query", first=20), *records(12, 3, "gallery", first=20)]
    people += [Record("there", f"{pid}.png", pid, 2, "gallery") for pid in (0, -1, 33)]
    splits = ([record for record in people if record.split == split] for split in SPLITS)
    whole = ReidDataset(Card("whole"), Path("there"), *splits)
    ways: list[dict[str, Any]] = [
        {},
        {"ids": "even"},
        {"ids": "odd", "cameras": (2, 3)},
        {"ids": "listed", "pids": (21, 3)},
    ]
    ways += [{"ids": share, "seed": seed} for share in ("0.3", "0.6") for seed in (0, 1)]
    chosen = [choose_records(whole, SubsetSettings(**way)) for way in ways]
    return [[(record.name, record.pid, name) for record, name in zip(one, market_names(one))] for one in chosen]


STEPS = {
    "subset": subsets,
    "resize": resized,
    "encoding": encoded,
    "mask-clean-up": clean_masks,
    "mask-quality": mask_quality,
    "central-person": central_people,
    "grabcut": grabcut,
    "small-network": small_network,
    "sam": sam,
    "fill-rows": filled_rows,
    "fill-telea": filled_telea,
    "plates-crops": crop_plates,
    "plates-scenes": scene_plates,
    "plates-frames": frame_plates,
    "plate-fit": fitted_plates,
    "sides": sides,
    "blend": blended,
    "rim": rims,
    "cut-out": cut_outs,
    "rim-judges": rim_judges,
    "light": lights,
    "sharpness": sharpnesses,
    "shadow": shadows,
    "composition": composites,
    "swap": swaps,
    "jpeg-quality": jpeg_qualities,
    "plan": plans,
}
