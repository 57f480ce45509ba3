"""The manifest: torn tails, resumption, differences."""

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


def written(root: Path) -> bytes:
    start_manifest(root, make_header(Form("composite", 1, {}), {"seed": 0}), [{"row": "plate", "source": "a"}])
    with ManifestWriter(root, len((root / MANIFEST_FILE).read_bytes())) as manifest:
        for number in range(3):
            manifest.append({"row": "image", "name": f"{number}\udcff.jpg"})
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
    rows = [{"row": "plate", "source": "a"}, *({"row": "image", "name": f"{n}\udcff.jpg"} for n in range(3))]
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
