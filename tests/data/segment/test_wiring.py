"""Every setting of the segmenters, of what they export, of synthetic sets and of the background swap reaches what it is for."""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from reid_data.compose.in_training import prepare_swap, swap_digest
from reid_data.compose.picture import Steps
from reid_data.compose.swap import BackgroundSwap
from reid_data.datasets import load_dataset
from reid_data.export.masks import ExportSettings, export_masks
from reid_data.images import encode_png
from reid_data.records import Record
from reid_data.segment import sam
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.grabcut import GrabCutSegmenter
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.segment.sam import SamSegmenter
from reid_data.segment.small_net import SmallSegmenter, bundled_weights
from reid_data.synth import generate as maker
from reid_data.synth.generate import generate, settings_of
from reid_data.synth.layout import Job
from reid_data.transforms import A
from tests.data.people import ellipse_mask, person_picture, write_people_set
from tests.wiring import Outputs, Wire, check_wire, compare_outputs, field_names


def noisy_people(number: int = 6) -> list[np.ndarray]:
    """Pictures (96, 48, 3) in which the person, in other trousers than shirts, is not easy to find."""
    pictures = []
    for seed in range(number):
        rng = np.random.default_rng(seed)
        image = cv2.GaussianBlur(rng.integers(0, 256, (96, 48, 3), np.uint8), (0, 0), 8).astype(float)
        body = ellipse_mask((96, 48), shift=rng.uniform(-3, 3))
        image[body] *= 0.9
        image[48:][body[48:]] += 30
        pictures.append(np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8))
    return pictures


GRABCUT_WIRES = {
    "sure_background": Wire(0.25, ("digest", "masks")),
    "maybe_person": Wire(0.65, ("digest", "masks")),
    "sure_person": Wire(0.95, ("digest", "masks")),
    "maybe_limb": Wire(0.45, ("digest", "masks")),
    "sure_limb": Wire(0.25, ("digest", "masks")),
    "iterations": Wire(3, ("digest", "masks")),
    "height": Wire(64, ("digest", "masks")),
    "tall": Wire(0.82, ("digest", "masks")),
    "wide": Wire(0.8, ("digest", "masks")),
}


@pytest.mark.parametrize("name", list(field_names(GrabCutSegmenter())))
def test_grabcut(name: str) -> None:
    def observe(segmenter: GrabCutSegmenter) -> Outputs:
        masks, _ = segmenter.segment([], noisy_people())
        return {"digest": segmenter.digest(), "masks": [mask.tobytes() for mask in masks]}

    check_wire(name, GRABCUT_WIRES, GrabCutSegmenter(), observe)


DRAWN = SmallSegmenter(device="cpu")
SMALL_WIRES = {
    "name": Wire("small-synth", ("digest", "masks")),
    "weights": Wire(str(bundled_weights("small-synth")), ("digest", "masks")),
    "flip": Wire(True, ("digest", "masks")),
    "device": Wire("cuda:1", ("digest", "device", "batch", "max_workers")),
}


