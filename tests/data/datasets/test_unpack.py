"""Zip archives: read as the folder in them, and refused where they would write elsewhere, or too much."""

import stat
import zipfile

import pytest

from reid_data.datasets import unpack as module
from reid_data.datasets.importer import ImportSettings, import_set
from reid_data.errors import InputError
from tests.data.datasets.drawn import draw

NAMES = [
    f"set/{part}/0001_c{camera}s1.jpg"
    for part, camera in (("bounding_box_train", 1), ("query", 1), ("bounding_box_test", 2))
]


def zipped(tmp_path, names=NAMES):
    """A zip of drawn pictures with those names."""
    draw(tmp_path / "drawn", names)
    with zipfile.ZipFile(tmp_path / "my set.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "drawn" / name, name)
    return tmp_path / "my set.zip"


def with_entry(path, name, *, mode=stat.S_IFREG | 0o644, data=b"x"):
    """The archive with one more entry."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, data)
    return path


def left_over(tmp_path):
    """What an import left beside its source."""
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in ("drawn", "my set.zip"))


def test_a_zip_is_read_by_its_layout(tmp_path):
    archive = with_entry(zipped(tmp_path), "__MACOSX/set/._x.jpg")
    dataset = import_set(archive, tmp_path / "mine", ImportSettings())
    assert [len(dataset.split(split)) for split in ("train", "query", "gallery")] == [1, 1, 1]
    rows = (tmp_path / "mine" / "import.csv").read_text().splitlines()
    assert rows[1].endswith(f"{archive}/{NAMES[0]}")
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "mine").rglob("*.jpg"))
    assert left_over(tmp_path) == ["mine"]
    assert "the set is taken from 'set/' in it" in dataset.layout


def test_a_zip_by_a_pattern_and_one_that_needs_it(tmp_path):
    archive = zipped(tmp_path, ["0001-c1.jpg", "0002-c2.jpg"])
    with pytest.raises(InputError, match=r"reid-data import '/.*my set.zip' --out my-set-set --pattern"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    assert left_over(tmp_path) == []
    dataset = import_set(archive, tmp_path / "mine", ImportSettings(r"(?P<pid>\d+)-c(?P<camid>\d)"))
    assert len(dataset.records) == 2


@pytest.mark.parametrize("name", ["../out.jpg", "/out.jpg", "a/../../out.jpg", "..\\out.jpg", "C:/out.jpg"])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    archive = with_entry(zipped(tmp_path), name)
    with pytest.raises(InputError, match="leads out of it"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    assert left_over(tmp_path) == []
    assert not (tmp_path.parent / "out.jpg").exists()


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_is_refused(tmp_path, mode):
    archive = with_entry(zipped(tmp_path), "set/query/0002_c1.jpg", mode=mode | 0o777, data=b"/etc/passwd")
    with pytest.raises(InputError, match="a link or no regular file"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    assert left_over(tmp_path) == []


def test_sizes_are_bounded_by_what_is_stated(tmp_path, monkeypatch):
    archive = zipped(tmp_path)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="bytes, over 100"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    monkeypatch.undo()
    data = bytearray(with_entry(archive, "set/query/0002_c1.jpg", data=b"\0" * 5000).read_bytes())
    place = data.rindex((5000).to_bytes(4, "little"))
    data[place : place + 4] = (7).to_bytes(4, "little")  # the directory now states 7 bytes
    archive.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    assert left_over(tmp_path) == []


def test_a_cut_archive_or_one_name_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = with_entry(zipped(tmp_path), NAMES[0])
    with pytest.raises(InputError, match="stands there twice"):
        import_set(archive, tmp_path / "mine", ImportSettings())
    data = archive.read_bytes()
    broken = data.replace(b"\xff\xd8\xff", b"\xff\xd9\xff", 1)
    archive.write_bytes(broken)
    with pytest.raises(InputError, match="is damaged"):
        import_set(archive, tmp_path / "mine", ImportSettings())


def test_one_camera_asks_and_the_others_answer(tmp_path):
    draw(
        tmp_path / "in",
        [f"{pid}_c{camera}_{shot}.jpg" for pid in (-1, 1, 2, 3) for camera in (2, 5) for shot in (1, 2)],
    )
    settings = ImportSettings(r"^(?P<pid>-?\d+)_c(?P<camid>\d)", split="cameras")
    dataset = import_set(tmp_path / "in", tmp_path / "mine", settings)
    assert {(one.pid, one.camid) for one in dataset.train} == {(1, 2), (1, 5), (2, 2), (2, 5)}
    assert [(one.pid, one.camid) for one in dataset.query] == [(3, 2)]
    assert sorted((one.pid, one.camid) for one in dataset.gallery) == [
        (-1, 2),
        (-1, 2),
        (-1, 5),
        (-1, 5),
        (3, 2),
        (3, 5),
        (3, 5),
    ]
