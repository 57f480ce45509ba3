"""Output that nobody takes: a full device, a reader that has gone, closed streams."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reid_data.errors import EnvironmentFault
from reid_data.files import write_atomic
from tests.train.conftest import write_tiny_set

FULL = "cannot write to the standard output: No space left on device."


def shell(tail: str, *arguments: str, application: str = "data", **environment: str) -> tuple[list[int], str, str]:
    """A command in a shell line, `tail` behind it; (exit codes of the pipe, stdout, stderr)."""
    script = f"import sys; sys.argv[0] = 'reid-{application}'; from reid_cli.{application} import main; main()"
    line = f'"$@" {tail}; echo "${{PIPESTATUS[@]}}" >&3'
    ours, theirs = os.pipe()
    done = subprocess.run(
        ["bash", "-c", line.replace("&3", f"&{theirs}"), "bash", sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        pass_fds=[theirs],
        env={**os.environ, **environment},
        check=False,
    )
    os.close(theirs)
    with open(ours) as codes:
        return [int(code) for code in codes.read().split()], done.stdout, done.stderr


@pytest.mark.parametrize(
    ("application", "arguments"),
    [
        ("data", ["list", "--json"]),
        ("data", ["--help"]),
        ("train", ["options"]),
        ("train", ["--version"]),
    ],
)
def test_a_full_device_is_the_reason_given(application, arguments, tmp_path):
    codes, _, said = shell(">/dev/full", *arguments, application=application, REID_DATA=str(tmp_path))
    assert codes == [4]
    assert FULL in said
    assert "Traceback" not in said


def test_a_full_device_in_place_of_both_streams_leaves_the_code(tmp_path):
    for arguments, code in ((["list"], 4), (["stats", "nothere"], 2), (["no-such-command"], 2)):
        codes, out, said = shell(">/dev/full 2>&1", *arguments, REID_DATA=str(tmp_path))
        assert (codes, out, said) == ([code], "", "")
    assert shell("2>/dev/full", "list", REID_DATA=str(tmp_path))[0] == [4], "its last words cannot be told"


def test_a_reader_that_has_gone_ends_it_quietly(tmp_path):
    codes, out, said = shell("| head -1", "options", application="train")
    assert len(out.splitlines()) == 1
    assert codes[0] in (0, 141), "0 where the pipe took all that was written before its reader left"
    assert said == ""
    codes, _, said = shell("| true", "options", application="train")
    assert (codes, said) == ([141, 0], "")
    codes, out, _ = shell("2>&1 >/dev/null | true", "list", REID_DATA=str(tmp_path))
    assert codes == [141, 0]


def test_closed_streams_are_as_nowhere(tmp_path):
    assert shell(">&-", "list", REID_DATA=str(tmp_path))[0] == [0]
    assert shell("2>&-", "list", REID_DATA=str(tmp_path)) == ([0], "", "")
    assert shell(">&- 2>&-", "stats", "nothere", REID_DATA=str(tmp_path))[0] == [2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_an_encoding_lacks_are_written(encoding, tmp_path):
    write_tiny_set(tmp_path / "sets" / "路\udcff", 0)
    codes, out, said = shell("", "list", REID_DATA=str(tmp_path / "sets"), PYTHONIOENCODING=encoding)
    assert (codes, said.count("\n")) == ([0], 1)
    assert "\\udcff" in out.splitlines()[1]


def test_a_disk_that_takes_no_writes_is_named_not_its_cleaning_up(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(EnvironmentFault, match=r"cannot write '.*p\.jpg': Read-only file system"):
        write_atomic(tmp_path / "p.jpg", b"bytes")
