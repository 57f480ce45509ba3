"""The rows of the table for the field's smaller sets, each on a drawn tree."""

import pytest

from reid_data.datasets import DATASETS, load_dataset
from reid_data.datasets.path_names import read_paths
from reid_data.errors import InputError
from tests.data.datasets.drawn import draw

TREES = {
    "occluded-duke": (
        ["bounding_box_train/0001_c2_f0047122.jpg", "query/0005_c1_f0059032.jpg", "bounding_box_test/0005_c3_f0059000.jpg"],
        {"train": [(1, 2)], "query": [(5, 1)], "gallery": [(5, 3)]},
    ),
    "veri": (
        ["image_train/0001_c001_00016450_0.jpg", "image_query/0002_c002_00030600_0.jpg", "image_test/0002_c003_00030640_0.jpg"],
        {"train": [(1, 1)], "query": [(2, 2)], "gallery": [(2, 3)]},
    ),
    "viper": (
        [f"cam_{cam}/{pid:03d}_{45 * pid}.bmp" for cam in "ab" for pid in (0, 1, 2, 873)],
        {"train": [(1, 1), (1, 2), (2, 1), (2, 2)], "query": [(3, 1), (874, 1)], "gallery": [(3, 2), (874, 2)]},
    ),
    "prid": (
        [f"single_shot/cam_{cam}/person_{pid:04d}.png" for cam, people in (("a", (1, 2, 3)), ("b", (1, 2, 7))) for pid in people]
        + ["multi_shot/cam_a/person_0001/0001.png"],
        {"train": [(1, 1), (1, 2)], "query": [(2, 1)], "gallery": [(2, 2), (7, 2)]},
    ),
    "ilids": (
        [f"Persons/{pid:04d}{shot:03d}.jpg" for pid in (1, 2) for shot in (1, 2, 3)],
        {"train": [(1, 1), (1, 2), (1, 3)], "query": [(2, 1)], "gallery": [(2, 2), (2, 3)]},
    ),
    "mars": (
        [f"bbox_train/0001/0001C{cam}T0001F00{frame}.jpg" for cam in (1, 2) for frame in (1, 2)]
        + [f"bbox_test/0006/0006C{cam}T0001F00{frame}.jpg" for cam in (1, 2) for frame in (1, 2)]
        + ["bbox_test/0000/0000C1T0001F001.jpg", "bbox_test/00-1/00-1C2T0001F001.jpg"],
        {
            "train": [(1, 1), (1, 1), (1, 2), (1, 2)],
            "query": [(6, 1), (6, 2)],
            "gallery": [(-1, 2), (0, 1), (6, 1), (6, 2)],
        },
    ),
    "occluded-reid": (
        ["occluded_body_images/001/001_01.tif", "whole_body_images/001/001_06.tif"],
        {"train": [], "query": [(1, 1)], "gallery": [(1, 2)]},
    ),
    "prcc": (
        [f"rgb/train/001/{cam}_cropped_rgb001.jpg" for cam in "ABC"]
        + ["rgb/val/001/A_cropped_rgb002.jpg", "sketch/train/001/A_cropped_sketch001.jpg"]
        + [f"rgb/test/{cam}/140/cropped_rgb001.jpg" for cam in "ABC"],
        {"train": [(1, 1), (1, 2), (1, 3)], "query": [(140, 3)], "gallery": [(140, 1)]},
    ),
    "ltcc": (
        ["train/000_1_c11_015833.png", "query/001_2_c4_000001.png", "test/001_1_c9_000002.png"],
        {"train": [(1, 11)], "query": [(2, 4)], "gallery": [(2, 9)]},
    ),
    "cuhk-sysu": (
        ["cropped_images/p12_s3_01.jpg", "cropped_images/p-1_s4_02.jpg", "Image/SSM/s1.jpg"],
        {"train": [(-1, 0), (12, 0)], "query": [], "gallery": []},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_each_layout_on_a_drawn_tree(name, tmp_path):
    names, wanted = TREES[name]
    for folder in (DATASETS[name].folders[0], DATASETS[name].folders[-1]):
        root = draw(tmp_path / "root" / folder, names)
        by_name, by_path = load_dataset(name, tmp_path / "root"), load_dataset(f"{root}/", tmp_path)
        for dataset in (by_name, by_path):
            assert dataset.name == name
            assert {split: sorted((one.pid, one.camid) for one in dataset.split(split)) for split in wanted} == wanted


def test_every_row_of_paths_has_a_drawn_tree_and_a_source():
    rows = {name for name, spec in DATASETS.items() if spec.reader is read_paths}
    assert rows <= TREES.keys()
    assert all(DATASETS[name].counted_by and DATASETS[name].cite for name in TREES)


def test_what_the_halves_of_the_whole_sets_would_hold():
    """The counts expected of the split made here, worked out from the people that each camera saw."""
    assert DATASETS["viper"].expected["train"]["images"] == 2 * (632 // 2)
    assert DATASETS["prid"].expected["gallery"]["images"] == 100 + (749 - 200)
    assert (DATASETS["ilids"].expected["train"]["ids"], DATASETS["ilids"].expected["query"]["ids"]) == (
        119 // 2,
        119 - 119 // 2,
    )


def test_another_tree_says_which_paths_are_expected(tmp_path):
    draw(tmp_path / "viper", ["a/000_45.jpg"])
    with pytest.raises(InputError, match=r"expected paths like cam_.*the first of 1 pictures is 'a/000_45.jpg'"):
        load_dataset("viper", tmp_path)
