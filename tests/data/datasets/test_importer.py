"""From a folder of crops or a CSV to a Market-layout set."""

import os
from collections import Counter

import pytest

from reid_data.datasets import load_dataset
from reid_data.datasets.check import check
from reid_data.datasets.importer import ImportSettings, import_set
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.images import write_image
from tests.conftest import random_image
from tests.data.datasets.drawn import draw

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


def test_split_folders_by_the_names_in_use(crops, tmp_path):
    for place in ("bounding_box_train/eve_camA_1.png", "probe/ann_camA_1.png", "image_test/ann_camB_1.png"):
        (crops / place).parent.mkdir()
        write_image(crops / place, random_image(len(place)))
    pattern = r"(?P<split>bounding_box_train|probe|image_test)/(?P<pid>[a-z]+)_cam(?P<camid>\w)"
    dataset = import_set(crops, tmp_path / "mine", ImportSettings(pattern))
    assert [len(dataset.split(split)) for split in ("train", "query", "gallery")] == [1, 1, 1]


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


def test_junk_and_distractors_stay_nobody_in_every_source(tmp_path):
    """Names, a table and folders: -1 and 0 are no people, whatever the others are called."""
    lines = ["path;PID;camid;split"]
    for person in ("-1", "0000", "eve", "anna"):
        for camera in (1, 2):
            for shot in (1, 2):
                name = f"{person}/{person}_c{camera}_{shot}.png"
                (tmp_path / "in" / person).mkdir(parents=True, exist_ok=True)
                write_image(tmp_path / "in" / name, random_image(hash_free_number(name)))
                lines.append(f"in\\{person}\\{person}_c{camera}_{shot}.png;{person};{camera};gallery")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    pattern = r"^[^/]+/(?P<pid>-?\w+)_c(?P<camid>\d)"
    imported = import_set(tmp_path / "in", tmp_path / "a", ImportSettings(pattern))
    table = import_set(tmp_path / "t.csv", tmp_path / "b", ImportSettings())
    for records in (imported.records, table.gallery):
        assert Counter(record.pid for record in records) == {-1: 4, 0: 4, 1: 4, 2: 4}
    assert {record.split for record in imported.records if record.pid < 1} == {"gallery"}
    folders = load_dataset(f"{tmp_path / 'in'}/", tmp_path)
    assert Counter(record.pid for record in folders.train) == {-1: 4, 0: 4, 1: 4, 2: 4}
    assert {finding.kind for finding in check(folders)[0] if "id 0" in finding.what} == {"distractor_in_train_or_query"}


def test_ids_from_zero_are_people(tmp_path):
    for person in ("-1", "0", "1", "2"):
        for camera in (1, 2):
            (tmp_path / "in").mkdir(exist_ok=True)
            write_image(tmp_path / "in" / f"{person}_c{camera}.png", random_image(int(person) * 10 + camera + 20))
    pattern = r"(?P<pid>-?\d+)_c(?P<camid>\d)"
    dataset = import_set(tmp_path / "in", tmp_path / "a", ImportSettings(pattern, ids_from_zero=True))
    assert Counter(record.pid for record in dataset.records) == {-1: 2, 1: 2, 2: 2, 3: 2}


def test_the_camera_in_names_within_folders_of_people(tmp_path):
    for split in ("train", "query", "gallery"):
        for person in (1, 2):
            (tmp_path / "in" / split / f"{person:04d}").mkdir(parents=True)
            write_image(
                tmp_path / "in" / split / f"{person:04d}" / f"{person:04d}_c{person + 1}s1.png", random_image(person)
            )
    assert {(record.pid, record.camid) for record in load_dataset(f"{tmp_path / 'in'}/", tmp_path).records} == {
        (1, 2),
        (2, 3),
    }
    write_image(tmp_path / "in" / "query" / "0002" / "0001_c1s1.png", random_image(9))  # of somebody else's name
    assert {record.camid for record in load_dataset(f"{tmp_path / 'in'}/", tmp_path).records} == {0}


def test_a_missing_file_is_no_matter_of_links(tmp_path):
    (tmp_path / "t.csv").write_text("path,pid,camid,split\nnone.png,1,1,train\n")
    with pytest.raises(EnvironmentFault) as caught:
        import_set(tmp_path / "t.csv", tmp_path / "a", ImportSettings())
    assert "--copy" not in str(caught.value)


def test_links_out_of_the_source_are_refused_unless_asked_for(tmp_path):
    draw(tmp_path / "in", ["1_c1.png", "1_c2.png"])
    draw(tmp_path / "elsewhere", ["2_c1.png"])
    (tmp_path / "in" / "2_c1.png").symlink_to(tmp_path / "elsewhere" / "2_c1.png")
    (tmp_path / "in" / "3_c1.png").symlink_to(tmp_path / "in" / "1_c1.png")
    pattern = r"(?P<pid>\d+)_c(?P<camid>\d)"
    with pytest.raises(InputError, match=r"2_c1.png' is behind a link that leads out .*--follow-links"):
        import_set(tmp_path / "in", tmp_path / "a", ImportSettings(pattern))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "in"]
    dataset = import_set(tmp_path / "in", tmp_path / "a", ImportSettings(pattern, follow_links=True, copy=True))
    assert len(dataset.records) == 4
    (tmp_path / "t.csv").write_text("path,pid,camid,split\nelsewhere/2_c1.png,2,1,train\nin/3_c1.png,3,1,train\n")
    assert len(import_set(tmp_path / "t.csv", tmp_path / "b", ImportSettings()).train) == 2


def test_a_table_naming_a_link_out(tmp_path):
    draw(tmp_path / "elsewhere", ["2_c1.png"])
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "x.png").symlink_to(tmp_path / "elsewhere" / "2_c1.png")
    (tmp_path / "home" / "t.csv").write_text("path,pid,camid,split\nx.png,2,1,train\n")
    with pytest.raises(InputError, match="behind a link"):
        import_set(tmp_path / "home" / "t.csv", tmp_path / "a", ImportSettings())


@pytest.mark.parametrize("copy", [True, False])
def test_a_pipe_or_device_is_no_picture(tmp_path, copy):
    draw(tmp_path / "in", ["1_c1.png"])
    os.mkfifo(tmp_path / "in" / "2_c1.png")
    settings = ImportSettings(r"(?P<pid>\d+)_c(?P<camid>\d)", copy=copy, follow_links=True)
    with pytest.raises(InputError, match="is no regular file of at most"):
        import_set(tmp_path / "in", tmp_path / "a", settings)
    (tmp_path / "in" / "2_c1.png").unlink()
    (tmp_path / "in" / "2_c1.png").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is no regular file of at most"):
        import_set(tmp_path / "in", tmp_path / "a", settings)
    assert not (tmp_path / "a").exists()
