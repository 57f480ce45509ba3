"""`reid-data synth`: what it says, keeps and refuses."""

import json

from click.testing import CliRunner
from reid_cli.data.synth import synth

TINY = ["--train", "4", "--ids", "2", "--workers", "1"]


def call(*arguments: str):
    return CliRunner().invoke(synth, [*arguments], catch_exceptions=False)


def test_a_dry_run_counts_and_writes_nothing(tmp_path):
    done = call("--data-root", str(tmp_path), "--dry-run", "--json")
    rows = json.loads(done.stdout)
    assert [row["network"] for row in rows] == ["market", "duke"]
    assert all(row["counts"]["train"] == 700 and row["state"] == "would be made" for row in rows)
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_there_is_kept(tmp_path, monkeypatch):
    from reid_data.synth import generate

    monkeypatch.setattr(generate, "_write_group", lambda task: len(task[3]))
    assert "market: made" in call("market", "--data-root", str(tmp_path), *TINY).stdout
    assert "already there" in call("market", "--data-root", str(tmp_path), *TINY).stdout
    assert "market: made" in call("market", "--data-root", str(tmp_path), *TINY, "--seed", "3").stdout


def test_an_unknown_network_is_refused_with_the_nearest_name(tmp_path):
    from reid_data.errors import UsageError

    done = CliRunner().invoke(synth, ["markt", "--data-root", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert "Did you mean 'market'" in str(done.exception)
