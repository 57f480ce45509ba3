"""Two processes, and two hosts, at one folder: who may write, what a killed one leaves, what is swept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reid_data import claims, files
from reid_data.claims import is_claimed, only_writer
from reid_data.errors import EnvironmentFault
from reid_data.files import TEMPORARY_PREFIX, sweep_temporary, temporary_path, write_atomic
from reid_data.hosts import running_since, this_process

HOLD = """
import sys, time
from pathlib import Path
from reid_data.claims import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """Starts a process that claims a folder, on a host of some name; each is ended and waited for at the end."""
    started = []

    def begin(folder: Path, host: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, env={**os.environ, "REID_HOST": host}
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        return child

    yield begin
    for child in started:
        child.kill()
        child.wait()


def claim(folder: Path) -> Path:
    """Where the claim of a folder lies."""
    return folder.parent / f".{folder.name}.claim"


def forge(folder: Path, *, age: float = 0, **changes: object) -> None:
    """The claim of another process, last touched `age` seconds ago."""
    claim(folder).write_text(json.dumps({**vars(this_process()), "random": "0", **changes}))
    os.utime(claim(folder), (time.time() - age, time.time() - age))


def test_a_claim_leaves_no_trace(tmp_path):
    with only_writer(tmp_path / "new" / "deep" / "out"):
        assert claim(tmp_path / "new" / "deep" / "out").exists()
        assert is_claimed(tmp_path / "new" / "deep" / "out")
    assert os.listdir(tmp_path) == []
    with only_writer(tmp_path / "new" / "out"):
        (tmp_path / "new" / "out").mkdir()
    assert os.listdir(tmp_path / "new") == ["out"]


def test_a_link_and_its_target_are_one_folder(tmp_path):
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real")
    with only_writer(tmp_path / "deep" / "real"), pytest.raises(EnvironmentFault, match="another process"):
        claims._Held(claims._claim_of(tmp_path / "link"), tmp_path / "link")


@pytest.mark.parametrize("host", ["here", "there"])
def test_a_second_writer_is_refused_on_every_host(tmp_path, hold, host, monkeypatch):
    monkeypatch.setenv("REID_HOST", "here")
    child = hold(tmp_path / "out", host)
    with (
        pytest.raises(EnvironmentFault, match=f"process {child.pid} of {host}") as caught,
        only_writer(tmp_path / "out"),
    ):
        pass
    assert ("5 minutes" in str(caught.value)) == (host == "there")
    assert caught.value.exit_code == 4
    assert is_claimed(tmp_path / "out")


def test_one_killed_here_is_followed_at_once_one_killed_elsewhere_when_its_claim_lapses(tmp_path, hold, monkeypatch):
    monkeypatch.setenv("REID_HOST", "here")
    for host in ("here", "there"):
        child = hold(tmp_path / host, host)
        child.send_signal(signal.SIGKILL)
        while running_since(child.pid) is not None:
            time.sleep(0.01)  # not waited for: a zombie holds nothing
    with only_writer(tmp_path / "another"):
        assert sorted(os.listdir(tmp_path)) == [".another.claim", ".there.claim"], "what is dead for certain goes"
    with only_writer(tmp_path / "here"):
        pass
    with pytest.raises(EnvironmentFault, match="of there"), only_writer(tmp_path / "there"):
        pass
    os.utime(claim(tmp_path / "there"), (time.time() - 301, time.time() - 301))
    with only_writer(tmp_path / "there"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "age", "held"),
    [
        ({}, 9999, True),  # suspended, and alive
        ({"pid": 4_000_000}, 0, False),
        ({"started": "1"}, 0, False),  # another process has its number now
        ({"boot": "before"}, 0, False),
        ({"space": "pid:[1]"}, 0, True),  # a container's own numbers
        ({"space": "pid:[1]"}, 301, False),
        ({"machine": "twin"}, 0, True),  # another machine of the same name
        ({"machine": "twin"}, 301, False),
        ({"host": "there"}, 290, True),
        ({"host": "there"}, 301, False),
    ],
)
def test_whose_claim_holds(tmp_path, changes, age, held):
    forge(tmp_path / "out", age=age, **changes)
    assert is_claimed(tmp_path / "out") == held
    if held:
        with pytest.raises(EnvironmentFault, match="another process"), only_writer(tmp_path / "out"):
            pass
    else:
        with only_writer(tmp_path / "out"):
            pass


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"pid": 1}'])
def test_a_claim_that_is_being_written_holds_until_it_lapses(tmp_path, data):
    claim(tmp_path / "out").write_bytes(data)
    assert is_claimed(tmp_path / "out")
    os.utime(claim(tmp_path / "out"), (1, 1))
    assert not is_claimed(tmp_path / "out")


