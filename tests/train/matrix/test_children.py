"""Cells as processes: failures and their logs, kills, what is tried again, what a child is given, collecting."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reid_train.matrix import children as children_module
from reid_train.matrix.cells import Cell, Column, Machine, prepare
from reid_train.matrix.children import Children
from reid_train.matrix.document import num_failed
from reid_train.matrix.plan import Plan, make_plan
from reid_train.matrix.run import invalidated, run_matrix, run_prepared
from tests.killed import FORKS
from tests.train.conftest import small, write_tiny_set

pytestmark = pytest.mark.usefixtures("tiny_backbone")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def grid(tiny_root: Path, tmp_path: Path) -> "Grid":
    """Two trainings on two test sets, and a copy of all that they come to."""
    return Grid(tiny_root, tmp_path)


class Grid:
    """A grid whose cells are run by programs that fetch the finished run folder from elsewhere, or fail."""

    def __init__(self, data_root: Path, place: Path) -> None:
        self.place, self.machine = place, Machine(place / "runs", data_root, "cpu", 1)
        self.plan = make_plan(["tiny", "other"], ["tiny", "other"], small())
        self.finished = place / "finished"
        self.said: list[str] = []
        self.whole = run_matrix(
            self.plan, self.finished / "matrix", Machine(self.finished, data_root, "cpu", 1), lambda what: None
        )

    @property
    def folder(self) -> Path:
        return self.machine.runs / "matrix"

    def prepared(self) -> tuple[list[Cell], list[Column]]:
        return prepare(self.plan, self.machine)

    def fetching(self, before: str = "") -> list[str]:
        """A program that does `before` (Python; `name` is the run's), then puts the finished run folder in its place."""
        script = (
            "import os, shutil, signal, sys, time, pathlib\n"
            "name = sys.argv[sys.argv.index('--name') + 1]\n"
            f"marker = pathlib.Path({str(self.place)!r}, 'marker')\n"
            f"{before}\n"
            f"shutil.copytree({str(self.finished)!r} + '/' + name, {str(self.machine.runs)!r} + '/' + name, dirs_exist_ok=True)\n"
        )
        return [sys.executable, "-S", "-c", script]

    def run(self, before: str = "", jobs: int = 2, **options: Any) -> dict[str, Any]:
        children = Children(self.fetching(before), self.folder, self.machine, jobs, self.said.append)
        return run_prepared(*self.prepared(), self.folder, runner=children, **options)


def test_children_come_to_the_same_document(grid: Grid) -> None:
    assert grid.run() == grid.whole
    assert (grid.folder / "results.json").read_bytes() == (grid.finished / "matrix" / "results.json").read_bytes()
    grid.run("sys.exit('started again')")
    assert not any("started again" in line for line in grid.said)


def test_a_failed_cell_carries_the_tail_of_its_log_and_is_tried_again_only_when_asked(grid: Grid) -> None:
    failing = (
        "for number in range(30): print('line', number)\nif name.startswith('cells/tiny'): sys.exit('Error: it broke')"
    )
    document = grid.run(failing)
    by_name = {row["train"]: row for row in document["trainings"]}
    assert (by_name["other"]["status"], by_name["tiny"]["status"]) == ("ok", "failed")
    assert by_name["tiny"]["reason"] == "it broke"
    assert by_name["tiny"]["log_tail"] == [*(f"line {number}" for number in range(11, 30)), "Error: it broke"]
    assert [cell["reason"] for cell in document["cells"]] == ["it broke", "it broke", "", ""]
    log = (grid.folder / "logs" / (Path(by_name["tiny"]["run"]).name + ".log")).read_text()
    assert log.splitlines()[0] == "line 0"
    assert num_failed(document) == 2
    assert grid.run("sys.exit('started again')") == document
    assert not any("started again" in line for line in grid.said)
    assert grid.run(retry_failed=True) == grid.whole
    assert not (grid.folder / "failures.json").exists()


def test_a_killed_cell_is_tried_again_and_the_tables_are_the_same(grid: Grid) -> None:
    killing = (
        "if name.startswith('cells/tiny') and not marker.exists():\n"
        "    marker.touch()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    document = grid.run(killing)
    assert document["trainings"][0]["reason"] == "killed by signal 9 SIGKILL"
    assert grid.run(killing) == grid.whole


@pytest.mark.parametrize("code", [130, 143])
def test_a_stopped_cell_is_tried_again(grid: Grid, code: int) -> None:
    stopping = f"if name.startswith('cells/tiny') and not marker.exists():\n    marker.touch()\n    sys.exit({code})"
    assert grid.run(stopping)["trainings"][0]["reason"] == "interrupted"
    assert grid.run(stopping) == grid.whole


def test_a_test_that_fails_takes_no_other_with_it(grid: Grid) -> None:
    """The child that trains ends at the failing test; the other test gets a child of its own."""
    before = (
        "tests = sys.argv[sys.argv.index('--test') + 1].split(',')\n"
        "import json\n"
        f"source = pathlib.Path({str(grid.finished)!r}, name)\n"
        f"target = pathlib.Path({str(grid.machine.runs)!r}, name)\n"
        "shutil.copytree(source, target, dirs_exist_ok=True)\n"
        "result = json.loads((source / 'result.json').read_bytes())\n"
        "result.pop('sha256', None)\n"
        "good = [test for test in tests if test != 'tiny'] if tests[0] != 'tiny' else []\n"
        "for part in ('tests', 'metrics'):\n"
        "    result[part] = {test: value for test, value in result[part].items() if test in good}\n"
        "(target / 'result.json').write_text(json.dumps(result))\n"
        "sys.exit('Error: tiny cannot be tested on') if 'tiny' in tests else sys.exit(0)"
    )
    document = grid.run(before)
    assert [(cell["test"], cell["status"]) for cell in document["cells"]] == [("tiny", "failed"), ("other", "ok")] * 2
    assert document["cells"][0]["reason"] == "tiny cannot be tested on"
    assert document["trainings"][0]["status"] == "ok"


def test_what_a_child_is_given(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(children_module, "default_workers", lambda: 7)
    monkeypatch.setattr(Children, "_gpus", lambda self: ["4", "GPU-abc"])
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    asking = f"print('given', *(os.environ.get(key) for key in {names}), flush=True)\n"
    # each waits for the other, so that both slots are taken
    asking += "marker.with_name(name.replace('/', '-')).touch()\n"
    asking += "while len(list(marker.parent.glob('cells-*'))) < 2: time.sleep(0.01)"
    grid.run(asking)
    given = sorted(line.split("given ")[1] for line in grid.said if "given" in line)
    assert given == ["3 4", "3 GPU-abc"]


CELL = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from reid_train.model import reid_net
from tests.train.conftest import build_tiny_backbone
reid_net.build_backbone = build_tiny_backbone
from reid_cli.train import cell_main
cell_main()
"""


def run_said(environment: dict[str, str], plan: Plan, folder: Path, machine: Machine, said: Path) -> None:
    """Run the grid's cells as children, and write what they say to a file."""
    os.environ.update(environment)
    with open(said, "a", buffering=1) as file:
        children = Children([sys.executable, "-c", CELL], folder, machine, 1, lambda line: print(line, file=file))
        run_prepared(*prepare(plan, machine), folder, runner=children)


def test_no_child_outlives_the_runner_and_the_same_command_goes_on(grid: Grid, tmp_path: Path) -> None:
    """Kill the runner while the second cell trains; run again: the first is left as it is, the tables are the same."""
    plan = make_plan(["tiny", "other"], ["tiny"], small(epochs=8))
    said = tmp_path / "said"

    def wait_for(start: str) -> None:
        until = time.monotonic() + 400
        while not any(line.startswith(start) for line in (said.read_text() if said.exists() else "").splitlines()):
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.01)

    work = (plan, grid.folder, grid.machine, said)
    runner = FORKS.Process(target=run_said, args=(dict(os.environ), *work))
    runner.start()
    wait_for("[2/2]   epoch 2/")
    runner.kill()
    runner.join()
    assert runner.exitcode == -signal.SIGKILL
    first = next((grid.machine.runs / "cells").glob("tiny-*"))
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    run_said({}, *work)
    lines = said.read_text().splitlines()
    assert any("resumed after epoch" in line for line in lines)
    assert not any("Fatal" in line for line in lines), "the watch over the runner does not disturb the cell's end"
    after = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert after == before, "what was finished is not run again"
    whole = Machine(tmp_path / "whole", grid.machine.data_root, "cpu", 1)
    run_matrix(plan, tmp_path / "whole" / "matrix", whole, lambda what: None)
    assert (grid.folder / "results.json").read_bytes() == (tmp_path / "whole" / "matrix" / "results.json").read_bytes()


def test_an_interruption_stops_every_child(grid: Grid) -> None:
    """One child says that it is ready; whoever listens is interrupted (Ctrl-C), while both children sleep."""
    sleeping = "print('ready', flush=True)\ntime.sleep(300)"

    def listen(line: str) -> None:
        if "ready" in line:
            raise KeyboardInterrupt

    children = Children(grid.fetching(sleeping), grid.folder, grid.machine, 2, listen)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_prepared(*grid.prepared(), grid.folder, runner=children)
    assert time.monotonic() - started < 60
    for child in children.live:
        assert child.wait(timeout=30) != 0


def test_collect_shows_what_is_there(grid: Grid) -> None:
    cells, tests = grid.prepared()
    document = run_prepared(cells, tests, grid.folder, runner=None)
    assert {cell["status"] for cell in document["cells"]} == {"missing"}
    source = grid.finished / "cells" / cells[1].folder.name
    cells[1].folder.parent.mkdir(parents=True)
    source.rename(cells[1].folder)
    document = run_prepared(cells, tests, grid.folder, runner=None)
    assert [cell["status"] for cell in document["cells"]] == ["missing", "missing", "ok", "ok"]
    assert document["cells"][2:] == grid.whole["cells"][2:]
    assert [entry["status"] for entry in document["summary"]] == ["missing", "missing", "ok", "ok"]
    assert num_failed(document) == 2


def test_a_changed_set_says_what_it_invalidates(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        write_tiny_set(tmp_path / "data" / name, seed)
    machine = Machine(tmp_path / "runs", tmp_path / "data", "cpu", 1)
    plan = make_plan(["one", "two"], ["one", "two"], small())
    folder = tmp_path / "runs" / "matrix"
    run_matrix(plan, folder, machine, lambda what: None)
    assert invalidated(folder, *prepare(plan, machine)) == []
    os.unlink(tmp_path / "data" / "two" / "query" / "0101_c1s1_000000_00.jpg")
    found = invalidated(folder, *prepare(plan, machine))
    assert len(found) == 1
    assert found[0].startswith("two has changed since the last run of this matrix: 1 trainings and 1 further tests")


def test_a_child_of_a_killed_runner_is_waited_for(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom reid_data.claims import only_writer\n"
        "with only_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(1.5)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    started = time.monotonic()
    children_module._wait_for_orphan(tmp_path)
    assert time.monotonic() - started > 0.5
    assert holder.wait() == 0


def test_seeds_and_intervals_in_the_document(tiny_root: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_root / "tiny", tmp_path / "mixed")
    shown = sorted((tmp_path / "mixed" / "bounding_box_test").iterdir())
    for path, other in zip(shown[::3], shown[7::3]):
        shutil.copy(other, path)  # pictures of somebody else, so that nobody is found perfectly
    machine = Machine(tmp_path, tmp_path, "cpu", 1)
    plan = make_plan(["mixed"], ["mixed"], small(epochs=1), [0, 1, 2])
    document = run_matrix(plan, tmp_path / "matrix", machine, lambda what: None)
    values = [cell["metrics"]["mAP"] for cell in document["cells"]]
    summary = document["summary"][0]
    numbers = summary["metrics"]["mAP"]
    assert summary["seeds"] == [0, 1, 2]
    assert numbers["mean"] == pytest.approx(sum(values) / 3)
    assert numbers["std"] == pytest.approx((sum((value - numbers["mean"]) ** 2 for value in values) / 2) ** 0.5)
    assert numbers["low"] < numbers["mean"] < numbers["high"]
    for cell in document["cells"]:
        low, high = cell["intervals"]["mAP"]
        assert low <= cell["metrics"]["mAP"] <= high
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_matrix_of_another_version_is_said_to_be_one(tiny_root, tmp_path):
    plan, machine, folder = (
        make_plan(["tiny"], ["tiny"], small()),
        Machine(tmp_path, tiny_root, "cpu", 1),
        tmp_path / "m",
    )
    run_matrix(plan, folder, machine, lambda what: None)
    document = json.loads((folder / "results.json").read_bytes())
    del document["settings_schema"]
    (folder / "results.json").write_text(json.dumps(document))
    (line,) = invalidated(folder, *prepare(plan, machine))
    assert "another version of this tool: its 1 trainings" in line
