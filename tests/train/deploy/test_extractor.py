"""One call from pictures to features: the same as `extract` gives, in order, from several threads; bad pictures by number."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reid_data.datasets import load_dataset
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.images import read_image, resize
from reid_data.records import ReidDataset
from reid_train import Extractor
from reid_train.trained import load_trained
from tests.train.conftest import TINY_WIDTH


@pytest.mark.parametrize("changes", [{}, {"flip_test": False}, {"test_feature": "before"}])
def test_features_are_those_of_extract_at_length_one(run: Path, tiny: ReidDataset, changes: dict[str, object]) -> None:
    whole = load_trained(run, device="cpu", changes=changes).features(tiny.gallery, "content", workers=1).feats
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    paths = [record.path for record in tiny.gallery]
    found = Extractor(run, "cpu", batch=7, changes=changes)(paths)
    assert found.dtype == np.float32
    assert found.shape == (len(paths), TINY_WIDTH)
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_every_form_of_a_picture_gives_the_same_row(run: Path, tiny: ReidDataset) -> None:
    extractor = Extractor(str(run / "model.safetensors"), "cpu", batch=2)
    path = tiny.gallery[0].path
    image = read_image(path)
    forms = [path, Path(path), image, Image.fromarray(image), Image.open(path), Path(path).read_bytes()]
    rows = extractor(forms)
    np.testing.assert_allclose(rows, rows[[0] * len(forms)], atol=1e-6)
    for one in forms:
        np.testing.assert_allclose(extractor(one), rows[:1], atol=1e-6)
    np.testing.assert_allclose(extractor(np.stack([image] * 3)), rows[[0] * 3], atol=1e-6)
    assert extractor([]).shape == (0, TINY_WIDTH)


def test_a_copied_model_needs_no_run(run: Path, tiny: ReidDataset, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.safetensors"
    shutil.copyfile(run / "model.safetensors", copy)
    paths = [record.path for record in tiny.query]
    there = Extractor(run, "cpu", changes={"flip_test": False})(paths)
    np.testing.assert_array_equal(
        Extractor(copy, "cpu")(paths), there
    )  # test settings do not travel with a training's model


def test_boxes_are_crops_of_the_frame(run: Path) -> None:
    extractor = Extractor(run, "cpu", batch=2)
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = np.array([[5, 6, 30, 70], [-10, 40, 25.2, 200], [60, 0, 76, 32]])
    crops = [frame[6:70, 5:30], frame[40:90, 0:25], frame[0:32, 60:76]]
    np.testing.assert_array_equal(extractor(frame, boxes), extractor(crops))
    np.testing.assert_array_equal(extractor(Image.fromarray(frame), boxes=boxes), extractor(crops))
    assert extractor(frame, boxes=np.empty((0, 4))).shape == (0, TINY_WIDTH)
    with pytest.raises(UsageError, match="boxes belong to one frame"):
        extractor(crops, boxes)
    with pytest.raises(InputError, match=r"the frame \('absent.jpg'\) does not exist"):
        extractor("absent.jpg", boxes)


def test_bad_pictures_have_numbers(run: Path, tiny: ReidDataset, tmp_path: Path) -> None:
    extractor = Extractor(run, "cpu", batch=2)
    good = tiny.gallery[0].path
    (tmp_path / "empty.jpg").touch()
    pictures = [good, good, good, tmp_path / "empty.jpg", None, good]
    with pytest.raises(InputError, match=r"^picture 3 \('.*empty.jpg'\) is empty \(0 bytes\)\.$"):
        extractor(pictures)
    rows = extractor(pictures, errors="nan")
    assert np.isnan(rows).all(axis=1).tolist() == [False, False, False, True, True, False]
    np.testing.assert_allclose(rows[[0, 1, 2, 5]], extractor([good] * 4), atol=1e-6)
    with pytest.raises(InputError, match=r"^box 1 is .*: it holds no pixel"):
        extractor(good, [(0, 0, 9, 9), (4, 4, 4, 9)])
    assert np.isnan(extractor([None], errors="nan")).all()
    with pytest.raises(UsageError, match="expected raise or nan"):
        extractor(pictures, errors="skip")


def test_a_generator_is_read_two_batches_ahead_at_most(
    run: Path, tiny: ReidDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = Extractor(run, "cpu", batch=4)
    given, embedded = 0, []
    real = extractor._embed
    monkeypatch.setattr(extractor, "_embed", lambda images: embedded.append(given) or real(images))

    def pictures() -> Iterator[str]:
        nonlocal given
        for record in tiny.gallery[:22]:
            given += 1
            yield record.path

    assert len(extractor(pictures())) == 22
    assert embedded == [8, 12, 16, 20, 22, 22]


def test_threads_share_an_extractor(run: Path, tiny: ReidDataset) -> None:
    extractor = Extractor(run, "cpu", batch=3)
    parts = [[record.path for record in tiny.gallery[start : start + 10]] for start in range(0, 40, 10)]
    alone = [extractor(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for one, expected in zip(pool.map(extractor, parts), alone, strict=True):
                np.testing.assert_array_equal(one, expected)


def test_the_process_is_left_as_it_was(run: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(1)
    Extractor(run, "cpu")([record.path for record in load_dataset("tiny", tiny_root).query])
    assert torch.get_num_threads() == 1


def test_what_cannot_be_opened(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run"):
        Extractor(tmp_path / "nothing")
    with pytest.raises(UsageError, match="expected at least 1"):
        Extractor(run, batch=0)
    with pytest.raises(UsageError, match="expected auto, cpu, cuda"):
        Extractor(run, device="tpu")
    with pytest.raises(EnvironmentFault, match="no such device"):
        Extractor(run, device="cuda:99")
    with pytest.raises(UsageError, match="lr belongs to the training"):
        Extractor(run, changes={"lr": 1})
    (tmp_path / "x.safetensors").write_bytes(b"not it")
    with pytest.raises(InputError, match="is not a readable safetensors file"):
        Extractor(tmp_path / "x.safetensors")


def test_resizing_is_that_of_training(run: Path, tiny: ReidDataset) -> None:
    extractor = Extractor(run, "cpu")
    image = read_image(tiny.gallery[0].path)
    large = np.repeat(np.repeat(image, 3, 0), 2, 1)
    np.testing.assert_allclose(extractor(large), extractor(resize(large, (32, 16))), atol=1e-6)
