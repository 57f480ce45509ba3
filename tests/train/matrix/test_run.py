"""The matrix as a whole on tiny sets and a tiny network: cells, reuse, failures, checks before the first epoch."""

import re
import shutil
from pathlib import Path

import pytest

from reid_data.errors import InputError, UsageError
from reid_data.images import write_image
from reid_train.evaluation.protocol import chance_map
from reid_train.matrix.command import fit_command
from reid_train.matrix.plan import make_plan
from reid_train.matrix.run import Machine, num_failed, prepare, run_matrix
from reid_train.runs.matrix_document import read_results, row_name
from reid_train.testing import test as run_test
from reid_train.training.fit import fit
from reid_train.training.training import Training
from tests.conftest import random_image
from tests.train.conftest import make_transparent, small, write_tiny_set

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def quiet(what: str) -> None:
    """No progress."""


def run(trains: list[str], tests: list[str], runs: Path, data_root: Path, **plan) -> dict:
    """Run a grid with one process on the CPU."""
    return run_matrix(
        make_plan(trains, tests, small(), **plan), runs / "matrix", Machine(runs, data_root, "cpu", 1), quiet
    )


def test_every_cell_is_what_fit_and_test_give_alone(tiny_root, tiny, tmp_path):
    document = run(["tiny", "other"], ["tiny", "other"], tmp_path, tiny_root)
    assert [(cell["train"], cell["test"]) for cell in document["cells"]] == [
        ("tiny", "tiny"), ("tiny", "other"), ("other", "tiny"), ("other", "other"),
    ]  # fmt: skip
    alone = tmp_path / "alone"
    fit(small(), [tiny], alone, device="cpu", workers=1)
    assert run_test(alone, tiny, device="cpu", workers=1).metrics["tiny"] == document["cells"][0]["metrics"]
    assert read_results(tmp_path / "matrix") == document
    assert num_failed(document) == 0


def test_the_same_call_again_trains_nothing_and_writes_the_same_bytes(tiny_root, tmp_path, monkeypatch):
    run(["tiny"], ["tiny"], tmp_path, tiny_root)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "matrix").iterdir())}
    assert [path.name for path in before] == ["results.json"]
    monkeypatch.setattr("reid_train.training.fit.Training", lambda *_: pytest.fail("trained again"))
    run(["tiny"], ["tiny"], tmp_path, tiny_root)
    assert {path: path.read_bytes() for path in before} == before


def test_a_new_column_or_seed_runs_only_what_is_new(tiny_root, tmp_path, monkeypatch):
    run(["tiny"], ["tiny"], tmp_path, tiny_root)
    started = []
    real = Training
    monkeypatch.setattr(
        "reid_train.training.fit.Training", lambda *values: started.append(values[0].seed) or real(*values)
    )
    document = run(["tiny"], ["tiny", "other"], tmp_path, tiny_root, seeds=[0, 1])
    assert started == [1]
    assert len(document["cells"]) == 4


def test_a_changed_data_set_is_trained_again(tmp_path):
    root = write_tiny_set(tmp_path / "data" / "mine")
    first = run(["mine"], ["mine"], tmp_path / "runs", tmp_path / "data")["trainings"][0]["key"]
    write_image(root / "bounding_box_train" / "0001_c1s1_000000_00.jpg", random_image(1))
    assert run(["mine"], ["mine"], tmp_path / "runs", tmp_path / "data")["trainings"][0]["key"] != first


def test_cells_over_a_matte_are_done_once(tmp_path, monkeypatch):
    make_transparent(write_tiny_set(tmp_path / "glass"))
    plan, machine = make_plan(["glass"], ["glass"], small(matte="10,200,60")), Machine(tmp_path, tmp_path, "cpu", 1)
    document = run_matrix(plan, tmp_path / "matrix", machine, quiet)
    assert num_failed(document) == 0
    monkeypatch.setattr("reid_train.matrix.runner.run_test", lambda *_, **__: pytest.fail("tested again"))
    monkeypatch.setattr("reid_train.training.fit.Training", lambda *_: pytest.fail("trained again"))
    assert run_matrix(plan, tmp_path / "matrix", machine, quiet) == document


def test_axes_and_unions(tiny_root, tmp_path):
    document = run(["tiny+other:0.5"], ["tiny"], tmp_path, tiny_root, axes={"temperature": ["0.05", "0.1"]})
    names = [row_name(entry) for entry in document["summary"]]
    assert names == ["tiny+other:0.5, temperature=0.05", "tiny+other:0.5, temperature=0.1"]
    assert len({row["key"] for row in document["trainings"]}) == 2


def test_a_failed_training_is_a_row_and_the_grid_goes_on(tiny_root, tmp_path, monkeypatch):
    real = fit

    def fail_on_tiny(settings, datasets, *rest, **options):
        if datasets[0].name == "tiny":
            raise InputError("the loss is not finite")
        return real(settings, datasets, *rest, **options)

    monkeypatch.setattr("reid_train.matrix.runner.fit", fail_on_tiny)
    document = run(["tiny", "other"], ["tiny"], tmp_path, tiny_root)
    assert [(cell["status"], cell["reason"]) for cell in document["cells"]] == [
        ("failed", "the loss is not finite"),
        ("ok", ""),
    ]
    assert num_failed(document) == 1


