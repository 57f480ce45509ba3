"""From a folder of crops or a CSV to a Market-layout set."""

import os

import pytest

from reid_data.datasets.check import check
from reid_data.datasets.importer import ImportSettings, import_set
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.images import write_image
from tests.conftest import random_image

PATTERN = r"(?P<pid>[a-z]+)_cam(?P<camid>\w)"


@pytest.fixture
def crops(tmp_path):
    """Four people, two cameras, two pictures each, in sub-folders, with a file that does not belong."""
    for person in ("bob", "alice", "dave", "carol"):
        for camera in ("A", "B"):
            for shot in (1, 2):
                (tmp_path / "crops" / camera).mkdir(parents=True, exist_ok=True)
                number = hash_free_number(person, camera, shot)
                write_image(
                    tmp_path / "crops" / camera / f"{person}_cam{camera}_{shot}.png", random_image(number, (64, 32))
                )
    (tmp_path / "crops" / "notes.txt").write_text("x")
    return tmp_path / "crops"


def hash_free_number(*parts: object) -> int:
    """A number that depends on the words only."""
    return sum(ord(letter) * 31**place for place, letter in enumerate("".join(map(str, parts)))) % 2**31


def test_names_numbers_and_splits(crops, tmp_path):
    dataset = import_set(crops, tmp_path / "mine", ImportSettings(PATTERN))
    assert sorted({record.pid for record in dataset.train}) == [1, 2]
    assert [(record.pid, record.camid) for record in dataset.query] == [(3, 1), (3, 2), (4, 1), (4, 2)]
    assert len(dataset.gallery) == 4
    assert check(dataset)[0] == []
    table = (tmp_path / "mine" / "import.csv").read_text().splitlines()
    assert table[1] == f"bounding_box_train/0001_c1s1_000001_00.png,{crops}/A/alice_camA_1.png"
    assert len(table) == 17
    assert os.stat(tmp_path / "mine" / "bounding_box_train" / "0001_c1s1_000001_00.png").st_nlink == 2


def test_copies_are_independent(crops, tmp_path):
    import_set(crops, tmp_path / "mine", ImportSettings(PATTERN, copy=True))
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "mine").rglob("*.png"))


def test_split_from_the_pattern(crops, tmp_path):
    for split in ("query", "gallery"):
        (crops / split).mkdir()
    write_image(crops / "query" / "eve_camA_1.png", random_image(1))
    write_image(crops / "gallery" / "eve_camB_1.png", random_image(2))
    pattern = r"(?P<split>query|gallery)/(?P<pid>[a-z]+)_cam(?P<camid>\w)"
    dataset = import_set(crops, tmp_path / "mine", ImportSettings(pattern))
    assert [len(dataset.split(split)) for split in ("train", "query", "gallery")] == [0, 1, 1]


def test_csv(crops, tmp_path):
    (crops / "set.csv").write_text("path,pid,camid,split\nA/bob_camA_1.png,7,3,query\nB/bob_camB_1.png,7,5,gallery\n")
    dataset = import_set(crops / "set.csv", tmp_path / "mine", ImportSettings())
    assert [(record.pid, record.camid) for record in (*dataset.query, *dataset.gallery)] == [(7, 3), (7, 5)]


@pytest.mark.parametrize(
    ("pattern", "kind", "message"),
    [
        ("(", UsageError, "no regular expression"),
        (r"(?P<pid>\d+)", UsageError, "must name the groups pid and camid"),
        (r"(?P<pid>\d+)_c(?P<camid>\d+)", InputError, "no image below .* matches"),
    ],
)
def test_bad_patterns(crops, tmp_path, pattern, kind, message):
    with pytest.raises(kind, match=message):
        import_set(crops, tmp_path / "mine", ImportSettings(pattern))
    assert not (tmp_path / "mine").exists()


def test_an_existing_set_is_left_alone(crops, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(EnvironmentFault, match="exists already"):
        import_set(crops, tmp_path / "mine", ImportSettings(PATTERN))
