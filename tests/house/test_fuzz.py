"""Every reader against any content: an answer or a ReidError; nothing run, nothing written, little room taken.

200 examples a reader, always the same ones; with REID_FUZZ=1 2,000 new ones. Each is a good file with bytes changed, cut out or
put in, with one of its values replaced by another, or something altogether different.
"""

import io
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from reid_data.datasets import load_dataset
from reid_data.datasets.card import card_from_document, is_photographic, read_document
from reid_data.errors import ReidError
from reid_data.images import decode_image
from reid_data.jpeg import written_quality
from reid_data.manifest import Form, encode_row, make_header, read_manifest
from reid_data.records import Card
from reid_data.tensors import read_header, read_tensors
from reid_data.written.output import set_of_rows, trusted_rows
from reid_data.written.readme import image_counts, plate_counts, refusals
from reid_data.written.table import TableOutput
from reid_train.features.files import NUMBERS, read_features
from reid_train.matrix.grid_file import read_grid
from reid_train.runs.checkpoint import read_metadata
from reid_train.runs.folder import effective_temperatures, read_log, read_settings
from reid_train.runs.result import read_result
from reid_train.settings.train import TrainSettings
from reid_train.training.schedules import read_temperatures

FRESH = os.environ.get("REID_FUZZ") == "1"
NUM_EXAMPLES = 2000 if FRESH else 200
MOST_BYTES = 150_000_000  # of which decoded pictures of the largest size that is read take most
RUNS = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}
WRITES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_seen: list[str] | None = None


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in RUNS | WRITES or writes:
        _seen.append(f"{event} {args[:1]}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What is run or written meanwhile."""
    global _seen
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


@dataclass(frozen=True)
class Reader:
    """A good file's `name` and `content`, and what reads the folder in which it lies."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def _read_manifest(root: Path) -> None:
    manifest = read_manifest(root)
    if manifest is not None:
        rows, _ = trusted_rows(root, manifest)
        set_of_rows(root, Card("x"), rows)
        image_counts(manifest), plate_counts(manifest), refusals(manifest)


def _read_card(root: Path) -> None:
    document = read_document(root)
    assert document is not None
    is_photographic({**document, "name": card_from_document(document).name})


def _read_features(path: Path) -> None:
    found = read_features(path)
    assert all(array[:].ndim for array in found.arrays())


def _image_row(number: int) -> dict[str, Any]:
    row = {"row": "image", "name": f"query/{number}.png", "split": "query", "pid": number, "camid": 1, "status": "ok"}
    return {**row, "mask_quality": 0.5, "sha256": "0" * 64, "source": "query/1.jpg", "person": True, "side": "test"}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **_arrays(), query_paths=np.array(["a", "b"]))
    return file.getvalue()


def _arrays() -> dict[str, np.ndarray]:
    return {
        key: np.ones((2, 3) if key.endswith("feats") else 2, "f4" if key.endswith("feats") else "i8") for key in NUMBERS
    }


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(file, "JPEG")
    return file.getvalue()


_PARENT = {"name": "market", "kind": "synthetic", "status": "ok", "terms": "", "notice": "", "parents": []}
_COUNTS = {"images": 2, "ids": 1, "cameras": 1, "junk": 0, "distractors": 0}
_CARD = {
    "schema": "reid-dataset/1",
    **_PARENT,
    "parents": [_PARENT],
    "counts": {"query": _COUNTS},
    "settings": {"seed": 1},
}
_RESULT = {
    **{"schema": "reid-result/1", "name": "r", "train_sets": ["m"], "train_key": "0", "settings": {"lr": 1.0}},
    **{"digests": {"m": "0"}, "weights_sha256": None, "device_type": "cpu", "norm": {"mean": [0.5], "std": [0.2]}},
    **{"num_classes": 2, "num_images": 4, "training": {"loss": 1.0}, "versions": {"torch": "2"}, "unreadable": []},
    **{"tests": {"m": {"key": "0", "unreadable": []}}, "metrics": {"m": {"mAP": 0.5}}},
}
_MANIFEST = b"".join(
    map(
        encode_row,
        [
            make_header(Form("composite", 1, {}), {"seed": 0}),
            {"row": "plate", "status": "ok"},
            _image_row(1),
            _image_row(2),
        ],
    )
)
_LOG = [
    {"event": "start", "train_key": "0"},
    *({"event": "epoch", "epoch": n, "effective_temperature": 0.1} for n in (1, 2)),
]
_CSV = b"path,pid,camid,split\na.jpg,1,1,train\nb.jpg,2,1,query\nc.jpg,2,2,gallery\n"

READERS = {
    "manifest": Reader("manifest.jsonl", _MANIFEST, _read_manifest),
    "masks": Reader(
        "masks.jsonl",
        _json({"row": "header", "kind": "alpha"}) + b"\n" + _json({"row": "image", "file": "a.png"}) + b"\n",
        lambda root: TableOutput(root, {"row": "header"}, lambda old, new: []).look(),
    ),
    "card": Reader("dataset.json", _json(_CARD), _read_card),
    "settings": Reader("settings.toml", TrainSettings().to_toml().encode(), read_settings),
    "log": Reader(
        "log.jsonl",
        b"".join(_json(row) + b"\n" for row in _LOG),
        lambda root: (read_log(root), effective_temperatures(root)),
    ),
    "result": Reader("result.json", _json(_RESULT), lambda root: read_result(root).num_failed),
    "npz features": Reader("f.npz", _npz(), lambda root: _read_features(root / "f.npz")),
    "safetensors features": Reader(
        "f.safetensors", save(_arrays()), lambda root: _read_features(root / "f.safetensors")
    ),
    "safetensors header": Reader(
        "m.safetensors",
        save({"x": np.ones(2, "f4")}, {"reid": '{"epoch": 1}'}),
        lambda root: (
            read_header(root / "m.safetensors"),
            read_tensors(root / "m.safetensors"),
            read_metadata(root / "m.safetensors"),
        ),
    ),
    "CSV": Reader("set.csv", _CSV, lambda root: load_dataset(str(root / "set.csv"), root)),
    "temperatures": Reader(
        "t.csv", b"epoch,temperature\n1,0.1\n2,0.2\n", lambda root: read_temperatures(root / "t.csv", 2)
    ),
    "TOML": Reader(
        "grid.toml",
        b'train = ["market"]\nseeds = [0, 1]\n[set]\nlr = [0.1, 0.2]\nflip = true\n',
        lambda root: read_grid(root / "grid.toml"),
    ),
    "JPEG header": Reader(
        "a.jpg",
        _jpeg(),
        lambda root: (written_quality((root / "a.jpg").read_bytes()), decode_image((root / "a.jpg").read_bytes())),
    ),
}

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["../x", "/etc", "a\0b", "\udc80", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: _replaced(one, path[1:], new) if key == path[0] else one for key, one in value.items()}
    return [_replaced(one, path[1:], new) if key == path[0] else one for key, one in enumerate(value)]


@st.composite
def _other_value(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON lines of which one has another value somewhere."""
    lines = content.split(b"\n")
    number = draw(st.sampled_from([n for n, line in enumerate(lines) if line.strip()]))
    document = json.loads(lines[number])
    path = draw(st.sampled_from(list(_places(document))))
    lines[number] = json.dumps(_replaced(document, path, draw(_VALUES))).encode()
    return b"\n".join(lines)


@st.composite
def _other_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The same bytes but for some that are changed, cut out or put in; or only a beginning."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["flip", "cut", "put", "end"]))
        if how == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif how == "put":
            data[at:at] = draw(
                st.binary(max_size=6) | st.sampled_from([b"\0", b"\r", b'"', b"[" * 3000, b"9" * 5000, b"1e999"])
            )
        else:
            del data[at:]
    return bytes(data)


@cache
def _contents(name: str) -> st.SearchStrategy[bytes]:
    content = READERS[name].content
    plain = _other_bytes(content) | st.binary(max_size=60) | _VALUES.map(_json)
    return _other_value(content) | plain if READERS[name].name.endswith((".json", ".jsonl")) else plain


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / READERS[name].name).write_bytes(READERS[name].content)
    READERS[name].read(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_any_content_gives_an_answer_or_an_error(name: str, place: Path) -> None:
    reader, root = READERS[name], place / name
    root.mkdir()
    target, num_refused = root / reader.name, 0

    @settings(
        max_examples=NUM_EXAMPLES,
        derandomize=not FRESH,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_contents(name))
    @example(b"[" * 100_000)
    @example(b"a = " + b"[" * 3000)
    @example(b"\0" * 9)
    def attempt(content: bytes) -> None:
        nonlocal num_refused
        target.write_bytes(content)
        tracemalloc.start()
        try:
            with watched() as seen:
                reader.read(root)
        except ReidError as error:
            num_refused += bool(str(error))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert seen == []
        assert peak < MOST_BYTES
        assert os.listdir(root) == [reader.name]

    attempt()
    assert num_refused > NUM_EXAMPLES / 10, "the contents are bad enough to be refused"
