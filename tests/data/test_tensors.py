"""Safetensors files: what is read equals what the format's own library reads; what is damaged is an error with a remedy."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from reid_data.errors import InputError
from reid_data.tensors import TYPES, StoredRows, read_header, read_tensors

KINDS = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.uint8,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a (7, 5) matrix of each kind that can be read by rows, a cube, a number and some truths."""
    torch.manual_seed(0)
    tensors = {str(kind): (100 * torch.rand(7, 5)).to(kind) for kind in KINDS}
    tensors |= {"cube": torch.rand(3, 2, 2), "number": torch.tensor(2.5), "truths": torch.tensor([True, False])}
    save_file(tensors, tmp_path / "x.safetensors", {"b": "märket", "a": "1"})
    return tmp_path / "x.safetensors"


def hostile(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_all_tensors_and_metadata_are_those_of_the_library(path: Path) -> None:
    tensors, metadata = read_tensors(path)
    assert metadata == {"a": "1", "b": "märket"} == read_header(path).metadata
    with safe_open(path, "pt") as file:
        assert sorted(tensors) == sorted(file.keys()) == sorted(read_header(path).tensors)
        for name, tensor in tensors.items():
            assert tensor.dtype == file.get_tensor(name).dtype
            assert torch.equal(tensor, file.get_tensor(name))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rows_are_those_of_the_whole(path: Path, kind: torch.dtype) -> None:
    whole = read_tensors(path)[0][str(kind)]
    expected = (whole.float() if kind == torch.bfloat16 else whole).numpy()
    rows = StoredRows(path, read_header(path).tensors[str(kind)])
    assert (len(rows), rows.shape, rows.dtype) == (7, (7, 5), expected.dtype)
    for index in (slice(None), slice(2, 6, 2), slice(4, 4), np.array([6, 0, 0, 3, 4]), np.array([], np.int64)):
        assert np.array_equal(rows[index], expected[index])


def test_other_shapes(path: Path) -> None:
    stored = read_header(path).tensors
    assert np.array_equal(StoredRows(path, stored["cube"])[:], read_tensors(path)[0]["cube"].numpy().reshape(3, 4))
    for name in ("number", "truths"):
        with pytest.raises(InputError, match=r"arrays of F64, .* can be read, not (F32|BOOL).*\. Write it again\.$"):
            StoredRows(path, stored[name], remedy="Write it again.")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its end is missing"),
        (b"\x02\0\0", "its end is missing"),
        (struct.pack("<Q", 1 << 60) + b"{}", "its end is missing"),
        (hostile(b"not json!"), "Expecting value"),
        (hostile(b"\x80\x81{}"), "decode"),
        (hostile(b"[" * 100_000), "nested too deeply"),
        (hostile([]), "expected a table"),
        (hostile({"x": 3}), "x is 3, expected a table"),
        (hostile({"__metadata__": []}), "__metadata__ is .*, expected a table"),
        (hostile({"__metadata__": {"reid": {}}}), "__metadata__.reid is .*, expected text"),
        (hostile({"x": {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]}}), "does not fit"),
        (hostile({"x": {"dtype": "F32"}}), "has no 'shape'"),
        (hostile({"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}), r"'x' \(F32, \[2, 3\]\) does not"),
        (hostile({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"), "does not fit"),
        (hostile({"x": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, b"1234"), "does not fit"),
        (hostile({"x": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"), "does not fit"),
        (hostile({"x": {"dtype": "F32", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}}), "does not fit"),
        (hostile({"x": {"dtype": "NEW", "shape": [1], "data_offsets": [3, 1]}}, b"1234"), "does not fit"),
    ],
)
def test_damaged_files_are_errors_that_say_why_and_what_to_do(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(content)
    for read in (read_header, read_tensors):
        with pytest.raises(
            InputError, match=rf"^--weights 'x' is not a readable safetensors file: .*{reason}.*\. Mend\.$"
        ):
            read(tmp_path / "x", called="--weights 'x'", remedy="Mend.")


def test_what_only_the_library_sees_is_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(hostile({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"))
    assert read_header(tmp_path / "x").tensors["x"].shape == (1,)
    with pytest.raises(InputError, match=r"x' is not a readable safetensors file: .*\. Mend\.$"):
        read_tensors(tmp_path / "x", remedy="Mend.")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^there is no file '.*none'\. Mend\.$"):
        read_tensors(tmp_path / "none", remedy="Mend.")
    with pytest.raises(InputError, match=r"is not a readable safetensors file: "):
        read_header(tmp_path)


def test_a_file_that_has_become_shorter(path: Path) -> None:
    rows = StoredRows(path, read_header(path).tensors["torch.float32"], remedy="Mend.")
    path.write_bytes(path.read_bytes()[: rows.offset + 30])
    assert rows[:1].shape == (1, 5)
    with pytest.raises(InputError, match=r"ends before row 7: it has become shorter\. Mend\.$"):
        rows[5:]


def test_headers_and_rows_need_no_torch(path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom reid_data.tensors import StoredRows, read_header\n"
        f"path = Path({str(path)!r})\nStoredRows(path, read_header(path).tensors['cube'])[:]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_types_are_as_wide_as_numpys() -> None:
    for name, kind in TYPES.items():
        assert np.dtype(kind).itemsize * 8 == int(name.lstrip("BFIU"))
