"""`reid-train adapt` as a user types it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reid_cli.train import main

from reid_train.runs.folder import read_settings
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.setting import flag
from tests.train.conftest import build_tiny_backbone, write_tiny_set

Call = Callable[..., tuple[int, str, str]]
SMALL = ["--rounds", "2", "--iterations", "3", "--batch-ids", "4", "--k1", "6", "--k2", "2", "--bn-group", "4"]
HERE = ["--max-share", "0.6", "--device", "cpu", "--workers", "1"]
FIT = [
    *(
        "--backbone",
        "resnet18",
        "--weights",
        "none",
        "--size",
        "32x16",
        "--epochs",
        "3",
        "--iterations",
        "4",
        "--lr",
        "0.01",
    ),
    *("--batch-ids", "4", "--batch-images", "2", "--device", "cpu", "--workers", "1", "--warmup-epochs", "1"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data sets `tiny` and `other`; the runs of all tests lie in it."""
    folder = tmp_path_factory.mktemp("work")
    write_tiny_set(folder / "data" / "tiny", 0)
    write_tiny_set(folder / "data" / "other", 1)
    return folder


@pytest.fixture
def call(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `reid-train` in this process, with a tiny network; (exit code, stdout, stderr). The run `base` is there."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(place)
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

    if not (place / "runs" / "base").exists():
        assert run("fit", "--train", "tiny", "--name", "base", *FIT)[0] == 0
    return run


def adapt(call: Call, *arguments: str) -> tuple[int, str, str]:
    """From `base` to `other`."""
    return call("adapt", "--source", "tiny", "--target", "other", "--from", "base", *SMALL, *HERE, *arguments)


def test_a_model_is_adapted_tested_and_taken_like_any_other(call: Call, place: Path) -> None:
    code, out, err = adapt(call, "--test", "other", "--diagnose")
    assert code == 0
    assert out.startswith("runs/tiny-to-other-joint: 96 images 2 rounds, loss ")
    assert "on other: mAP" in out
    assert "round 2/2: eps 0.20, 8 clusters" in err
    assert '"uses_truth": true' in (place / "runs" / "tiny-to-other-joint" / "diagnostics.jsonl").read_text()
    assert adapt(call, "--test", "other", "--diagnose")[:2] == (code, out)
    assert call("evaluate", "tiny-to-other-joint", "--test", "tiny", "--device", "cpu")[0] == 0
    assert call("compare", "tiny-to-other-joint", "base", "--test", "other")[0] in (0, 2, 3)


def test_every_setting_has_a_flag(call: Call) -> None:
    _, out, _ = call("adapt", "--help")
    assert all(flag(name) in out for name in AdaptSettings.declared())


def test_recipes_set_both_kinds_and_leave_the_network_as_it_is(call: Call, place: Path) -> None:
    code, out, err = adapt(
        call, "--name", "new", "--recipe", "spcl", "--dry-run", "--json", "--set", "lr=0.5", "--set", "reliable=0.1"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["state"] == "new"
    recipe = place / "own.toml"
    recipe.write_text('pooling = "gem"\ntarget-head = "normal"\nlr = 0.02\n')
    assert adapt(call, "--recipe", str(recipe), "--name", "own", "--arm", "independent")[0] == 0
    assert (read_settings(place / "runs" / "own").pooling, read_settings(place / "runs" / "own").lr) == ("gap", 0.02)
    assert 'target_head = "normal"' in (place / "runs" / "own" / "adapt.toml").read_text()


def test_a_site_alone_starts_from_weights(call: Call, place: Path) -> None:
    given = ["--target", "other", "--arm", "target-only", *SMALL, *HERE, "--backbone", "resnet18", "--size", "32x16"]
    code, out, _ = call(
        "adapt", *given, "--weights", "none", "--batch-images", "2", "--min-samples", "2", "--max-share", "1"
    )
    assert code == 0
    assert out.startswith("runs/start-to-other-target-only: 48 images")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "base", "--epochs", "3", "--rounds", "2"], 2, "--rounds and --epochs are the same"),
        (["--from", "base", "--arm", "target-only"], 2, "leave out --from"),
        ([], 2, "--arm joint starts from a run: name it with --from"),
        (["--from", "nobody"], 3, "there is no run"),
        (["--from", "base", "--backbone", "resnet34"], 2, "--backbone resnet34: the run behind --from has resnet18"),
        (["--from", "base", "--set", "epz=0.3"], 2, "Did you mean 'eps'"),
        (["--from", "base", "--source", "other"], 3, "--source must name the training sets of the run"),
        (["--from", "base", "--source", "tiny", "--max-share", "0.01"], 3, "the largest cluster holds"),
        (["--from", "base", "--source", "tiny", "--labels-from", "base"], 3, "Expected the run of an adaptation"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], code: int, message: str, call: Call) -> None:
    found = call("adapt", "--target", "other", "--name", "refused", "--device", "cpu", "--workers", "1", *arguments)
    assert message in found[2]
    assert found[0] == code
