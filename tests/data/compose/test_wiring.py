"""Every setting of composites and background sets reaches what it is for."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.settings import CompositeSettings
from reid_data.datasets import load_dataset
from reid_data.images import write_image
from reid_data.manifest import Manifest, read_manifest
from reid_data.masks import grow, largest_part
from reid_data.plates.build import BackgroundSettings, build_backgrounds
from reid_data.records import Record, ReidDataset
from reid_data.segment.base import PlainSegmenter
from tests.wiring import Outputs, Wire, changed, check_wire, field_names

SIZE = (64, 32)
JUDGED = ("sha256", "looseness", "seam_ratio", "old_background", "uncovered")


class RedIsAPerson(PlainSegmenter):
    """The largest red thing is a person; the mask's quality is .6 where the picture's upper left corner is white, else 1."""

    name = "red"
    tells_empties = True
    cached = True
    max_workers = 1
    batch = 16

    def digest(self, records: Sequence[Record] = ()) -> str:
        """Of nothing."""
        return "0" * 64

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """Soft masks."""
        alphas = []
        for image in images:
            red = np.clip((image[:, :, 0].astype(np.float32) - image[:, :, 1] - 20) / 60, 0, 1)
            alphas.append(np.where(grow(largest_part(red > 0.5), 1.5), red, 0))
        return alphas, [0.6 if image[:3, :3].min() > 200 else 1.0 for image in images]


def draw_crop(seed: int, *, sharp: bool, light: int, doubtful: bool, litter: bool, empty: bool) -> np.ndarray:
    """A red person on a textured ground, `empty`: nobody; `litter`: a red thing beside, which a plate keeps."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    image = np.clip(rng.normal(light, 25, (height, width, 1)) + rng.normal(0, 4, (height, width, 3)), 0, 255)
    image[54:] = light + rng.normal(0, 3, (height - 54, width, 1))
    image[:, :, 2] += np.linspace(-20, 20, height)[:, None]
    y, x = np.mgrid[:height, :width]
    body = ((y - 30) / 24) ** 2 + ((x - 15.5 - rng.uniform(-2, 2)) / 7) ** 2 <= 1
    if not empty:
        image[body] = np.array([190, 40, 40]) + rng.normal(0, 15, (np.count_nonzero(body), 1))
    if litter:
        image[2:6, 26:31] = (220, 20, 20)
    if not sharp:
        image = cv2.GaussianBlur(image, (0, 0), 1.0)
    if doubtful:
        image[:5, :5] = 255
    return np.clip(image, 0, 255).astype(np.uint8)


def write_set(root: Path, cameras: Sequence[int], per_camera: int, *, places: bool) -> Path:
    """People of one picture each on both sides; every fifth is doubtful. `places`: sharp and bright, every second empty, every
    third with litter; else soft and dark."""
    number = 0
    for folder, first in (("bounding_box_train", 1), ("query", 500), ("bounding_box_test", 500)):
        (root / folder).mkdir(parents=True)
        for camera in cameras:
            for index in range(per_camera if folder != "query" else 1):
                number += 1
                name = f"{first + index + 50 * camera:04d}_c{camera}s1_{number:06d}_00.{'png' if places else 'jpg'}"
                crop = draw_crop(
                    number + 1000 * places,
                    sharp=places,
                    light=130 if places else 90,
                    doubtful=number % 5 == 0,
                    litter=places and number % 3 == 0,
                    empty=places and number % 2 == 0,
                )
                write_image(root / folder / name, crop)
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> ReidDataset:
    """Soft, dark pictures of one camera, more than its share of plates."""
    root = tmp_path_factory.mktemp("data")
    return load_dataset(str(write_set(root / "people", [2], 10, places=False)), root)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> ReidDataset:
    """Sharp, bright pictures of four cameras."""
    root = tmp_path_factory.mktemp("data")
    return load_dataset(str(write_set(root / "places", [1, 2, 3, 4], 6, places=True)), root)


