"""`reid-data subset` as typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.data import app

from reid_data.errors import InputError, UsageError
from tests.data.people import write_people_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set of people."""
    write_people_set(tmp_path / "market", num_ids=4)
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    """A command on the data root, with its exit code; errors for users are raised."""
    return CliRunner().invoke(app, [*arguments, "--data-root", str(root)], standalone_mode=False)


def test_two_halves_that_share_nobody(root: Path) -> None:
    halves = [run(root, "subset", "market", "--ids", ids, "--out", ids, "--json") for ids in ("even", "odd")]
    assert [half.return_value for half in halves] == [0, 0]
    splits = [json.loads(half.stdout)["splits"] for half in halves]
    assert [(one["train"]["ids"], one["query"]["ids"], one["gallery"]["ids"]) for one in splits] == [(2, 2, 2)] * 2
    again = run(root, "subset", "market", "--ids", "even", "--out", "even")
    assert again.stdout == f"{root / 'even'}\n"
    assert "finished already" in again.stderr
    listed = json.loads(run(root, "list", "--json").stdout)["found"]
    assert {row["name"]: row["kind"] for row in listed} == {
        "even": "subset", "market": "photographs", "odd": "subset",
    }  # fmt: skip
    for command in (["check", "even"], ["stats", "even"], ["verify", "even"], ["forget", "even", "--pid", "2"]):
        assert run(root, *command).return_value == 0
    assert run(root, "verify", "even").return_value == 0
    made = run(root, "composite", "--fg", "even", "--bg", "odd", "--segmenter", "grabcut", "--min-quality", "0")
    assert made.exception is None


def test_queries_that_nobody_can_match_are_said(root: Path) -> None:
    made = run(root, "subset", "market", "--cameras", "1", "--out", "one")
    assert made.return_value == 0
    assert "Note: 4 of 4 queries have no gallery image of the same person from another camera" in made.stderr


def test_a_file_called_even_is_not_meant(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    Path("even").write_text("3\n")
    assert "2 people" in run(root, "subset", "market", "--ids", "even", "--out", "part").stderr


def test_ids_of_a_file(root: Path) -> None:
    (root / "ids.txt").write_text("2 51\n")
    made = run(root, "subset", "market", "--ids", str(root / "ids.txt"), "--out", "two", "--splits", "train,query")
    assert "train: 2 images of 1 people from 2 cameras" in made.stderr
    assert "gallery: 0 images" in made.stderr
    with pytest.raises(InputError, match="cannot be read"):
        raise run(root, "subset", "market", "--ids", str(root / "no.txt"), "--out", "none").exception
    with pytest.raises(UsageError, match="--ids 'some'"):
        raise run(root, "subset", "market", "--ids", "some", "--out", "none").exception


def test_what_only_a_composite_has_is_not_asked_of_a_subset(root: Path) -> None:
    run(root, "subset", "market", "--out", "all")
    for command in ("quality", "preview"):
        with pytest.raises(InputError, match="no set made by 'reid-data composite'"):
            raise run(root, command, "all").exception