def test_unreadable_images_make_the_grid_incomplete(tmp_path):
    root = write_tiny_set(tmp_path / "data" / "mine")
    (root / "bounding_box_train" / "0001_c1s1_000000_00.jpg").write_bytes(b"")
    (root / "query" / "0101_c1s1_000000_00.jpg").write_bytes(b"")
    assert num_failed(run(["mine"], ["mine"], tmp_path / "runs", tmp_path / "data")) == 2


@pytest.mark.parametrize(
    ("trains", "tests", "kind", "message"),
    [
        (["tiny"], ["people"], InputError, "'people' cannot be tested on: it has 0 query"),
        (["tiny"], ["othr"], UsageError, "Did you mean 'other'"),
        (["one"], ["tiny"], InputError, "'one' cannot be trained on"),
    ],
)
def test_everything_is_checked_before_the_first_epoch(tiny_root, tmp_path, trains, tests, kind, message):
    for name, person in (("people", "0001"), ("people", "0002"), ("one", "0001")):
        (tmp_path / name / "bounding_box_train").mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name / "bounding_box_train" / f"{person}_c1s1_000001_00.jpg", random_image(1))
    for name in ("tiny", "other"):
        (tmp_path / name).symlink_to(tiny_root / name)
    with pytest.raises(kind, match=message):
        prepare(make_plan(trains, tests, small()), Machine(tmp_path / "runs", tmp_path, "cpu", 1))
    assert not (tmp_path / "runs").exists()


def test_chance_stands_beside_the_scores(tiny_root, tiny, tmp_path):
    document = run(["tiny"], ["tiny"], tmp_path, tiny_root)
    ids = [
        [[getattr(record, key) for record in part] for part in (tiny.query, tiny.gallery)] for key in ("pid", "camid")
    ]
    expected = chance_map(ids[0][0], ids[1][0], ids[0][1], ids[1][1])
    assert document["tests"]["tiny"]["chance_mAP"] == expected
    assert 0 < expected < 0.5


def test_a_finished_run_is_a_row_that_is_only_tested(tiny_root, tiny, tmp_path, monkeypatch):
    """Beside a training that two seeds and an axis multiply, the run is one row, with its own settings on the axis."""
    fit(small(seed=7, lr=0.02), [tiny], tmp_path / "mine", device="cpu", workers=1)
    document = run(
        ["run:mine", "tiny"], ["tiny", "other"], tmp_path, tiny_root, seeds=[0, 1], axes={"lr": ["0.01", "0.02"]}
    )
    assert [row["train"] for row in document["trainings"]] == ["run:mine", *["tiny"] * 4]
    first = document["trainings"][0]
    assert (first["run"], first["seed"], first["axes"], first["status"]) == ("mine", 7, {"lr": 0.02}, "ok")
    assert [card["name"] for card in first["sets"]] == ["tiny"]
    alone = run_test(tmp_path / "mine", tiny, device="cpu", workers=1)
    assert document["cells"][0]["metrics"] == alone.metrics["tiny"]
    assert "run:mine" not in document["digests"]
    monkeypatch.setattr("reid_train.matrix.runner.fit", lambda *_, **__: pytest.fail("trained again"))
    again = run(["run:mine"], ["tiny", "other"], tmp_path, tiny_root)
    assert [cell["metrics"] for cell in again["cells"]] == [cell["metrics"] for cell in document["cells"][:2]]


def test_a_run_whose_set_is_gone_is_still_a_row(tiny_root, tiny, tmp_path):
    fit(small(), [tiny], tmp_path / "mine", device="cpu", workers=1)
    shutil.copytree(tiny_root / "other", tmp_path / "data" / "other")
    document = run(["run:mine"], ["other"], tmp_path, tmp_path / "data")
    assert document["trainings"][0]["sets"][0]["terms"].startswith("unknown")
    assert document["cells"][0]["status"] == "ok"


@pytest.mark.parametrize(("text", "error"), [("run:", UsageError), ("run:a/b", UsageError), ("run:nobody", InputError)])
def test_a_row_that_is_no_finished_run_is_refused(text, error, tiny_root, tmp_path):
    with pytest.raises(error, match=re.escape(f"--train {text}" if error is InputError else f"--train '{text}'")):
        run([text], ["tiny"], tmp_path, tiny_root)


def test_the_command_of_a_finished_run_evaluates_it(tiny_root, tiny, tmp_path):
    fit(small(), [tiny], tmp_path / "mine", device="cpu", workers=1)
    machine = Machine(tmp_path, tiny_root, "cpu", 1)
    plan = make_plan(["run:mine"], ["tiny"], small(rerank="20,6,0.3", flip_test=True))
    cells, tests = prepare(plan, machine)
    command = fit_command(cells[0], tests, machine)
    assert command[:4] == ["evaluate", str(tmp_path / "mine"), "--test", "tiny"]
    assert {"--flip-test", "20,6,0.3"} <= set(command)
