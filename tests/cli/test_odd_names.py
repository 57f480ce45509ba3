"""Names of folders and files that hold control characters: escaped wherever they are printed, whatever the command."""

import importlib
import logging
import os
import subprocess
import sys

import pytest

from tests.data.people import tree, write_people_set

ODD = "evil\x1b[2J\x1b]0;title\x07\r\nError: forged\t\u202e\x9b31m\udcff"
FILE = "0009_c1s1_000001_00\x1b[31m\nListed: forged.jpg"


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run a command on a data root with such a set, one of whose pictures is broken; all it wrote, to both streams."""
    root = tmp_path / "data"
    write_people_set(root / "market")
    write_people_set(root / ODD)
    (root / ODD / "bounding_box_train" / FILE).write_bytes(b"")
    monkeypatch.setenv("REID_DATA", str(root))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        application = "train" if arguments[0] in ("fit", "evaluate", "extract", "matrix", "rank") else "data"
        monkeypatch.setattr(sys, "argv", [f"reid-{application}", *arguments])
        with pytest.raises(SystemExit):
            importlib.import_module(f"reid_cli.{application}").main()
        out, err = capsys.readouterr()
        return out + err

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--data-root", ODD],
        ["list", f"--{ODD}"],
        [ODD],
        ["stats", ODD, "--workers", "1"],
        ["stats", ODD[:-1], "--workers", "1"],
        ["stats", ODD, "--splits", ODD],
        ["check", ODD, "--workers", "1"],
        ["segment", ODD, "--segmenter", "precomputed", "--workers", "1"],
        ["segment", ODD, "--segmenter", ODD],
        ["backgrounds", ODD, "--segmenter", "precomputed", "--min-quality", "0", "--workers", "1"],
        [
            "composite",
            "--fg",
            ODD,
            "--bg",
            "market",
            "--segmenter",
            "precomputed",
            "--out",
            ODD + "2",
            "--workers",
            "1",
        ],
        ["composite", "--fg", ODD, "--bg", "market", "--segmenter", "precomputed", "--dry-run"],
        ["composite", "--fg", ODD, "--bg", "market", "--segmenter", "precomputed", "--preview", "2"],
        ["verify", ODD],
        ["forget", ODD, "--pid", "1"],
        ["import", f"{ODD}.csv", "--out", "x"],
        ["fit", "--train", "market", "--name", ODD, "--weights", "none", "--dry-run"],
        ["fit", "--train", f"{ODD}/no", "--weights", "none", "--dry-run"],
        ["fit", "--train", "market", "--weights", ODD, "--dry-run"],
        ["fit", "--train", "market", "--set", f"{ODD}=1"],
        ["fit", "--train", "market", "--recipe", ODD],
        ["evaluate", ODD],
        ["extract", ODD, "market"],
        ["matrix", "--train", ODD, "--test", ODD, "--weights", "none", "--dry-run"],
    ],
    ids=lambda arguments: " ".join(argument if argument.isprintable() else "ODD" for argument in arguments),
)
def test_no_control_character_reaches_the_terminal(arguments, said):
    text = said(*arguments)
    assert text.strip()
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    assert "\nListed: forged" not in text, "a line of its own would look like ours"


@pytest.mark.parametrize("arguments", [["list"], ["stats", "nothere"], ["fit", "--train", "nothere", "--dry-run"]])
def test_a_set_that_lies_there_forges_no_line(arguments, said):
    assert "\nError: forged" not in said(*arguments)


def test_the_name_is_there_with_escapes(said):
    assert "evil\\x1b[2J\\x1b]0;title\\x07\\r\\nError: forged\\t\\u202e\\x9b31m\\udcff" in said("list")
    assert "\\x1b[31m\\nListed: forged.jpg is empty (0 bytes)" in said("stats", ODD, "--workers", "1")


def test_so_do_the_training_log_lines(capsys):
    from reid_cli.runs import epoch_lines

    with epoch_lines():
        logging.getLogger("reid_train").info("left out %s", ODD[:-1])
    assert "evil\\x1b[2J" in capsys.readouterr().err


def test_names_are_the_same_under_every_locale(tmp_path):
    for name in ("m\xe4rkt", "d\xfck"):
        write_people_set(tmp_path / name)
    found = []
    for number, locale in enumerate(({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"})):
        out = tmp_path / str(number) / "komp\xf6sit"
        command = f"composite --fg m\xe4rkt --bg d\xfck --segmenter precomputed --limit 2 --workers 2 --out {out}"
        environment = {**os.environ, "REID_DATA": str(tmp_path), "PYTHONCOERCECLOCALE": "0", **locale}
        line = [os.fsencode(word) for word in (sys.executable, "-m", "reid_data", *command.split())]
        done = subprocess.run(line, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "komp\xf6sit" in done.stderr.decode()
        found.append(tree(out))
    assert found[0] == found[1] == found[2]
    assert "m\xe4rkt" in found[0]["README.md"].decode()
