"""`reid-train matrix` as a user types it, on a grid whose trainings are there already or not."""

import csv
import io
import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.train import app

from reid_train.matrix.cells import Machine
from reid_train.matrix.children import Children
from reid_train.matrix.plan import make_plan
from reid_train.matrix.run import run_matrix
from reid_train.settings.train import TrainSettings
from tests.train.conftest import build_tiny_backbone, small, write_tiny_set


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a data root; the network is a tiny one, and no cell may start."""
    monkeypatch.setattr("reid_train.model.reid_net.build_backbone", build_tiny_backbone)
    monkeypatch.setattr(Children, "_child", lambda *_: pytest.fail("a cell was started"))
    for seed, name in enumerate(("one", "two")):
        write_tiny_set(tmp_path / "data" / name, seed, num_ids=4)
    return tmp_path


def finish(place: Path, trains: list[str], seeds: list[int]) -> None:
    """Train and test in this process what the grid would in others."""
    plan = make_plan(trains, ["one", "two"], small(), seeds)
    run_matrix(plan, place / "elsewhere", Machine(place / "runs", place / "data", "cpu", 1), lambda what: None)


def matrix(place: Path, *more: str) -> Result:
    settings, defaults = small().as_dict(), TrainSettings().as_dict()
    text = "".join(f'{key} = "{value}"\n' for key, value in settings.items() if value != defaults[key])
    (place / "grid.toml").write_text(f'train = ["one", "two"]\ntest = ["one", "two"]\n[set]\n{text}')
    flags = ["--grid", "grid.toml", "--runs", "runs", "--data-root", "data", "--device", "cpu", "--workers", "1"]
    return CliRunner().invoke(app, ["matrix", *flags, *more], catch_exceptions=False, standalone_mode=False)


def test_a_finished_grid_in_every_format(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    finish(place, ["one", "two"], [0])
    done = matrix(place)
    assert done.return_value == 0
    assert done.stdout.splitlines()[1].split() == ["trained", "on", "\\", "tested", "on", "one", "two"]
    files = {
        name: (place / "runs" / "matrix" / name).read_text() for name in ("results.md", "results.csv", "results.json")
    }
    assert files["results.md"].count("| --- |") == 2, "one table for mAP, one for rank-1"
    assert matrix(place, "--format", "csv").stdout == files["results.csv"]
    assert json.loads(matrix(place, "--json").stdout) == json.loads(files["results.json"])
    assert matrix(place, "--format", "latex").stdout.count(r"\begin{tabular}") == 2
    lines = list(csv.DictReader(io.StringIO(files["results.csv"])))
    assert [line["row"] for line in lines] == ["cell"] * 4 + ["seeds"] * 4
    again = {name: (place / "runs" / "matrix" / name).read_text() for name in files}
    assert again == files


def test_the_report_with_and_without_pictures_of_people(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    finish(place, ["one", "two"], [0])
    page = place / "runs" / "matrix" / "report.html"
    assert matrix(place).return_value == 0
    assert "data:image/" in page.read_text()
    assert matrix(place, "--no-thumbs").return_value == 0
    assert "data:image/" not in page.read_text()


def test_what_is_missing_is_shown_exported_and_collected(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    finish(place, ["one"], [0])
    outlook = matrix(place, "--dry-run").stdout.splitlines()
    assert outlook[0].startswith("done   one, seed 0  (2 of 2 tests cached)")
    assert outlook[1].startswith("train  two, seed 0  (0 of 2 tests cached)")
    assert outlook[2] == "2 trainings (1 cached), 4 tests (2 cached)."
    assert outlook[3].startswith("To do: about ")
    assert "from 1 finished runs like these" in outlook[3]
    plan = json.loads(matrix(place, "--dry-run", "--json").stdout)
    assert [row["tests_missing"] for row in plan["cells"]] == [[], ["one", "two"]]
    assert matrix(place, "--export-commands", "commands").return_value == 0
    commands = [shlex.split(line) for line in (place / "commands").read_text().splitlines()]
    assert [command[:4] for command in commands] == [["reid-train", "fit", "--train", "two"]]
    collected = matrix(place, "--collect")
    assert collected.return_value == 1
    assert [line.split()[1:] for line in collected.stdout.splitlines()[3:4]] == [["missing", "missing"]]
    assert "2 of 4 cells have not been run yet" in collected.stderr
    CliRunner().invoke(app, commands[0][1:], catch_exceptions=False, standalone_mode=False)
    assert matrix(place, "--collect").return_value == 0


def test_nothing_to_collect_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reid_data.errors import InputError

    monkeypatch.chdir(place)
    with pytest.raises(InputError, match="none of these cells has a result yet"):
        matrix(place, "--collect")
