"""The grid's file, values of settings, commands of cells, tables, and the study's figures."""

import csv
import io
import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from reid_cli.settings import setting_values
from reid_cli.train import app

from reid_data.errors import InputError, UsageError
from reid_train.matrix.cells import Machine, prepare
from reid_train.matrix.command import export_commands, fit_command
from reid_train.matrix.estimate import estimate_seconds
from reid_train.matrix.grid_file import Grid, read_grid
from reid_train.matrix.plan import make_plan
from reid_train.matrix.study import beside_study, study_figures
from reid_train.matrix.tables import FORMATS, Table, as_csv, as_latex, as_markdown, as_text, metric_table
from reid_train.settings.train import from_assignments
from tests.train.conftest import small


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_grid_file_says_what_the_flags_say(tmp_path: Path) -> None:
    text = 'train = ["a", "a+b:0.3"]\ntest = ["a"]\nseeds = [0, 1]\nrecipe = "demo"\n'
    text += '[set]\nbatch-ids = 8\nlr_step = "20,40"\nflip-test = true\ntemperature = [0.05, 0.1]\n'
    assert read_grid(write(tmp_path / "g.toml", text)) == Grid(
        ("a", "a+b:0.3"),
        ("a",),
        (0, 1),
        "demo",
        {"batch_ids": ("8",), "lr_step": ("20,40",), "flip_test": ("true",), "temperature": ("0.05", "0.1")},
    )


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("train = market", InputError, "cannot be read as TOML"),
        ('trian = ["a"]', UsageError, "Did you mean 'train'"),
        ('train = "a"', UsageError, r"expected a list such as \[\"market"),
        ('seeds = ["0"]', UsageError, r"expected a list such as \[0, 1, 2\]"),
        ("seeds = [true]", UsageError, "expected a list"),
        ("[set]\ntemprature = 0.1", UsageError, "Did you mean 'temperature'"),
        ("set = 1", UsageError, "expected a table"),
        ("recipe = 1", UsageError, "expected the name or path"),
    ],
)
def test_grid_files_that_cannot_be_meant(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_grid(write(tmp_path / "g.toml", text))


def test_values_of_set() -> None:
    found = setting_values(
        ["temperature=0.05, 0.1", "rerank=20,6,0.3", "lr_step=20", "lr-step=20,40", "norm=imagenet,market"]
    )
    assert found == {
        "temperature": ("0.05", "0.1"),
        "rerank": ("20,6,0.3",),
        "lr_step": ("20", "20,40"),
        "norm": ("imagenet", "market"),
    }


def test_the_command_of_a_cell_comes_to_the_same_settings_and_sets(tiny_root: Path, tmp_path: Path) -> None:
    base = small(weights="none", label_smoothing=0.1, normalize=True, flip_test=True, lr=3e-4, rerank="20,6,0.3")
    plan = make_plan(["tiny+other:0.3"], ["tiny", f"{tiny_root}/other@background"], base, [3])
    machine = Machine(tmp_path / "runs", tiny_root, "cpu", 2)
    cells, tests = prepare(plan, machine)
    command = fit_command(cells[0], tests, machine)
    flags = dict(zip(command[1::2], command[2::2]))
    assert command[0] == "fit"
    assert flags["--train"] == "tiny,other:0.3"
    assert flags["--test"] == f"tiny,{tiny_root}/other@background"
    assert Path(flags["--runs"], flags["--name"]) == cells[0].folder
    assert (flags["--device"], flags["--workers"], flags["--data-root"]) == ("cpu", "2", str(tiny_root))
    settings = from_assignments(command[place + 1] for place, part in enumerate(command) if part == "--set")
    assert type(base)(**settings) == cells[0].training.settings
    lines = export_commands(cells, tests, machine)
    assert [shlex.split(line) for line in lines] == [["reid-train", *command]]


@pytest.mark.usefixtures("tiny_backbone")
def test_the_estimate_by_hand_and_from_a_trial(tiny_root: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "runs", tiny_root, "cpu", 1)
    cells, tests = prepare(make_plan(["tiny"], ["tiny"], small()), machine)
    seconds, source = estimate_seconds(cells, tests, machine, jobs=1)
    assert seconds > 0
    assert source == "a trial step, which is rough"
    for name, changes, speed in (("a", {}, 10.0), ("b", {"temperature": 0.2}, 30.0), ("c", {"size": "64x32"}, 1.0)):
        (machine.runs / name).mkdir(parents=True)
        (machine.runs / name / "settings.toml").write_text(small(**changes).to_toml())
        costs = {"device": "cpu", "train_images_per_second": speed}
        (machine.runs / name / "costs.json").write_text(json.dumps(costs))
    seconds, source = estimate_seconds(cells, tests, machine, jobs=2)
    # 2 epochs of 3 steps of 8 images, and a third of that work for each of 16 + 48 test images, at 20 a second, two at once
    assert seconds == pytest.approx((48 + 64 / 3) / 20 / 2)
    assert source == "2 finished runs like these"
    assert estimate_seconds([], tests, machine, jobs=1)[0] == 0


def entry(train: str, test: str, seeds: list[int], value: float | None, **numbers: Any) -> dict[str, Any]:
    status = "failed" if value is None else "ok"
    every = {"mean": value, "std": None, "low": None, "high": None} | numbers
    metrics = {} if value is None else dict.fromkeys(("mAP", "rank-1", "rank-5", "rank-10", "mINP"), every)
    return {"train": train, "axes": {}, "test": test, "seeds": seeds, "status": status, "metrics": metrics}


def make(summary: list[dict[str, Any]], kind: str = "photographs") -> dict[str, Any]:
    tests = list(dict.fromkeys(one["test"] for one in summary))
    cell = {"train": "=1+1", "seed": 0, "axes": {}, "test": tests[0], "status": "ok", "reason": ""}
    metrics = {"mAP": 0.5, "queries": 4, "queries_without_match": 1}
    document = {
        "axes": [],
        "tests": {test: {"chance_mAP": 0.02, "card": {"kind": kind}} for test in tests},
        "trainings": [{"sets": [{"kind": "composite", "parents": [{"kind": "photographs"}, {"kind": kind}]}]}],
        "cells": [{**cell, "metrics": metrics, "intervals": {"mAP": [0.25, None]}}],
        "summary": summary,
        "reliance": [],
    }
    return {**document, "study": beside_study(document)}


def test_a_square_by_hand() -> None:
    document = make(
        [entry("a", "x", [0], 0.4124, low=0.389, high=0.443), entry("b", "x", [0, 1], 0.3, std=0.0123, low=0.1, high=0.5),
         entry("c", "x", [], None), {**entry("d", "x", [0], 0.2), "status": "missing"}]
    )  # fmt: skip
    assert [row[1] for row in metric_table(document, "mAP").rows] == [
        "41.2 [38.9, 44.3]", "30.0 ±1.2 [10.0, 50.0]", "failed", "20.0 (1 seed; missing)", "2.0",
    ]  # fmt: skip
    assert len(metric_table(document, "rank-1").rows) == 4, "there is no chance level of ranks"


def test_the_same_table_in_three_formats() -> None:
    table = Table("mAP %", ("trained_on", "a|b"), (("x & y", "1.0"), ("z\x1b[31m", "22.0 ±1")))
    assert as_text(table).splitlines() == [
        "mAP %",
        "trained_on      a|b",
        "x & y           1.0",
        "z\\x1b[31m   22.0 ±1",
    ]
    assert as_markdown(table).splitlines()[2:4] == ["| trained_on | a\\|b |", "| --- | ---: |"]
    latex = as_latex(table)
    assert r"trained\_on & a|b \\" in latex
    assert r"x \& y & 1.0 \\" in latex
    assert r"22.0 $\pm$1" in latex
    assert "\x1b" not in as_text(table) + as_markdown(table) + latex
    assert set(FORMATS) == {"table", "md", "latex"}


def test_csv_holds_intervals_and_disarms_formulas() -> None:
    rows = list(
        csv.DictReader(io.StringIO(as_csv(make([entry("a", "x", [0, 1], 0.3, std=0.5, low=0.125, high=0.75)]))))
    )
    cell, seeds = rows
    assert (cell["row"], cell["train"], cell["mAP"], cell["mAP_low"], cell["mAP_high"]) == (
        "cell",
        "'=1+1",
        "0.5",
        "0.25",
        "",
    )
    assert (seeds["row"], seeds["seed"], seeds["mAP_std"], seeds["mAP_high"]) == ("seeds", "0 1", "0.5", "0.75")


def test_the_study_stands_beside_a_grid_that_has_its_six_cells() -> None:
    assert len(study_figures()) == 6
    assert math.isclose(study_figures()["composite", "duke"]["mAP"], 0.095)
    full = [
        entry(train, test, [0], 0.5) for train in ("market", "composite") for test in ("market", "duke", "composite")
    ]
    found = make([*full, entry("other", "market", [0], 0.1)])["study"]
    assert found is not None
    assert len(found) == 6
    assert make(full[:-1])["study"] is None
    assert make(full, kind="synthetic")["study"] is None
    line = next(
        row
        for row in csv.DictReader(io.StringIO(as_csv(make(full))))
        if row["test"] == "duke" and row["row"] == "seeds"
    )
    assert (line["train"], line["study_mAP"]) == ("market", "0.159")


def test_flags_that_make_no_grid(tiny_root: Path) -> None:
    for arguments, message in (
        ([], "--train names no data set"),
        (["--train", "tiny", "--test", "tiny", "--seeds", "x"], "expected whole numbers"),
        (["--train", "tiny", "--test", "tiny", "--recipe", "demmo"], "Did you mean 'demo'"),
    ):
        found = CliRunner().invoke(app, ["matrix", "--data-root", str(tiny_root), *arguments])
        assert isinstance(found.exception, UsageError)
        assert message in str(found.exception)
