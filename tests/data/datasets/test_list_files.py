"""MSMT17, CUHK03 and PKU-Reid layouts, made by hand."""

import numpy as np
import pytest
from scipy.io import savemat

from reid_data.datasets import load_dataset
from reid_data.errors import InputError
from reid_data.images import write_image
from tests.conftest import random_image


@pytest.mark.parametrize(
    ("folder", "parts"), [("MSMT17_V1", ("train", "test")), ("MSMT17_V2", ("mask_train_v2", "mask_test_v2"))]
)
def test_msmt17(tmp_path, folder, parts):
    root = tmp_path / folder
    for part in parts:
        (root / part).mkdir(parents=True)
    (root / "list_train.txt").write_text(
        "0001/0001_001_03_0303morning_0015_0.jpg 1\n0000/0000_000_01_0303morning_0008_0.jpg 0\n"
    )
    (root / "list_val.txt").write_text("0000/0000_009_14_0303noon_0008_0.jpg 0\n")
    (root / "list_query.txt").write_text("0000/0000_000_05_0303morning_0001_2.jpg 0\n")
    (root / "list_gallery.txt").write_text("0000/0000_001_06_0303morning_0001_2.jpg 0\n")
    dataset = load_dataset("msmt17", tmp_path)
    assert [(record.name, record.pid, record.camid) for record in dataset.train] == [
        (f"{parts[0]}/0000/0000_000_01_0303morning_0008_0.jpg", 1, 1),
        (f"{parts[0]}/0000/0000_009_14_0303noon_0008_0.jpg", 1, 14),
        (f"{parts[0]}/0001/0001_001_03_0303morning_0015_0.jpg", 2, 3),
    ]
    assert dataset.query[0].pid == dataset.gallery[0].pid == 10_001
    assert dataset.query[0].name.startswith(parts[1])


def test_msmt17_faults(tmp_path):
    root = tmp_path / "MSMT17_V1"
    root.mkdir()
    with pytest.raises(InputError, match="none of the folders train, mask_train_v2"):
        load_dataset("msmt17", tmp_path)
    (root / "train").mkdir()
    with pytest.raises(InputError, match=r"list_train.txt' is missing"):
        load_dataset("msmt17", tmp_path)
    (root / "list_train.txt").write_text("0001.jpg\n")
    with pytest.raises(InputError, match=r"list_train.txt line 1"):
        load_dataset("msmt17", tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("cuhk03", "detected"), ("cuhk03-labeled", "labeled")])
def test_cuhk03(tmp_path, name, kind):
    root = tmp_path / "cuhk03"
    root.mkdir()
    names = ["1_001_1_01.png", "1_001_2_02.png", "2_007_1_01.png", "2_007_2_01.png", "2_007_2_02.png"]
    table = {
        "filelist": np.array([[text] for text in names], dtype=object),
        "labels": np.array([[1], [1], [850], [850], [850]]),
        "train_idx": np.array([[2, 1]]),
        "query_idx": np.array([[3]]),
        "gallery_idx": np.array([[4, 5]]),
    }
    savemat(root / f"cuhk03_new_protocol_config_{kind}.mat", table)
    dataset = load_dataset(name, tmp_path)
    assert [(record.name, record.pid, record.camid) for record in dataset.train] == [
        (f"images_{kind}/1_001_1_01.png", 1, 1),
        (f"images_{kind}/1_001_2_02.png", 1, 2),
    ]
    assert [(record.pid, record.camid) for record in dataset.query] == [(850, 1)]
    assert [(record.pid, record.camid) for record in dataset.gallery] == [(850, 2), (850, 2)]


def test_cuhk03_faults(tmp_path):
    (tmp_path / "cuhk03").mkdir()
    with pytest.raises(InputError, match="needs the split files"):
        load_dataset("cuhk03", tmp_path)
    (tmp_path / "cuhk03" / "cuhk03_new_protocol_config_detected.mat").write_bytes(b"not a table")
    with pytest.raises(InputError, match="not a split file"):
        load_dataset("cuhk03", tmp_path)


def test_pku_halves_sorted_ids_and_splits_by_camera(tmp_path):
    for person in ("004", "001", "010", "002"):
        (tmp_path / "pku" / "train" / person).mkdir(parents=True)
        for camera in ("01", "02"):
            write_image(tmp_path / "pku" / "train" / person / f"{camera}_3.png", random_image(1))
    (tmp_path / "pku" / "copy" / "001").mkdir(parents=True)
    write_image(tmp_path / "pku" / "copy" / "001" / "01_3.png", random_image(1))
    dataset = load_dataset("pku", tmp_path)
    assert sorted((record.pid, record.camid) for record in dataset.train) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [(record.pid, record.camid) for record in dataset.query] == [(4, 1), (10, 1)]
    assert [(record.pid, record.camid) for record in dataset.gallery] == [(4, 2), (10, 2)]
