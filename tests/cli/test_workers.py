"""`--workers 0` means one thing in every command: this process alone; it ends, and writes what any number writes."""

import hashlib
import multiprocessing.process
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from reid_cli.data import app as data
from reid_cli.train import app as train

from reid_train.model import reid_net
from tests.train.conftest import build_tiny_backbone

ROUND = "--set iterations=1 --set batch_ids=2 --device cpu"
SMALL = f"--set backbone=resnet18 --set weights=none --set size=32x16 --set epochs=1 {ROUND}"
CALLS = {
    "synth": "market duke --train 16 --ids 8",
    "check": "market",
    "stats": "market --size 32x16",
    "segment": "market --limit 3 --out data/masks",
    "backgrounds": "duke --num 4 --out plates --segmenter precomputed --min-quality 0",
    "composite": "--fg market --bg duke --segmenter precomputed --min-quality 0",
    "verify": "composite",
    "quality": "composite --judge --sample 12",
    "train-segmenter": "--out w.safetensors --synthetic 8 --steps 1 --batch 2 --device cpu",
    "fit": f"--train market --name base {SMALL}",
    "evaluate": "base --test market,market@foreground --device cpu",
    "extract": "base market --device cpu",
    "export": "base --format safetensors --test market",
    "adapt": f"--source market --target duke --from base --rounds 1 --eps 0.01 --min-samples 1 --k1 3 --k2 2 --max-share 0.5 {ROUND}",
    "ablate": f"temperature --variants 0.05 --scale small {SMALL}",
    "matrix": f"--train market --test duke {SMALL} --export-commands cells",
}


def run(*arguments: str) -> str:
    done = CliRunner().invoke(data, list(arguments), catch_exceptions=False, standalone_mode=False)
    assert done.return_value in (0, None), done.stderr
    return done.stdout


def tree(root: Path) -> dict[str, str]:
    """Name -> hash of every file below a folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_no_process_and_two_processes_write_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for workers in ("0", "2"):
        (tmp_path / workers).mkdir()
        monkeypatch.chdir(tmp_path / workers)
        monkeypatch.setenv("REID_CACHE", str(tmp_path / f"cache{workers}"))
        how = ["--data-root", "data", "--workers", workers]
        run("synth", "market", "duke", "--train", "12", "--ids", "3", *how)
        printed = [run("check", "market", *how), run("stats", "market", "--size", "32x16", *how)]
        run("composite", "--fg", "market", "--bg", "duke", "--limit", "3", *how)
        run("backgrounds", "duke", "--from", "scenes", "--num", "4", "--out", "plates", *how)
        run("segment", "market", "--limit", "3", "--out", "data/masks", *how)
        printed.append(run("verify", "composite", *how))
        found.append((printed, tree(tmp_path / workers / "data")))
    assert found[0] == found[1]


def test_without_a_worker_no_process_is_started_by_any_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {name: one for app in (data, train) for name, one in app.commands.items()}
    flagged = {name for name, one in commands.items() if any(part.name == "workers" for part in one.params)}
    assert flagged == {*CALLS}

    def start(process: object) -> None:
        raise AssertionError("a process is started")

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", start)
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)
    monkeypatch.setenv("REID_DATA", "data")
    monkeypatch.chdir(tmp_path)
    for name, arguments in CALLS.items():
        done = CliRunner().invoke(commands[name], [*arguments.split(), "--workers", "0"], standalone_mode=False)
        assert done.exception is None, (name, done.exception, done.output)
        assert done.return_value in (0, None), (name, done.output)
    assert "--workers 0" in (tmp_path / "cells").read_text(), "the matrix hands it on to its cells"


@pytest.mark.parametrize(
    "command", [*data.commands.values(), *train.commands.values()], ids=lambda command: command.name
)
def test_the_help_says_so_wherever_there_is_the_flag(command: click.Command) -> None:
    for parameter in command.params:
        if parameter.name == "workers":
            assert isinstance(parameter, click.Option)
            assert parameter.help == "Processes (0 or 1: this one alone); never changes a result."