def test_of_two_that_take_over_at_once_one_wins(tmp_path, monkeypatch):
    """Between the look at a claim that lapsed and its removal, another process is quicker."""
    forge(tmp_path / "out", age=301, host="there")
    real = claims._lives

    def be_slow(found):
        lives = real(found)
        forge(tmp_path / "out", host="elsewhere")
        return lives

    monkeypatch.setattr(claims, "_lives", be_slow)
    with pytest.raises(EnvironmentFault, match="another process"), only_writer(tmp_path / "out"):
        pass
    assert json.loads(claim(tmp_path / "out").read_bytes())["host"] == "elsewhere"
    assert os.listdir(tmp_path) == [".out.claim"]


def test_a_claim_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    with only_writer(tmp_path / "out"):
        os.utime(claim(tmp_path / "out"), (1, 1))
        while claim(tmp_path / "out").stat().st_mtime == 1:
            time.sleep(0.01)


def test_who_lost_a_claim_stops_and_leaves_the_others_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)

    def work() -> None:
        with only_writer(tmp_path / "out"):
            forge(tmp_path / "out", host="there")
            time.sleep(30)

    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match="was taken over"):
        work()
    assert time.monotonic() - started < 20
    assert is_claimed(tmp_path / "out"), "by the other"


def test_a_refused_claim_is_said_in_words(tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(claims.os, "open", refuse)
    with pytest.raises(EnvironmentFault, match=r"\.out\.claim' cannot be made: Permission denied"):
        claims._make(claim(tmp_path / "out"), b"")


def test_no_two_temporaries_have_one_name(tmp_path, monkeypatch):
    """Not even where containers share a host's name and number their processes alike."""
    found = {temporary_path(tmp_path / "file").name for _ in range(1000)}
    assert len(found) == 1000
    monkeypatch.setenv("REID_HOST", "of/../some host")
    assert temporary_path(tmp_path / "file").name.startswith(f"{TEMPORARY_PREFIX}of_.._some_host-{os.getpid()}-")


def test_only_what_a_dead_process_left_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("REID_HOST", "there-1")
    theirs, old = temporary_path(tmp_path / "x"), temporary_path(tmp_path / "x")
    monkeypatch.setenv("REID_HOST", "here")
    ours, stuck = temporary_path(tmp_path / "x"), temporary_path(tmp_path / "x")
    dead = ours.with_name(ours.name.replace(f"-{os.getpid()}-", "-99999999-"))
    for path in (theirs, old, ours, stuck, dead, tmp_path / ".tmp-1-2", tmp_path / "kept"):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 86401, time.time() - 86401))
    os.utime(stuck, (time.time() - 3601, time.time() - 3601))
    assert sweep_temporary(tmp_path) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([theirs.name, ours.name, "kept"])


def test_two_hosts_write_one_file_at_once(tmp_path, monkeypatch):
    """Both are half-way at the same time, on hosts that number processes alike; the file is one of the two."""
    monkeypatch.setattr(files.os, "getpid", lambda: 7)
    with files.replacing(tmp_path / "file") as first:
        first.write_bytes(b"first")
        write_atomic(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]
