"""`reid-train` fit, evaluate, extract, options and fetch-weights as a user types them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reid_cli.train import app, main

from reid_train.settings.setting import flag, value_form
from reid_train.settings.train import fields
from tests.train.conftest import build_tiny_backbone, write_tiny_set

Call = Callable[..., tuple[int, str, str]]
SMALL = [
    *("--backbone", "resnet18", "--weights", "none", "--size", "32x16", "--epochs", "2", "--iterations", "3"),
    *("--batch-ids", "4", "--batch-images", "2", "--lr", "0.01", "--device", "cpu", "--workers", "1"),
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the sets `tiny` and `other`."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_set(root / "tiny", 0)
    write_tiny_set(root / "other", 1)
    return root


@pytest.fixture
def call(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `reid-train` in this process, with a tiny network; (exit code, stdout, stderr)."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("REID_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    import torch

    from reid_train.model import reid_net

    torch.set_num_threads(1)
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["reid-train", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def fit(call: Call, *arguments: str) -> tuple[int, str, str]:
    return call("fit", "--train", "tiny", *SMALL, *arguments)


def test_every_setting_has_a_flag_a_meaning_and_a_default(call: Call) -> None:
    parameters = {parameter.name: parameter for parameter in app.commands["fit"].params}
    rows = json.loads(call("options", "--json")[1])
    assert [row["setting"] for row in rows] == list(fields())
    for row in rows:
        parameter = parameters[row["setting"]]
        assert row["flag"] == flag(row["setting"]) in parameter.opts
        assert row["meaning"]
        assert row["default"]
        assert row["default"] in parameter.help
        assert row["values"] == (
            "yes|no" if isinstance(fields()[row["setting"]].default, bool) else value_form(fields()[row["setting"]])
        )
    text = call("options")[1]
    assert all(f"{row['flag']}  " in text for row in rows)


def test_fit_tests_and_says_what_came_out(call: Call) -> None:
    code, out, err = fit(call, "--test", "tiny,other")
    assert code == 0
    assert out.splitlines()[0].startswith("runs/tiny: 48 images of 8 identities, 2 epochs, loss ")
    assert [line.split(":")[0] for line in out.splitlines()[1:]] == ["  on tiny", "  on other"]
    assert "mAP " in out
    assert "rank-1 " in out
    assert "epoch 2/2: loss" in err
    again = fit(call, "--test", "tiny,other")
    assert again[:2] == (0, out)
    assert "epoch 2/2" not in again[2]
    assert "is done already" in again[2]


def test_json_is_one_document(call: Call) -> None:
    document = json.loads(fit(call, "--test", "tiny", "--json", "--name", "a")[1])
    assert document["folder"] == "runs/a"
    assert set(document["metrics"]) == {"tiny"}
    assert document["settings"]["lr"] == 0.01


def test_flags_win_over_set_which_wins_over_the_recipe(call: Call, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('lr = 0.1\nneck = "none"\nepochs = 1\n')
    code, out, _ = call(
        "fit",
        "--train",
        "tiny",
        "--recipe",
        "r.toml",
        "--set",
        "lr=0.2",
        "--set",
        "classifier-norm=cosine",
        *SMALL,
        "--json",
    )
    assert code == 0
    settings = json.loads(out)["settings"]
    assert (settings["lr"], settings["neck"], settings["epochs"]) == (0.01, "none", 2)
    assert settings["classifier_norm"] == "cosine"


def test_a_dry_run_writes_nothing(call: Call, tmp_path: Path) -> None:
    code, out, _ = fit(call, "--dry-run")
    assert code == 0
    assert "state: new" in out
    assert "steps: 6" in out
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_reads_the_schedule_file(call: Call, tmp_path: Path) -> None:
    wanted = ("--temperature-schedule", "file:t.csv", "--dry-run")
    for content, message in (
        (None, "no such file"),
        ("epoch,temperature\n1,0.1\n", "epoch 2 is missing"),
        ("epoch,temperature\n1,0.1\n2,0\n", "expected a number above 0"),
        ("epoch,T\n1,0.1\n", "expected epoch,temperature"),
    ):
        if content is not None:
            (tmp_path / "t.csv").write_text(content)
        code, _, err = fit(call, *wanted)
        assert code == 3
        assert message in err
    (tmp_path / "t.csv").write_text("epoch,temperature\n1,0.1\n2,0.2\n")
    assert fit(call, *wanted)[0] == 0
    assert not (tmp_path / "runs").exists()


def test_a_changed_setting_is_refused_by_name(call: Call) -> None:
    fit(call)
    code, _, err = fit(call, "--temperature", "0.2")
    assert code == 2
    assert "--temperature: 0.1 -> 0.2" in err
    code, out, _ = fit(call, "--temperature", "0.2", "--json")
    assert json.loads(out)["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--train", "tinny"], 2, "Did you mean 'tiny'"),
        (["--train", "market"], 3, "not below the data root"),
        (["--train", ","], 2, "--train names no data set"),
        (["--train", "tiny,tiny"], 2, "each once; got tiny, tiny"),
        (["--train", "tiny:1.5"], 2, "expected a share above 0"),
        (["--train", "tiny", "--neck", "bm"], 2, "Did you mean 'bn'"),
        (["--train", "tiny", "--set", "temprature=1"], 2, "Did you mean 'temperature'"),
        (["--train", "tiny", "--recipe", "absent.toml"], 3, "absent.toml"),
        (["--train", "tiny", "--weights", "imagenet"], 4, "reid-train fetch-weights resnet18"),
        (["--train", "tiny", "--batch-ids", "9"], 3, "needs 9 identities, the training set has 8"),
        (["--train", "tiny", "--device", "gpu"], 2, "--device 'gpu'"),
        (["--train", "tiny", "--temprature", "1"], 2, "No such option"),
    ],
)
def test_errors_and_their_exit_codes(arguments: list[str], code: int, message: str, call: Call) -> None:
    found, _, err = call("fit", *SMALL, *arguments)
    assert (found, message in err) == (code, True), err


def test_parts_and_limits_of_a_set(call: Call) -> None:
    document = json.loads(call("fit", "--train", "tiny:0.5,other", *SMALL, "--json")[1])
    assert document["train_sets"] == ["tiny:0.5", "other"]
    assert document["num_images"] == 24 + 48
    limited = json.loads(fit(call, "--limit", "24", "--name", "few", "--json")[1])
    assert (limited["num_images"], limited["num_classes"]) == (24, 4)


def test_unreadable_images_are_told_and_end_with_1(call: Call, data_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(data_root / "tiny", tmp_path / "sets" / "tiny")
    for folder in ("bounding_box_train", "query"):
        sorted((root / folder).iterdir())[0].write_bytes(b"no image")
    code, _, err = fit(call, "--data-root", str(tmp_path / "sets"), "--test", "tiny")
    assert code == 1
    assert "2 images could not be read and were left out; the first: bounding_box_train/" in err
    assert fit(call, "--data-root", str(tmp_path / "sets"))[0] == 1, "a finished run still says so"


def test_evaluate_a_run(call: Call, tmp_path: Path) -> None:
    fit(call)
    code, out, _ = call("evaluate", "tiny", "--test", "other", "--device", "cpu", "--rerank", "5,2,0.3", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["tests"]["other"]["settings"]["rerank"] == "5,2,0.3"
    assert call("evaluate", "./runs/tiny", "--test", "other", "--device", "cpu")[0] == 0
    code, _, err = call("evaluate", "tinny", "--test", "other")
    assert (code, "Below 'runs': tiny" in err) == (3, True)
    assert call("evaluate", "tiny")[0] == 2


def test_a_run_by_its_model_file(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(call, "--name", "base")
    _, named, _ = call("evaluate", "base", "--test", "tiny", "--json")
    monkeypatch.chdir(tmp_path / "runs" / "base")
    for place in ("model.safetensors", "./model.safetensors", str(tmp_path / "runs" / "base" / "result.json")):
        code, out, _ = call("evaluate", place, "--test", "tiny", "--json")
        assert code == 0
        assert json.loads(out)["metrics"] == json.loads(named)["metrics"]
    (tmp_path / "foreign.pth").write_bytes(b"weights")
    code, _, err = call("evaluate", "../../foreign.pth", "--test", "tiny")
    assert code == 3
    assert "foreign.pth' is a file that lies in no run" in err
    assert "fit --weights FILE" in err


def test_extract_and_judge_the_file(call: Call, tmp_path: Path) -> None:
    fit(call, "--test", "tiny")
    mean_ap = json.loads((tmp_path / "runs/tiny/result.json").read_text())["metrics"]["tiny"]["mAP"]
    code, out, _ = call("extract", "tiny", "tiny", "--out", "f.npz", "--device", "cpu", "--workers", "1")
    assert (code, out) == (0, "f.npz: 16 query and 48 gallery features\n")
    found = json.loads(call("evaluate", "--features", "f.npz", "--device", "cpu", "--json")[1])
    assert found["metrics"]["mAP"] == pytest.approx(mean_ap)
    with np.load("f.npz", allow_pickle=False) as file:
        assert file["gallery_feats"].shape == (48, 12)
        assert file["query_paths"][0].startswith("query/")
    code, _, err = call("evaluate", "--features", "f.npz", "--test", "tiny")
    assert (code, "--test" in err) == (2, True)


def test_extract_training_images_and_sets_without_queries(call: Call, data_root: Path, tmp_path: Path) -> None:
    fit(call)
    for name in ("0001", "0002"):
        (tmp_path / "people" / name).mkdir(parents=True)
        picture = sorted((data_root / "tiny" / "query").iterdir())[int(name)]
        shutil.copy(picture, tmp_path / "people" / name)
    common = ("--device", "cpu", "--workers", "1", "--json")
    found = json.loads(call("extract", "tiny", "./people", "--out", "p.npz", *common)[1])
    assert (found["num_query"], found["num_gallery"]) == (0, 2)
    found = json.loads(call("extract", "tiny", "tiny", "--split", "train", "--out", "t.safetensors", *common)[1])
    assert (found["num_query"], found["num_gallery"]) == (0, 48)
    assert call("extract", "tiny", "tiny", "--out", "t.csv", *common)[0] == 2


def test_effective_temperatures_can_be_replayed(call: Call, tmp_path: Path) -> None:
    fit(call)
    code, out, _ = call("temperatures", "tiny")
    assert code == 0
    rows = [json.loads(line) for line in (tmp_path / "runs/tiny/log.jsonl").read_text().splitlines()]
    expected = [(row["epoch"], row["effective_temperature"]) for row in rows if row["event"] == "epoch"]
    assert [(int(e), float(t)) for e, t in (line.split(",") for line in out.splitlines()[1:])] == expected
    assert call("temperatures", "tiny", "--out", "t.csv") == (0, "", "")
    code, out, _ = fit(
        call, "--classifier-norm", "project", "--temperature-schedule", "file:t.csv", "--name", "replay", "--json"
    )
    assert code == 0
    assert json.loads(out)["training"]["temperature"] == pytest.approx(expected[-1][1])


def test_ctrl_c_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reid_train.training.training.train_epoch", stop)
    code, _, err = fit(call)
    assert code == 130
    assert "reid-train fit --train tiny --backbone resnet18" in err


def test_weights_are_fetched_only_by_their_command(call: Call) -> None:
    code, _, err = call("fetch-weights", "resnet34")
    assert (code, "no checked ImageNet weights" in err) == (4, True)


def test_the_command_line_needs_no_torch_for_help_and_options() -> None:
    script = (
        "import sys\nsys.argv = ['reid-train', sys.argv[1], *sys.argv[2:]]\nfrom reid_cli.train import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'torch', 'cv2', 'albumentations'} & set(sys.modules)\n"
    )
    for arguments in (["fit", "--help"], ["options"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_ablate_lists_plans_and_runs(call):
    code, out, _ = call("ablate")
    assert code == 0
    assert "classifier-unit" in out
    assert "effective-temperature" in out
    code, out, _ = call("ablate", "embedding", "--train", "tiny", "--scale", "small", "--dry-run")
    assert code == 0
    assert out.splitlines()[1] == "linear-1024: --embedding 1024"
    sizes = [f"--set={text}" for text in ("size=32x16", "epochs=1", "iterations=2", "batch_ids=2", "batch_images=2")]
    code, out, err = call("ablate", "embedding", "--train", "tiny", "--scale", "small", "--device", "cpu", *sizes)
    assert code == 0, err
    assert "83.4" in out or "83.3" in out
    assert "linear-1024 against none" in out


def test_ablate_refuses_what_it_cannot_run(call):
    assert call("ablate", "temprature", "--train", "tiny")[0] == 2
    assert call("ablate", "temperature", "--train", "tiny", "--seeds", "0,0")[0] == 2
    assert call("ablate", "temperature", "--train", "tiny,other")[0] == 2
