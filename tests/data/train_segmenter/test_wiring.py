"""Every setting of a segmenter's training, and every source of its pictures, reaches what it is for."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from reid_data.errors import EnvironmentFault
from reid_data.images import encode_mask, encode_png
from reid_data.train_segmenter import bank as banks
from reid_data.train_segmenter import run as training
from tests.wiring import Outputs, Wire, check_wire, field_names


def person_photo(seed: int, height: int = 170, width: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) of a place with one standing figure at its left, and the figure's mask, bool."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (60, height // 2), (22, int(height * 0.42)), 0, 0, 360, 1, -1)
    image = rng.integers(0, 120, (height, width, 3), np.uint8)
    image[mask > 0] += 100
    return image, mask > 0


def write_own(root: Path) -> Path:
    """A user's pictures with masks."""
    (root / "masks").mkdir(parents=True)
    for number in range(2):
        image, mask = person_photo(number)
        (root / f"{number}.png").write_bytes(encode_png(image))
        (root / "masks" / f"{number}.png").write_bytes(encode_mask(mask.astype(np.float32)))
    return root


def write_penn_fudan(root: Path) -> Path:
    """One photograph as in Penn-Fudan."""
    image, mask = person_photo(7)
    for folder, name, data in (("PNGImages", "FudanPed00001", image), ("PedMasks", "FudanPed00001_mask", mask)):
        (root / folder).mkdir(parents=True)
        (root / folder / f"{name}.png").write_bytes(encode_png(data.astype(np.uint8)))
    return root


def write_ccp(root: Path) -> Path:
    """One photograph as in clothing-co-parsing."""
    image, mask = person_photo(8)
    (root / "annotations" / "pixel-level").mkdir(parents=True)
    (root / "photos").mkdir()
    (root / "photos" / "0001.jpg").write_bytes(encode_png(image))
    savemat(root / "annotations" / "pixel-level" / "0001.mat", {"groundtruth": mask.astype(np.uint8)})
    return root


@pytest.mark.parametrize("name", list(field_names(banks.Sources())))
def test_sources(name: str, tmp_path: Path) -> None:
    start = banks.Sources(own=str(write_own(tmp_path / "own")), penn_fudan=str(write_penn_fudan(tmp_path / "penn")))
    wires = {
        "penn_fudan": Wire("", ("digest", "people", "empty")),
        "ccp": Wire(str(write_ccp(tmp_path / "ccp")), ("digest", "people", "empty")),
        "own": Wire("", ("digest", "people")),
        "drawn": Wire(1, ("digest", "drawn", "places")),
        "seed": Wire(1, ("digest", "empty")),
    }

    def observe(sources: banks.Sources) -> Outputs:
        folder = tmp_path / f"bank {banks.sources_digest(sources)}"
        bank = banks.build_bank(folder, sources, 1)
        held = {part: getattr(bank, part).tobytes() for part in ("people", "empty", "drawn", "places")}
        return {"digest": banks.bank_digest(folder), **held}

    check_wire(name, wires, start, observe)


def test_the_seed_of_the_synthetic_crops() -> None:
    first, second = (banks.draw_part((seed, 0, 1)) for seed in (0, 1))
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cut-outs, empty places and, instead of slow synthetic crops, noise."""
    root = tmp_path_factory.mktemp("trainer")
    banks.build_bank(root / "bank", banks.Sources(own=str(write_own(root / "own"))), 1)
    rng = np.random.default_rng(0)
    for part, shape in (("empty", (3, 176, 96, 3)), ("drawn", (3, 128, 64, 4)), ("places", (3, 128, 64, 3))):
        np.save(root / "bank" / f"{part}.npy", rng.integers(0, 256, shape, np.uint8))
    return root / "bank"


LEARNT = ("losses", "net", "averaged")
TRAINING = training.TrainSettings(steps=4, batch=2, warmup=0.5)
TRAINING_WIRES = {
    "steps": Wire(3, ("batches", *LEARNT)),
    "batch": Wire(3, ("batches", *LEARNT)),
    "rate": Wire(8e-3, LEARNT),
    "matrix_rate": Wire(0.06, LEARNT),
    "warmup": Wire(0.25, LEARNT),
    "weight_decay": Wire(0.5, LEARNT),
    "average": Wire(0.01, ("averaged",)),
    "trust_after": Wire(0.9, LEARNT, {"empty": 0.5}),
    "empty": Wire(0.9, ("batches", *LEARNT)),
    "drawn": Wire(0.8, ("batches", *LEARNT)),
    "seed": Wire(1, ("batches", *LEARNT)),
    "start": Wire("small", LEARNT),
    "bf16": Wire(True, LEARNT),
}


@pytest.mark.parametrize("name", list(field_names(TRAINING)))
def test_training(name: str, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every empty sample is taken for a labelling fault, so that it matters when that begins."""
    torch.set_num_threads(1)
    monkeypatch.setattr(training, "UNLABELLED", -1.0)
    seen: list[bytes] = []
    whole = training._step

    def step(state: training.State, images: np.ndarray, masks: np.ndarray, *given: object) -> float:
        seen.append(images.tobytes() + masks.tobytes())
        return whole(state, images, masks, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", step)

    def observe(settings: training.TrainSettings) -> Outputs:
        seen.clear()
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folded = training.train(bank, folder, settings, checkpoint_every=1)
        state = torch.load(folder / training.STATE, weights_only=True)
        rows = [json.loads(line) for line in (folder / training.LOG).read_text().splitlines()]
        return {
            "batches": list(seen),
            "losses": [row["loss"] for row in rows],
            "net": [weight.numpy().tobytes() for weight in state["net"].values()],
            "averaged": [weight.numpy().tobytes() for weight in folded.state_dict().values()],
        }

    check_wire(name, TRAINING_WIRES, TRAINING, observe)


@pytest.mark.parametrize("name", list(field_names(TRAINING)))
def test_a_training_goes_on_with_the_same_settings_only(name: str, tmp_path: Path) -> None:
    """All but the number of steps, which may grow."""
    state = {"settings": asdict(TRAINING), "bank": "x", "step": 2}
    other = replace(TRAINING, **{name: TRAINING_WIRES[name].value})
    training._refuse_other(state, TRAINING, "x", tmp_path)
    if name == "steps":
        training._refuse_other(state, other, "x", tmp_path)
    else:
        with pytest.raises(EnvironmentFault, match=f"{name} "):
            training._refuse_other(state, other, "x", tmp_path)