def written(root: Path, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """The pictures below a folder, by their own names."""
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*")) if path.suffix in suffixes}


def rows(manifest: Manifest, kind: str) -> list[dict[str, object]]:
    """Rows without what depends on pixels."""
    return [{key: value for key, value in row.items() if key not in JUDGED} for row in manifest.of_kind(kind)]


Observe = Callable[[object], Outputs]


def observer(root: Path, build: Callable[[Path, object], object]) -> Observe:
    """What a built set holds. Each is built with a cache of its own, so that nothing comes out of an earlier one."""

    @cache
    def observe(settings: object) -> Outputs:
        folder = root / str(len(os.listdir(root)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REID_CACHE", str(folder / "cache"))
            build(folder / "set", settings)
        manifest = read_manifest(folder / "set")
        assert manifest is not None
        return {
            "fingerprint": manifest.header["settings"],
            "images": rows(manifest, "image"),
            "crops": rows(manifest, "plate"),
            "plates": written(folder / "cache" / "plates", (".png",)),
            "pictures": written(folder / "set", (".jpg", ".png")),
        }

    return observe


@pytest.fixture(scope="module")
def composite(people: ReidDataset, places: ReidDataset, tmp_path_factory: pytest.TempPathFactory) -> Observe:
    """What a composite holds."""
    return observer(
        tmp_path_factory.mktemp("made"),
        lambda out, settings: build_composite(people, places, out, RedIsAPerson(), settings),
    )


@pytest.fixture(scope="module")
def background_set(places: ReidDataset, tmp_path_factory: pytest.TempPathFactory) -> Observe:
    """What a background set holds."""
    return observer(
        tmp_path_factory.mktemp("made"), lambda out, settings: build_backgrounds(places, out, RedIsAPerson(), settings)
    )


ALL = ("fingerprint", "images", "crops", "pictures")
COMPOSITE = CompositeSettings()
COMPOSITE_WIRES = {
    "plan.min_quality": Wire(0.5, ("fingerprint", "images", "pictures")),
    "plan.pairing": Wire("camera", ("fingerprint", "images", "pictures")),
    "plan.max_reuse": Wire(1, ("fingerprint", "images", "pictures"), {"plan.pairing": "camera"}),
    "plan.seed": Wire(1, (*ALL, "plates")),
    "plates.fill": Wire("telea", ("fingerprint", "plates", "pictures")),
    "plates.dilation": Wire(9.0, ("fingerprint", "images", "plates", "pictures")),
    "plates.min_quality": Wire(0.5, (*ALL, "plates")),
    "plates.max_person": Wire(0.001, (*ALL, "plates")),
    "steps.blend": Wire("hard", ("fingerprint", "pictures")),
    "steps.decontaminate": Wire(False, ("fingerprint", "pictures")),
    "steps.match_luminance": Wire(False, ("fingerprint", "pictures")),
    "steps.match_sharpness": Wire(False, ("fingerprint", "pictures")),
    "steps.contact_shadow": Wire(False, ("fingerprint", "pictures")),
    "steps.jpeg_quality": Wire(50, ("fingerprint", "pictures")),
    "limit": Wire(3, ("fingerprint", "images", "pictures")),
}


def test_composites_have_no_other_settings() -> None:
    assert sorted(COMPOSITE_WIRES) == sorted(field_names(COMPOSITE))


@pytest.mark.parametrize("name", list(field_names(COMPOSITE)))
def test_composites(name: str, composite: Observe) -> None:
    check_wire(name, COMPOSITE_WIRES, COMPOSITE, composite)


CROPS = BackgroundSettings(num=20)
CROP_WIRES = {
    "source": Wire("scenes", (*ALL, "plates")),
    "num": Wire(16, ("fingerprint", "images", "pictures")),
    "plates.fill": Wire("telea", ("fingerprint", "plates", "pictures")),
    "plates.dilation": Wire(9.0, ("fingerprint", "images", "plates", "pictures")),
    "plates.min_quality": Wire(0.5, (*ALL, "plates")),
    "plates.max_person": Wire(0.001, ALL),
    "seed": Wire(1, (*ALL, "plates")),
}
SCENES = changed(CROPS, {"source": "scenes"})
SCENE_WIRES = {
    "source": Wire("crops", (*ALL, "plates")),
    "num": Wire(16, (*ALL,)),
    "plates.fill": Wire("telea", ("fingerprint",)),
    "plates.dilation": Wire(9.0, ("fingerprint",)),
    "plates.min_quality": Wire(0.5, ("fingerprint",)),
    "plates.max_person": Wire(0.001, ALL),
    "seed": Wire(1, ALL),
}


def test_background_sets_have_no_other_settings() -> None:
    assert sorted(CROP_WIRES) == sorted(SCENE_WIRES) == sorted(field_names(CROPS))


@pytest.mark.parametrize("name", list(field_names(CROPS)))
@pytest.mark.parametrize(("settings", "wires"), [(CROPS, CROP_WIRES), (SCENES, SCENE_WIRES)], ids=["crops", "scenes"])
def test_background_sets(
    name: str, settings: BackgroundSettings, wires: dict[str, Wire], background_set: Observe
) -> None:
    check_wire(name, wires, settings, background_set)
