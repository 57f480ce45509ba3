"""The manifest: torn tails, resumption, differences."""

import re
from pathlib import Path

import pytest

from reid_data.errors import InputError
from reid_data.manifest import (
    MANIFEST_FILE,
    Form,
    ManifestWriter,
    differences,
    encode_row,
    make_header,
    read_manifest,
    start_manifest,
)


def image_row(number: int) -> dict[str, object]:
    return {"row": "image", "name": f"{number}\udcff.jpg", "split": "query", "pid": number, "camid": 1}


def written(root: Path) -> bytes:
    start_manifest(root, make_header(Form("composite", 1, {}), {"seed": 0}), [{"row": "plate", "source": "a"}])
    with ManifestWriter(root, len((root / MANIFEST_FILE).read_bytes())) as manifest:
        for number in range(3):
            manifest.append(image_row(number))
    return (root / MANIFEST_FILE).read_bytes()


def test_rows_come_back_in_order_names_that_are_not_utf8_included(tmp_path: Path) -> None:
    written(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest.header["command"] == "composite"
    assert [row["row"] for row in manifest.rows] == ["plate", "image", "image", "image"]
    assert [row["name"] for row in manifest.of_kind("image")] == ["0\udcff.jpg", "1\udcff.jpg", "2\udcff.jpg"]


def test_torn_anywhere_it_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole = written(tmp_path)
    header = whole.index(b"\n") + 1
    rows = [{"row": "plate", "source": "a"}, *map(image_row, range(3))]
    for length in range(header, len(whole)):
        (tmp_path / MANIFEST_FILE).write_bytes(whole[:length])
        manifest = read_manifest(tmp_path)
        assert manifest is not None
        assert manifest.rows == rows[: len(manifest.rows)]
        assert manifest.ends[-1] == whole[:length].rindex(b"\n") + 1
        with ManifestWriter(tmp_path, manifest.ends[-1]) as writer:
            for row in rows[len(manifest.rows) :]:
                writer.append(row)
        assert (tmp_path / MANIFEST_FILE).read_bytes() == whole


def test_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert read_manifest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("content", [b"", b"{}\n", b"not json\n", b'{"row": "header", "schema": "other"}\n', b"\xff\n"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(tmp_path)


def test_differences_name_the_setting() -> None:
    assert differences({"a": 1, "seed": 0}, {"a": 1, "seed": 0}) == []
    assert differences({"seed": 0, "old": "x"}, {"seed": 1, "new": True}) == [
        "new: null there, true now",
        "old: x there, null now",
        "seed: 0 there, 1 now",
    ]


def test_rows_are_one_ascii_line() -> None:
    line = encode_row({"row": "image", "b": "\u00e9\n", "a": 1})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert line.index(b'"a"') < line.index(b'"b"')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"name": None}, "name is null"),
        ({"name": 5}, "name is 5"),
        ({"name": ["x"]}, "name is"),
        ({"name": "a\0b.jpg"}, "expected the name of a file"),
        ({"name": ""}, "expected the name of a file"),
        ({"name": "../b.jpg"}, "outside the set"),
        ({"name": "/etc/passwd"}, "outside the set"),
        ({"pid": "7"}, 'pid is "7", expected a whole number'),
        ({"pid": True}, "pid is true"),
        ({"camid": 2**63}, "camid is 9223372036854775808"),
        ({"split": "test"}, 'split is "test", expected one of gallery, query, train'),
        ({"sha256": []}, "sha256 is [], expected text or nothing"),
        ({"mask_quality": "good"}, 'mask_quality is "good", expected a number or nothing'),
        ({"row": ["image"]}, "row is"),
    ],
)
def test_a_row_of_a_wrong_shape_is_named(tmp_path: Path, damage: dict[str, object], says: str) -> None:
    start_manifest(tmp_path, make_header(Form("composite", 1, {}), {}), [image_row(1), {**image_row(2), **damage}])
    with pytest.raises(InputError, match=f"is damaged: line 3: .*{re.escape(says)}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("line", [b"{}", b"[]", b"null", b"not JSON", b"[" * 100_000, b'{"row": "image"}', b"\xff"])
def test_a_damaged_line_between_whole_ones_is_no_end(tmp_path: Path, line: bytes) -> None:
    start_manifest(tmp_path, make_header(Form("composite", 1, {}), {}), [image_row(1)])
    with open(tmp_path / MANIFEST_FILE, "ab") as file:
        file.write(line + b"\n" + encode_row(image_row(2)))
    with pytest.raises(InputError, match="is damaged: line 3"):
        read_manifest(tmp_path)
