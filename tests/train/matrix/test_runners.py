"""What holds for every runner: the same cells, failures and document; resume, interruption, and what is tried again.

The processes are those of the command line, but for the tiny network and the faults that are ordered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reid_cli.train import matrix as command

from reid_data.datasets import load_dataset
from reid_train import testing
from reid_train.matrix import runner as runner_module
from reid_train.matrix.cells import Machine, prepare
from reid_train.matrix.plan import Plan, make_plan
from reid_train.matrix.run import run_prepared
from reid_train.matrix.runner import InProcess, Runner
from reid_train.training.fit import fit, plan
from tests.train.conftest import small
from tests.train.matrix.faults import Faults

pytestmark = pytest.mark.usefixtures("tiny_backbone")
SETS = ("tiny", "other")


class Bench:
    """A grid in a folder, run by one of the runners; `said` has every line of it, `at_step` is called as trainings go on."""

    def __init__(self, kind: str, place: Path, data_root: Path, plan: Plan) -> None:
        self.kind, self.machine, self.plan = kind, Machine(place / "runs", data_root, "cpu", 1), plan
        self.faults = Faults(place / "faults.json")
        self.said: list[str] = []
        self.at_step: Callable[[], None] = lambda: None

    @property
    def folder(self) -> Path:
        return self.machine.runs / "matrix"

    def runner(self) -> Runner:
        if self.kind == "in-process":
            return InProcess(self.machine, self._announce)
        made = command.cell_processes(self.folder, self.machine, 2)
        made.say = self._say
        return made

    def run(self, **options: Any) -> dict[str, Any]:
        """Run what is missing; `said` begins anew."""
        self.said.clear()
        return run_prepared(*prepare(self.plan, self.machine), self.folder, runner=self.runner(), **options)

    def document(self) -> bytes:
        return (self.folder / "results.json").read_bytes()

    def _announce(self, what: str) -> Callable[[int, int], None]:
        self._say(what)
        return lambda step, steps: self.at_step() if "training" in what and step > 2 * small().iterations else None

    def _say(self, line: str) -> None:
        self.said.append(line)
        if "  epoch 2/" in line:
            self.at_step()


@pytest.fixture(params=["in-process", "children"])
def bench(request: pytest.FixtureRequest, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A grid of two trainings on two sets, and a runner."""
    made = Bench(request.param, tmp_path, tiny_root, make_plan(SETS, SETS, small()))
    monkeypatch.setattr(command, "SELF", made.faults.program() + command.SELF)
    monkeypatch.setattr(runner_module, "fit", made.faults.in_fit(fit))
    monkeypatch.setattr(runner_module, "run_test", made.faults.in_test(testing.test))
    return made


def whole(plan: Plan, place: Path, data_root: Path) -> bytes:
    """The document of a grid whose cells were made without any runner, by `fit` and `test` themselves."""
    machine = Machine(place, data_root, "cpu", 1)
    cells, tests = prepare(plan, machine)
    for cell in cells:
        fit(cell.training.settings, cell.datasets, cell.folder, device="cpu", workers=1)
        for name in plan.tests:
            testing.test(cell.folder, load_dataset(name, data_root), device="cpu", workers=1)
    run_prepared(cells, tests, place / "matrix", runner=None)
    return (place / "matrix" / "results.json").read_bytes()


def test_failures_are_recorded_and_the_document_of_the_mended_grid_is_that_of_fit_and_test(
    bench: Bench, tiny_root: Path, tmp_path: Path
) -> None:
    expected = whole(bench.plan, tmp_path / "whole", tiny_root)
    bench.faults.order(
        train_other=("InputError", "the loss is not finite"), tiny_on_tiny=("EnvironmentFault", "no space\nis left")
    )
    document = bench.run()
    assert [(row["status"], row["reason"]) for row in document["trainings"]] == [
        ("ok", ""), ("failed", "the loss is not finite"),
    ]  # fmt: skip
    assert [(cell["status"], cell["reason"]) for cell in document["cells"]] == [
        ("failed", "no space"), ("ok", ""), *[("failed", "the loss is not finite")] * 2,
    ]  # fmt: skip

    bench.faults.order()
    document = bench.run()
    assert not any("other, seed 0" in line for line in bench.said), "what failed of itself is left alone"
    assert [cell["status"] for cell in document["cells"]] == ["ok", "ok", "failed", "failed"], "a full disk is not"
    assert bench.document() != expected

    bench.run(retry_failed=True)
    assert bench.document() == expected
    assert not (bench.folder / "failures.json").exists()
    bench.run()
    assert (bench.said, bench.document()) == ([], expected), "what is done is not run again"


def test_an_interrupted_grid_goes_on_from_where_it_stood(bench: Bench, tiny_root: Path, tmp_path: Path) -> None:
    bench.plan = make_plan(["tiny"], ["tiny"], small(epochs=40))

    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.at_step = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert not (bench.folder / "results.json").exists()
    (cell,), _ = prepare(bench.plan, bench.machine)
    state = plan(cell.training.settings, cell.datasets, cell.folder, device="cpu")["state"]
    assert state.startswith("goes on after epoch"), "the training had begun, and was not done yet"

    bench.at_step = lambda: None
    bench.run()
    assert bench.document() == whole(bench.plan, tmp_path / "whole", tiny_root)
