"""`--matte` of `fit`, `evaluate` and `extract`: transparent pictures are refused, or read over one colour, which is
in the keys."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reid_cli.train import main

from reid_data.files import write_atomic
from reid_data.images import decode_image, encode_png, write_image
from reid_data.records import TRANSPARENT
from reid_train.runs.checkpoint import MODEL_FILE, load_model
from tests.train.conftest import build_tiny_backbone, make_transparent, write_tiny_set

Call = Callable[..., tuple[int, str, str]]
SMALL = [
    *("--backbone", "resnet18", "--weights", "none", "--size", "32x16", "--epochs", "1", "--iterations", "2"),
    *("--batch-ids", "4", "--batch-images", "2", "--lr", "0.01", "--device", "cpu", "--workers", "1"),
]
GREY = ("--matte", "10,200,60")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`glass`: half of every picture is seen through; `laid`: the same on a colour."""
    root = tmp_path_factory.mktemp("data")
    for name in ("glass", "laid"):
        make_transparent(write_tiny_set(root / name))
    for path in root.glob("laid/*/*.png"):
        write_image(path, decode_image(path.read_bytes(), (10, 200, 60)))
    return root


@pytest.fixture
def call(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `reid-train` in this process, with a tiny network; (exit code, stdout, stderr)."""
    from reid_train.model import reid_net

    monkeypatch.setenv("REID_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["reid-train", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def fit(call: Call, train: str, name: str, *more: str) -> tuple[int, str, str]:
    """A small training."""
    return call("fit", "--train", train, "--name", name, *SMALL, *more)


def key(name: str) -> str:
    """The key of a training that is done."""
    return str(json.loads(Path("runs", name, "result.json").read_text())["train_key"])


def test_fit_refuses_transparent_pictures(call: Call) -> None:
    code, _, err = fit(call, "glass", "none")
    assert code == 3
    assert f"48 unreadable; the first: bounding_box_train/0001_c1s1_000000_00.png {TRANSPARENT}" in err


def test_fit_over_a_matte_is_fit_on_pictures_that_lie_on_it(call: Call) -> None:
    assert fit(call, "glass", "over", "--test", "glass", *GREY)[0] == 0
    assert fit(call, "laid", "plain", "--test", "laid")[0] == 0
    over, plain = (load_model(Path("runs", name, MODEL_FILE))[0] for name in ("over", "plain"))
    assert all(np.array_equal(over[name], plain[name]) for name in plain)
    results = [json.loads(Path("runs", name, "result.json").read_text()) for name in ("over", "plain")]
    assert results[0]["metrics"]["glass"] == results[1]["metrics"]["laid"], "the test reads them as the training did"
    assert results[0]["tests"]["glass"]["matte"] == "10,200,60"
    assert "done already" in fit(call, "glass", "over", *GREY)[2]
    code, _, err = fit(call, "glass", "over", "--matte", "0,0,0")
    assert code == 2
    assert "--matte: 10,200,60 -> 0,0,0" in err
    assert fit(call, "glass", "black", "--matte", "0,0,0")[0] == 0
    assert len({key(name) for name in ("over", "plain", "black")}) == 3


def test_tests_of_a_run_that_knows_no_matte(call: Call, data_root: Path) -> None:
    fit(call, "laid", "run")
    code, _, err = call("evaluate", "run", "--test", "glass", "--device", "cpu")
    assert code == 3
    assert f"no usable query image (16 unreadable; the first: query/0101_c1s1_000000_00.png {TRANSPARENT})" in err
    code, _, err = call("extract", "run", "glass", "--device", "cpu")
    assert code == 1
    assert "64 images could not be read and were left out (64 with transparent pixels: --matte R,G,B" in err
    assert call("evaluate", "run", "--test", "glass,laid", *GREY, "--device", "cpu")[0] == 0
    result = json.loads(Path("runs/run/result.json").read_text())
    assert result["metrics"]["glass"] == result["metrics"]["laid"]
    assert "--matte says how features are made" in call("evaluate", "--features", "none.npz", *GREY)[2]
    kept = result["tests"]["glass"]["test_key"]
    assert call("evaluate", "run", "--test", "glass", "--matte", "0,0,0", "--device", "cpu")[0] == 0
    assert json.loads(Path("runs/run/result.json").read_text())["tests"]["glass"]["test_key"] != kept
    for name, more in (("laid", ()), ("glass", GREY)):
        assert call("extract", "run", name, "--out", f"{name}.npz", *more, "--device", "cpu")[0] == 0
    assert np.array_equal(np.load("laid.npz")["query_feats"], np.load("glass.npz")["query_feats"])
    assert (
        call("rank", "run", "--features", "glass.npz", "--images", str(data_root / "glass"), "--out", "a.png")[0] == 0
    )


def test_matrix_and_ablate_take_it_as_a_setting(call: Call) -> None:
    settings = [part for name, value in zip(SMALL[:-4:2], SMALL[1:-4:2]) for part in ("--set", f"{name[2:]}={value}")]
    shared = ("--device", "cpu", "--dry-run", "--json")
    keys = [
        json.loads(call("matrix", "--train", "glass", "--test", "glass", *settings, *more, *shared)[1])
        for more in (GREY, ("--set", "matte=10,200,60"), ())
    ]
    assert keys[0] == keys[1] != keys[2]
    assert call("ablate", "temperature", "--train", "glass", *GREY, *settings, "--dry-run")[0] == 0


def test_one_transparent_picture_among_others_is_left_out_and_said(call: Call, data_root: Path) -> None:
    write_tiny_set(data_root / "mixed")
    first = sorted((data_root / "mixed" / "bounding_box_train").iterdir())[0]
    write_atomic(first.with_suffix(".png"), encode_png(np.zeros((32, 16, 4), np.uint8)))
    first.unlink()
    code, out, err = fit(call, "mixed", "mixed")
    assert code == 1
    assert "47 images" in out
    assert "1 images could not be read and were left out (1 with transparent pixels: --matte R,G,B" in err
