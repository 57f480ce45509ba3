"""Feature files and per-query files: round trips, streaming, damage, pickles."""

import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from reid_data.errors import InputError, UsageError
from reid_data.tensors import StoredRows
from reid_train.evaluation.per_query import per_query_of, read_per_query, write_per_query
from reid_train.evaluation.protocol import evaluate
from reid_train.features.files import NUMBERS, read_features, write_features


def values(num_query=4, num_gallery=25, paths=True):
    rng = np.random.default_rng(0)
    found = {}
    for side, number in (("query", num_query), ("gallery", num_gallery)):
        found[f"{side}_feats"] = rng.standard_normal((number, 7)).astype(np.float32)
        found[f"{side}_pids"] = np.arange(number) % 4 + 1
        found[f"{side}_camids"] = np.full(number, int(side == "gallery"))
        if paths:
            found[f"{side}_paths"] = [f"{side}/näme\udcff_{n}.jpg" for n in range(number)]
    return found


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("paths", [True, False])
def test_round_trip(tmp_path, ending, paths):
    written = values(paths=paths)
    write_features(tmp_path / f"f.{ending}", written)
    for stream in (True, False):
        read = read_features(tmp_path / f"f.{ending}", stream=stream)
        assert isinstance(read.gallery_feats, StoredRows) == (stream and ending == "safetensors")
        for array, key in zip(read.arrays(), [key for key in written if not key.endswith("paths")]):
            np.testing.assert_array_equal(array[:], written[key])
        assert list(read.gallery_paths) == written.get("gallery_paths", [])
    first = (tmp_path / f"f.{ending}").read_bytes()
    write_features(tmp_path / f"f.{ending}", written)
    assert (tmp_path / f"f.{ending}").read_bytes() == first


def test_streamed_gallery_gives_the_same_result(tmp_path):
    write_features(tmp_path / "f.safetensors", values(num_gallery=90))
    held = read_features(tmp_path / "f.safetensors", stream=False)
    streamed = read_features(tmp_path / "f.safetensors")
    for block in (1, 5, 100):
        np.testing.assert_array_equal(evaluate(*streamed.arrays(), block=block).ap, evaluate(*held.arrays()).ap)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_other_float_types_are_read(tmp_path, kind):
    from safetensors.torch import save_file

    tensors = {key: torch.as_tensor(value) for key, value in values(paths=False).items()}
    for key in ("query_feats", "gallery_feats"):
        tensors[key] = tensors[key].to(kind)
    save_file(tensors, tmp_path / "f.safetensors")
    rows = read_features(tmp_path / "f.safetensors").gallery_feats
    wanted = tensors["gallery_feats"].double().numpy()
    np.testing.assert_array_equal(rows[3:9].astype(float), wanted[3:9])
    index = np.array([20, 3, 4, 4, 0])
    np.testing.assert_array_equal(rows[index].astype(float), wanted[index])
    assert rows[np.array([], int)].shape == (0, 7)
    assert len(rows[5:2]) == 0


def test_pickled_npz_is_refused(tmp_path):
    np.savez(tmp_path / "f.npz", **{**values(paths=False), "query_paths": np.array([["a"], None, 3, 4], dtype=object)})
    with pytest.raises(InputError, match="pickled Python objects, which could run code"):
        read_features(tmp_path / "f.npz")
    np.save(tmp_path / "g.npy", np.array([None], dtype=object), allow_pickle=True)
    (tmp_path / "g.npy").rename(tmp_path / "g.npz")
    with pytest.raises(InputError, match="pickled"):
        read_features(tmp_path / "g.npz")


