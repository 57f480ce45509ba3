"""Sets whose names hold what stands between names on the command line: `list` says how to type them, and so they are found."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.data import app as data
from reid_cli.options import names_list, typed
from reid_cli.train import app as train

from tests.train.conftest import write_tiny_set

NAMES = ("plain", "a,b", "a+b", r"c,d+e, f")
SMALL = ["--weights", "none", "--batch-ids", "2", "--batch-images", "2"]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small set of each name, and one that is called like the half of another."""
    root = tmp_path_factory.mktemp("data")
    for name in (*NAMES, "a"):
        write_tiny_set(root / name, num_ids=3)
    return root


def run(application: object, *arguments: object) -> str:
    done = CliRunner().invoke(
        application, [str(part) for part in arguments], catch_exceptions=False, standalone_mode=False
    )  # type: ignore[arg-type]
    assert done.return_value in (0, None), done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back_as_it_was(name: str) -> None:
    assert [part.replace("\\+", "+") for part in names_list(f"{typed(name)} , other,")] == [name, "other"]


@pytest.mark.parametrize(("name", "form"), [("plain", "{}"), ("a,b", "./{}"), (NAMES[-1], "{}")])
def test_fit_and_matrix_find_them(
    name: str, form: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_root)
    wanted = form.format(typed(name))
    places = ["--runs", tmp_path / "runs", "--data-root", ".", "--device", "cpu", "--dry-run"]
    trained = run(train, "fit", "--train", f"{wanted},a:0.7", "--test", wanted, *SMALL, "--json", *places)
    assert json.loads(trained)["train"] == [name, "a:0.7"]
    small = [
        part
        for key, value in zip(SMALL[::2], SMALL[1::2])
        for part in ("--set", f"{key[2:].replace('-', '_')}={value}")
    ]
    rows = run(train, "matrix", "--train", f"{wanted}+a,{wanted}", "--test", wanted, *small, *places)
    assert "2 trainings" in rows


def test_list_says_how_to_type_them(data_root: Path) -> None:
    lines = run(data, "list", "--data-root", data_root).splitlines()
    assert not any("--train" in line for line in lines if line.startswith("plain"))
    for name in NAMES[1:]:
        assert any(line.startswith(name) and f"for --train and --test: '{typed(name)}'" in line for line in lines), name