@pytest.mark.parametrize("name", list(field_names(DRAWN)))
def test_small(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def observe(segmenter: SmallSegmenter) -> Outputs:
        masks, _ = replace(segmenter, device="cpu").segment([], noisy_people(2))  # such a device need not be there
        return {
            "digest": segmenter.digest(),
            "device": segmenter.resolved_device,
            "batch": segmenter.batch,
            "max_workers": segmenter.max_workers,
            "masks": [mask.tobytes() for mask in masks],
        }

    check_wire(name, SMALL_WIRES, DRAWN, observe)


SAM_WIRES = {
    "model": Wire("vit_b", ("digest", "loaded")),
    "weights": Wire("elsewhere.pth", ("digest", "loaded")),
    "device": Wire("cuda:1", ("digest", "loaded", "batch")),
}


@pytest.mark.parametrize("name", list(field_names(SamSegmenter())))
def test_sam(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the network itself replaced."""
    loaded: list[tuple[str, str, str]] = []
    person = ellipse_mask((96, 48)).astype(np.float32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(sam, "checked_weights", lambda model, weights: (Path(weights), f"sha of {model} {weights}"))
    monkeypatch.setattr(sam, "load_sam", lambda *given: loaded.append(given))
    monkeypatch.setattr(sam, "ask", lambda *_: [8 * person - 4])
    monkeypatch.setattr(SmallSegmenter, "chances", lambda *_: cv2.resize(person, (64, 128))[None])

    def observe(segmenter: SamSegmenter) -> Outputs:
        loaded.clear()
        segmenter.segment([], [np.zeros((96, 48, 3), np.uint8)])
        return {
            "digest": segmenter.digest(),
            "loaded": list(loaded),
            "batch": segmenter.batch,
        }

    check_wire(name, SAM_WIRES, SamSegmenter(device="cpu"), observe)


@pytest.mark.parametrize("name", list(field_names(PrecomputedSegmenter())))
def test_precomputed(name: str, tmp_path: Path) -> None:
    root, other = (write_people_set(tmp_path / letter, seed=seed) for letter, seed in (("a", 0), ("b", 50)))
    records = load_dataset(str(root), tmp_path).train
    images = [np.zeros((48, 24, 3), np.uint8)] * len(records)
    wires = {"roots": Wire({str(root): str(other / "masks")}, ("digest", "masks"))}

    def observe(segmenter: PrecomputedSegmenter) -> Outputs:
        masks, _ = segmenter.segment(records, images)
        return {"digest": segmenter.digest(records), "masks": [mask.tobytes() for mask in masks]}

    check_wire(name, wires, PrecomputedSegmenter(), observe)


class LeansLeft(PlainSegmenter):
    """A mask left of the middle of every picture, also of a mirrored one."""

    name, cached, max_workers, batch = "left", True, 1, 16

    def digest(self, records: Sequence[Record] = ()) -> str:
        """Of nothing."""
        return "0" * 64

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """Hard masks."""
        return [ellipse_mask(image.shape[:2], shift=-4).astype(np.float32) for image in images], [0.8] * len(images)


EXPORT_WIRES = {
    "kind": Wire("rgba", ("header", "files")),
    "min_quality": Wire(0.9, ("header", "verdicts", "counts")),
    "mirror": Wire(True, ("header", "qualities", "verdicts", "counts", "reasons")),
    "keep_colour": Wire(True, ("header", "files"), {"kind": "rgba"}),
}


@pytest.mark.parametrize("name", list(field_names(ExportSettings())))
def test_export(name: str, tmp_path: Path) -> None:
    records = load_dataset(str(write_people_set(tmp_path / "people")), tmp_path).train

    def observe(settings: ExportSettings) -> Outputs:
        out = tmp_path / f"{settings}"
        counts = export_masks(records, out, LeansLeft(), settings)
        header, *rows = [json.loads(line) for line in (out / "masks.jsonl").read_text().splitlines()]
        return {
            "header": header,
            "counts": counts,
            "files": {path.name: path.read_bytes() for path in out.rglob("*.png")},
            "qualities": [row["quality"] for row in rows],
            "verdicts": [row["verdict"] for row in rows],
            "reasons": [row["reasons"] for row in rows],
        }

    check_wire(name, EXPORT_WIRES, ExportSettings(), observe)


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of what a function takes."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


SYNTH: dict[str, Any] = {"network": "market", "num_train": 6, "num_ids": 3, "seed": 0}
SYNTH_VALUES: dict[str, Any] = {"network": "duke", "num_train": 8, "num_ids": 2, "seed": 1}
NO_SYNTH_SETTINGS = {"root", "progress", "workers"}  # that workers change nothing: see test_synth


def observe_synth(root: Path, settings: dict[str, Any]) -> Outputs:
    """What a synthetic set holds; only one of its pictures is drawn."""
    whole, tasks = maker._write_group, []

    def first_picture(task: tuple[str, str, int, list[Job]]) -> int:
        tasks.append(task)
        folder, network, seed, jobs = task
        return whole((folder, network, seed, jobs[:1])) if len(tasks) == 1 else 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maker, "_write_group", first_picture)
        made = generate(root, **settings)
    pictures = [path.read_bytes() for path in sorted(root.rglob("*.??g"))]
    assert len(pictures) == 3
    document = json.loads((root / "dataset.json").read_text())
    return {
        "digest": document["settings_digest"],
        "names": [record.name for record in made.records],
        "pictures": pictures,
    }


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """The set of SYNTH."""
    return observe_synth(tmp_path_factory.mktemp("synth") / "set", SYNTH)


@pytest.mark.parametrize("name", [name for name in parameters(generate) if name not in NO_SYNTH_SETTINGS])
def test_synthetic_sets(name: str, synthetic: Outputs, tmp_path: Path) -> None:
    made = observe_synth(tmp_path / "set", {**SYNTH, name: SYNTH_VALUES[name]})
    compare_outputs(name, synthetic, made, ("digest", "names", "pictures"))


def test_the_key_of_a_synthetic_set_holds_every_setting() -> None:
    settings = settings_of(**SYNTH)
    assert set(settings) == {*SYNTH, "generator"}


@pytest.fixture
def plates(tmp_path: Path) -> list[str]:
    """Paths of plates that are brighter and sharper than the people, a stripe of each invented."""
    paths = []
    for number in range(12):
        rng = np.random.default_rng(number)
        plate = rng.normal(100 + 10 * number, 30, (96, 48, 3)).clip(0, 255).astype(np.uint8)
        known = np.full((96, 48, 1), 255, np.uint8)
        known[:, 4 * number : 4 * number + 4] = 0
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode_png(np.dstack([plate, known])))
        paths.append(str(path))
    return paths


def observe_swap(swap: BackgroundSwap) -> Outputs:
    """What a swap draws, and how it is written down."""
    image, mask = person_picture(3, (96, 48))
    alpha = cv2.GaussianBlur(np.roll(mask, -4, axis=0).astype(np.float32), (0, 0), 1.2)
    swap.set_random_seed(5)
    drawn = [np.asarray(swap(image=cv2.GaussianBlur(image, (0, 0), 1.5), mask=alpha)["image"]) for _ in range(8)]
    return {"pictures": [one.tobytes() for one in drawn], "written": A.to_dict(swap)}


@pytest.mark.parametrize("name", parameters(BackgroundSwap.__init__))
def test_background_swap(name: str, plates: list[str]) -> None:
    settings: dict[str, Any] = {"plates": plates, "steps": None, "tries": 4, "p": 0.5}
    values = {"plates": plates[::-1], "steps": {"blend": "hard"}, "tries": 1, "p": 0.9}
    after = observe_swap(BackgroundSwap(**{**settings, name: values[name]}))
    compare_outputs(name, observe_swap(BackgroundSwap(**settings)), after, ("pictures", "written"))


@pytest.mark.parametrize("name", [one.name for one in fields(Steps)])
def test_steps_of_a_background_swap(name: str, plates: list[str]) -> None:
    values = asdict(Steps("hard", False, False, False, False, jpeg_quality=50))
    before = observe_swap(BackgroundSwap(plates, p=1))
    after = observe_swap(BackgroundSwap(plates, {name: values[name]}, p=1))
    compare_outputs(name, before, after, ("pictures", "written"))


PREPARE_WIRES: dict[str, tuple[str, ...]] = {
    "records": ("counts",),
    "bg": ("pictures", "plates", "digest"),
    "segmenter": ("pictures", "digest"),
    "probability": ("pictures",),
    "seed": ("pictures", "plates"),
    "workers": (),
    "progress": (),
}


@pytest.mark.parametrize("name", parameters(prepare_swap))
def test_the_swap_of_a_training(name: str, tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", 6)), tmp_path)
    bg, other = (
        load_dataset(str(write_people_set(tmp_path / key, 40, seed=seed)), tmp_path)
        for key, seed in (("a", 50), ("b", 500))
    )
    given: dict[str, Any] = {
        "records": people.train,
        "bg": bg,
        "segmenter": PrecomputedSegmenter(),
        "probability": 0.4,
        "seed": 0,
        "workers": 1,
        "progress": lambda *_: None,
    }
    values = {
        "records": people.train[:-1],
        "bg": other,
        "segmenter": GrabCutSegmenter(),
        "probability": 0.9,
        "seed": 1,
        "workers": 2,
        "progress": lambda stage, done, total: None,
    }

    def observe(**given: Any) -> Outputs:
        swap = prepare_swap(**given)
        pictures = [swap(record, seed) for seed in range(3) for record in people.train]
        return {
            "pictures": [None if one is None else one.tobytes() for one in pictures],
            "plates": sorted(Path(path).name for path in swap.swap.paths),
            "counts": (swap.usable, swap.images),
            "digest": swap_digest(given["bg"], given["segmenter"]),
        }

    compare_outputs(name, observe(**given), observe(**{**given, name: values[name]}), PREPARE_WIRES[name])
