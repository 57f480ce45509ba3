"""Layouts that people bring: what is chosen, what is said about it, and what is doubted."""

from collections import Counter

import pytest

from reid_data.datasets import found_names, load_dataset
from reid_data.datasets.layout import doubt, recognise
from reid_data.errors import InputError
from reid_data.records import SPLITS, Record
from tests.data.datasets.drawn import draw


def found(root):
    """Split -> sorted (pid, camid) of the set at a path."""
    dataset = load_dataset(f"{root}/", root.parent)
    return {split: sorted((one.pid, one.camid) for one in dataset.split(split)) for split in SPLITS}


SPLIT_TREE = {"train": [(1, 1), (1, 2)], "query": [(2, 1)], "gallery": [(-1, 1), (0, 2), (2, 2)]}


def tree(place):
    """Paths of `SPLIT_TREE`; `place(split, pid, camid)` is the path of a picture."""
    return [
        place(split, f"{pid:04d}" if pid >= 0 else "-1", camid)
        for split, people in SPLIT_TREE.items()
        for pid, camid in people
    ]


VERI = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
LAYUMI = {"train": "train_all", "query": "query", "gallery": "gallery"}
MARKET = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda split, pid, cam: f"{MARKET[split]}/{pid}_c{cam}s1_000001_00.jpg", None),
        (lambda split, pid, cam: f"Inner-v1/{MARKET[split]}/{pid}_c{cam}s1_000001_00.jpg", "'Inner-v1/'"),
        (lambda split, pid, cam: f"{VERI[split]}/{pid}_c{cam:03d}_00030600_0.jpg", "image_test/ as gallery"),
        (lambda split, pid, cam: f"{LAYUMI[split]}/{pid}/{pid}_c{cam}s1_000001_00.jpg", "a folder a person"),
        (lambda split, pid, cam: f"{split.title()}/{pid}/{pid}_c{cam}s1_000001_00.jpg", "Gallery/ as gallery"),
        (lambda split, pid, cam: f"{split}/cam0{cam}/{pid}_7.jpg", "a folder a camera"),
        (
            lambda split, pid, cam: f"{split}/cam_{'ab'[cam - 1]}/person_{pid}/7.jpg".replace("person_-1", "-1"),
            "a folder a camera",
        ),
    ],
)
def test_layouts_with_splits(tmp_path, place, said):
    root = draw(tmp_path / "lay", tree(place))
    assert found(root) == SPLIT_TREE
    layout = load_dataset(f"{root}/", tmp_path).layout
    assert (said in layout) if said else layout == ""
    assert found_names(tmp_path) == ["lay"]


def test_folders_of_cameras_without_splits(tmp_path):
    root = draw(
        tmp_path / "lay", [f"cam_{cam}/{pid:03d}_{view}.bmp" for cam in "ab" for pid in (4, 7) for view in (45,)]
    )
    assert found(root)["train"] == [(4, 1), (4, 2), (7, 1), (7, 2)]
    assert "a folder a camera" in load_dataset(f"{root}/", tmp_path).layout


def test_train_all_is_taken_before_train_and_what_is_left_is_said(tmp_path):
    names = tree(lambda split, pid, cam: f"{LAYUMI[split]}/{pid}/{pid}_c{cam}s1_000001_00.jpg")
    names += [
        "train/0001/0001_c1s1_000001_00.jpg",
        "val/0001/0001_c2s1_000001_00.jpg",
        "multi-query/0002/0002_c1s1_000001_00.jpg",
    ]
    root = draw(tmp_path / "pytorch", names)
    assert found(root) == SPLIT_TREE
    assert "not read: multi-query/, train/, val/" in load_dataset(f"{root}/", tmp_path).layout


def test_people_beside_a_stray_picture(tmp_path):
    root = draw(tmp_path / "lay", ["bob/1.jpg", "eve/1.jpg", "cover.jpg"])
    assert found(root)["train"] == [(1, 0), (2, 0)]


def test_a_name_with_a_slash_is_a_name(market_folder, tmp_path):
    market_folder("mine")
    assert load_dataset("mine/", tmp_path).root == tmp_path / "mine"
    with pytest.raises(InputError, match="does not exist"):
        load_dataset("other/", tmp_path)


def test_too_few_people_for_so_many_images_are_doubted(tmp_path):
    root = draw(tmp_path / "lay", ["monday/0001_c1_1.jpg", "tuesday/0002_c2_1.jpg"])
    layout = recognise(root)
    records = [
        Record(str(root), f"monday/{number:04d}_c1_1.jpg", 1 + number % 3, 0, "train") for number in range(12_000)
    ]
    assert "3 people in 12,000 images is not likely" in doubt(layout, records)
    assert r"--pattern '(?P<pid>-?\d+)_c(?P<camid>\d+)'" in doubt(layout, records)
    assert doubt(layout, records[:1500]) == ""


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_c1_1.jpg", "0002_c2_1.jpg"], r"2 pictures lie below .*reid-data import .* --pattern '\(\?P<pid>"),
        (["a/b/0001_c1_1.jpg", "a/c/0002_c2_1.jpg"], r"1 folder that can be read as a set \(a/\)"),
        (["a/b/c/0001_c1_1.jpg"], r"1 pictures lie below .*the first in 'a/b/c/'"),
        (["bounding_box_train/0001-c1.jpg", "query/0002-c1.jpg"], r"2 pictures lie below .*\(\?P<pid>\\d\+\)-c\(\?P<camid>"),
        (["one/query/0001_c1_1.jpg", "two/query/0001_c1_1.jpg"], r"2 folders that can be read as a set \(one/, two/\)"),
    ],
)  # fmt: skip
def test_what_is_no_set_says_where_the_pictures_are(tmp_path, names, message):
    root = draw(tmp_path / "lay", names)
    with pytest.raises(InputError, match=message):
        load_dataset(f"{root}/", tmp_path)


def test_nobody_in_folders_of_their_own(tmp_path):
    root = draw(tmp_path / "lay", [f"{who}/{shot}.jpg" for who in ("-1", "0000", "0007") for shot in (1, 2)])
    dataset = load_dataset(f"{root}/", tmp_path)
    assert Counter(one.pid for one in dataset.train) == {-1: 2, 0: 2, 7: 2}
