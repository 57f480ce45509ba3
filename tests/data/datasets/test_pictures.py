"""A folder of photographs is a source wherever nobody asks who is on them."""

import re

import pytest

from reid_data.datasets import load_dataset
from reid_data.datasets.check import check
from reid_data.datasets.naming import fitting_pattern, import_line
from reid_data.datasets.pictures import PICTURES, load_pictures
from reid_data.errors import InputError
from reid_data.images import write_image
from tests.conftest import random_image
from tests.data.datasets.drawn import draw


def test_a_flat_folder_is_pictures_of_nobody(tmp_path):
    draw(tmp_path / "photos", ["IMG_1.jpg", "IMG_2.png", "trip/IMG_3.jpg"])
    (tmp_path / "photos" / "notes.txt").write_text("x")
    dataset = load_pictures(f"{tmp_path / 'photos'}/", tmp_path)
    assert [(one.name, one.pid, one.camid) for one in dataset.train] == [
        ("IMG_1.jpg", 0, 0),
        ("IMG_2.png", 0, 0),
        ("trip/IMG_3.jpg", 0, 0),
    ]
    assert (dataset.name, dataset.card.kind, dataset.ignored) == ("photos", PICTURES, {"not an image": 1})
    assert [finding.kind for finding in check(dataset)[0]] == ["no_identities"]


def test_pictures_deep_below_are_found(tmp_path):
    draw(tmp_path / "photos", ["2024/05/a.jpg", "2024/06/b.jpg"])
    assert [one.name for one in load_pictures(tmp_path / "photos", tmp_path).train] == [
        "2024/05/a.jpg",
        "2024/06/b.jpg",
    ]


def test_a_set_stays_a_set(market_folder, tmp_path):
    root = market_folder("mine")
    write_image(root / "cover.jpg", random_image(1))
    assert load_pictures(root, tmp_path).records == load_dataset(root, tmp_path).records
    draw(tmp_path / "people", ["bob/1.jpg", "eve/1.jpg"])
    assert [one.pid for one in load_pictures(tmp_path / "people", tmp_path).train] == [1, 2]


def test_a_damaged_card_or_an_empty_folder_is_no_folder_of_pictures(market_folder, tmp_path):
    root = market_folder("mine")
    (root / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        load_pictures(root, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        load_pictures(tmp_path / "empty", tmp_path)


def test_pictures_alone_cannot_be_trained_on(tmp_path):
    draw(tmp_path / "photos", ["0001_c1_1.jpg", "0002_c2_1.jpg"])
    with pytest.raises(InputError):
        load_dataset(f"{tmp_path / 'photos'}/", tmp_path)


@pytest.mark.parametrize(
    ("names", "person", "camera"),
    [
        (["0001_c1s1_1.jpg", "-1_c2s1_1.jpg"], {"0001", "-1"}, {"1", "2"}),
        (["0001-c1-7.jpg", "0002-c3-7.jpg"], {"0001", "0002"}, {"1", "3"}),
        (["0001_C1_7.jpg", "0002_C3_7.jpg"], {"0001", "0002"}, {"1", "3"}),
        (["p7cam1.jpg", "p8cam2.jpg"], {"7", "8"}, {"1", "2"}),
        (["bob_camA_1.jpg", "eve_camB_1.jpg"], {"bob", "eve"}, {"A", "B"}),
        (["cam_a/person_0001.png", "cam_b/person_0002.png"], {"0001", "0002"}, {"a", "b"}),
        (["009/01_1.png", "010/02_8.png"], {"009", "010"}, {"01", "02"}),
        (["12_1_000.jpg", "13_2_001.jpg"], {"12", "13"}, {"1", "2"}),
    ],
)
def test_the_pattern_that_fits(names, person, camera):
    pattern = fitting_pattern(names)
    assert pattern is not None
    found = [re.search(pattern, name) for name in names]
    assert {match["pid"] for match in found} == person
    assert {match["camid"] for match in found} == camera


def test_a_pattern_with_splits_and_none(tmp_path):
    names = ["bounding_box_train/0001-c1-7.jpg", "query/0002-c3-7.jpg"]
    assert fitting_pattern(names) == r"^(?P<split>bounding_box_train|query)/.*?(?P<pid>\d+)-c(?P<camid>\d+)"
    assert fitting_pattern(["IMG_1.jpg", "IMG_2.jpg"]) is None
    assert fitting_pattern([]) is None
    line = import_line(tmp_path / "my photos", ["a.jpg"])
    assert line.startswith("reid-data import '/")
    assert "PERSON" in line