def test_damaged_and_strange_files_are_refused(tmp_path):
    write_features(tmp_path / "f.npz", values())
    whole = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        read_features(tmp_path / "f.npz")
    (tmp_path / "f.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        read_features(tmp_path / "f.npz")
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(InputError, match="single array"):
        read_features(tmp_path / "one.npz")
    np.savez(tmp_path / "few.npz", query_feats=np.ones((2, 2)))
    with pytest.raises(InputError, match=r"lacks query_pids, .*it holds query_feats"):
        read_features(tmp_path / "few.npz")
    with pytest.raises(InputError, match="there is no feature file"):
        read_features(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"ends in \.npz or \.safetensors"):
        read_features(tmp_path / "f.pt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b"not json!",
        *(
            struct.pack("<Q", len(text)) + text
            for text in (
                json.dumps({"query_feats": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode(),
                json.dumps({"query_feats": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 8]}}).encode(),
                json.dumps({"query_feats": {"dtype": "F8", "shape": [1, 1], "data_offsets": [0, 1]}}).encode(),
                json.dumps({"query_feats": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}).encode(),
                json.dumps({"query_feats": {"shape": 3}}).encode(),
            )
        ),
    ],
)
def test_hostile_safetensors_are_refused(tmp_path, content):
    (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(InputError):
        read_features(tmp_path / "f.safetensors")


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    write_features(tmp_path / "f.safetensors", values())
    rows = read_features(tmp_path / "f.safetensors").gallery_feats
    whole = (tmp_path / "f.safetensors").read_bytes()
    (tmp_path / "f.safetensors").write_bytes(whole[: rows.offset + 10])
    with pytest.raises(InputError, match="has become shorter"):
        rows[20:25]


def test_paths_must_fit(tmp_path):
    broken = values()
    broken["gallery_paths"] = broken["gallery_paths"][:-1]
    write_features(tmp_path / "f.npz", broken)
    with pytest.raises(InputError, match="25 gallery features but 24 gallery_paths"):
        read_features(tmp_path / "f.npz")
    with pytest.raises(UsageError, match="unknown keys: extra; missing: query_pids"):
        write_features(tmp_path / "f.npz", {**{k: v for k, v in broken.items() if k != "query_pids"}, "extra": 1})
    assert not list(tmp_path.glob(".tmp*"))


def test_damaged_json_beside(tmp_path):
    write_features(tmp_path / "f.safetensors", values())
    (tmp_path / "f.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        read_features(tmp_path / "f.safetensors")


@pytest.mark.parametrize("protocol", ["standard", "cuhk03"])
def test_per_query_round_trip(tmp_path, protocol):
    found = values()
    arrays = [value for key, value in found.items() if not key.endswith("paths")]
    arrays[1] = np.array([1, 2, 3, 99])  # the last query has no match
    result = evaluate(*arrays, protocol=protocol)
    write_per_query(tmp_path / "per_query.npz", result, found["query_paths"])
    first = (tmp_path / "per_query.npz").read_bytes()
    write_per_query(tmp_path / "per_query.npz", result, found["query_paths"])
    assert (tmp_path / "per_query.npz").read_bytes() == first
    rows, wanted = read_per_query(tmp_path / "per_query.npz"), per_query_of(result, found["query_paths"])
    for key in ("path", "pid", "camid", "ap", "inp", "first_match", "num_matches", "hits"):
        np.testing.assert_array_equal(getattr(rows, key), getattr(wanted, key))
    for metric in ("mAP", "mINP", "rank-1", "rank-5", "rank-10"):
        assert np.mean(rows.values(metric)[:3]) == pytest.approx(result.metrics()[metric])


def test_other_npz_is_no_per_query_result(tmp_path):
    np.savez(tmp_path / "x.npz", path=np.array(["a"]), ap=np.ones(2))
    with pytest.raises(InputError, match="is no per-query result: missing pid"):
        read_per_query(tmp_path / "x.npz")


def array(kind: str, shape: str, data: bytes = b"") -> bytes:
    """An array as .npy says it, whatever there is of it."""
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + data


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (array("'<f4'", "(10000000000, 1000)"), "does not hold what it says"),
        (array("'<f4'", "(-1, 4)", bytes(16)), "does not hold what it says|not a readable"),
        (array("'<f4'", "()", bytes(4)), "is a single value; expected one for each image"),
        (array("'<f4'", "(2, 2)", bytes(12)), "does not hold what it says"),
        (array("[" * 50 + "'<f4'" + "]" * 50, "(1,)", bytes(4)), "not a readable"),
        (b"hello", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_arrays_that_are_not_what_they_say_are_refused(tmp_path, content, says):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in NUMBERS:
            archive.writestr(f"{key}.npy", content)
    with pytest.raises(InputError, match=says):
        read_features(path)


def test_room_is_made_for_what_is_there_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("reid_train.features.files.SMALL", 0)
    path, size = tmp_path / "x.npz", 20_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("query_feats.npy", array("'<f4'", f"({size // 4}, 1)", bytes(size)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="are said to take 20 MB, at most"):
            read_features(path)
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("texts", ["null", "[]", '{"query_paths": 7}', '{"query_paths": [[]]}', "[" * 100_000, "\xff"])
def test_texts_of_a_wrong_shape_are_refused(tmp_path, texts):
    path = tmp_path / "x.safetensors"
    write_features(path, values())
    path.with_suffix(".json").write_bytes(texts.encode("latin-1"))
    with pytest.raises(InputError, match=r"x.json' is not readable as JSON"):
        read_features(path)
