"""`--workers 0` means one thing in every command: this process alone; it ends, and writes what any number writes."""

import hashlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from reid_cli.data import app as data
from reid_cli.train import app as train


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


@pytest.mark.parametrize(
    "command", [*data.commands.values(), *train.commands.values()], ids=lambda command: command.name
)
def test_the_help_says_so_wherever_there_is_the_flag(command: click.Command) -> None:
    for parameter in command.params:
        if parameter.name == "workers":
            assert isinstance(parameter, click.Option)
            assert parameter.help == "Processes (0 or 1: this one alone); never changes a result."
