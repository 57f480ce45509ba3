"""What is drawn on a terminal and what is written elsewhere, seen through a pseudo-terminal."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest
from reid_cli import errors, terminal

BAR = (
    "from reid_cli.terminal import Progress, say\n"
    "with Progress('masks') as progress:\n"
    "    progress(0, 48)\n"
    "    say('between [red]names[/red] \\x1b[2J')\n"
    "    progress(48, 48)\n"
)
TABLE = (
    "from reid_cli.tables import print_table\n"
    "print_table(['judge', 'mean', 'meaning'], [['[b]rim[/b]\\x1b[2J', '0.123', 'how far the rim is off the rest']], left=(0, 2))\n"
)
STOPPED = (
    "from reid_cli.terminal import Progress\n"
    "with Progress('masks') as progress:\n"
    "    progress(1, 48)\n"
    "    raise KeyboardInterrupt\n"
)
FAILS = "import sys; sys.argv = ['reid-data', 'stats', 'nothere']\nfrom reid_cli.data import main\nmain()\n"
PLAIN = dict.fromkeys(("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"), "")


def on_terminal(script: str, columns: int = 80, **environment: str) -> str:
    """All that a script writes to a terminal of that width, stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, **PLAIN, "TERM": "xterm-256color", **environment}
    env = {name: value for name, value in env.items() if value or name not in PLAIN}
    process = subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    process.wait()
    return seen.decode()


def visible(seen: str) -> str:
    """Without the sequences that move and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


@pytest.mark.parametrize("columns", [40, 80])
def test_a_bar_fits_the_terminal_and_lines_go_above_it(columns):
    seen = on_terminal(BAR, columns)
    lines = [line for line in re.split(r"[\r\n]+", visible(seen)) if line]
    assert max(map(len, lines)) <= columns
    assert lines[-1].startswith("masks ━")
    assert lines[-1].endswith("48 of 48 in 0:00")
    assert "between [red]names[/red] \\x1b[2J" in lines, "neither markup nor control characters are obeyed"
    assert "\x1b[2J" not in seen


def test_a_stage_of_a_long_name_is_shortened():
    seen = visible(on_terminal(BAR.replace("masks", "people on their own plates " * 3), 40))
    assert max(map(len, re.split(r"[\r\n]+", seen))) <= 40
    assert "…" in seen
    assert "48 of 48" in seen


@pytest.mark.parametrize("script", [BAR, STOPPED])
def test_the_cursor_is_shown_at_the_end_and_while_the_bar_stands(script):
    seen = on_terminal(script)
    assert seen.index("\x1b[?25h") < seen.index("of 48"), "shown before the first figures: a killed process leaves it"
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "\n\x1b[?25h" in seen, "what comes next starts on a line of its own"


@pytest.mark.parametrize("script", [BAR, TABLE, FAILS])
def test_no_colour_and_dumb_terminals(script):
    assert re.search(r"\x1b\[[0-9;]*m", on_terminal(script))
    for environment in ({"NO_COLOR": "1"}, {"CLICOLOR": "0"}):
        assert not re.search(r"\x1b\[[0-9;]*m", on_terminal(script, **environment))
    assert "\x1b" not in on_terminal(script, TERM="dumb")


def test_a_table_on_a_terminal_loses_nothing():
    wide, narrow, tiny = (visible(on_terminal(TABLE, columns)) for columns in (80, 42, 20))
    assert "how far the rim is off the rest" in wide
    for seen in (wide, narrow, tiny):
        assert "[b]rim[/b]\\x1b[2J" in seen
        assert "0.123" in seen
        assert {"how", "far", "the", "rim", "is", "off", "rest"} <= set(seen.split())
    for columns in (37, 43, 50, 61):
        seen = visible(on_terminal(TABLE, columns))
        assert max(map(len, seen.splitlines())) <= columns
        assert " ".join(seen.split()).count("rest") == 1
    assert "mean: 0.123" in tiny, "a block of lines where the columns have no room"


def test_an_error_stands_between_rules_unbroken():
    lines = visible(on_terminal(FAILS, 40)).splitlines()
    assert lines[0].startswith("Error ─")
    assert lines[1].startswith("unknown data set 'nothere'. Choose one of:")
    assert lines[1].endswith(".")
    assert set(lines[2]) == {"─"}


def test_elsewhere_lines_are_plain_whatever_the_colours():
    env = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", BAR + TABLE], capture_output=True, text=True, env=env, check=True)
    assert done.stderr == "between [red]names[/red] \\x1b[2J\n", "no bar in a log; quick work says nothing"
    head, row = done.stdout.splitlines()
    assert head == f"\x1b[1m{'judge':<17}   mean  meaning\x1b[0m", "colours that are asked for are given"
    assert row == "[b]rim[/b]\\x1b[2J  0.123  how far the rim is off the rest"


def test_plain_lines_come_at_most_every_ten_seconds(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 9.0, 12.0, 13.0, 20.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    with terminal.Progress("masks") as progress:
        for done in (100, 180, 220, 230, 300):
            progress(done, 300)
    assert capsys.readouterr().err.splitlines() == [
        "masks: 220 of 300 (10/s, 0:08 left)",
        "masks: 300 of 300 (10/s)",
    ]


def test_bytes_are_shown_as_megabytes(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    progress = terminal.Progress("fetching", unit="bytes")
    progress(0, 100_000_000)
    progress(25_000_000, 100_000_000)
    assert capsys.readouterr().err == "fetching: 25.0 of 100.0 MB (2.5 MB/s, 0:30 left)\n"


@pytest.mark.parametrize(
    ("environment", "on_a_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR": "0"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_whether_to_colour(environment, on_a_terminal, elsewhere, monkeypatch):
    for name, value in {**PLAIN, "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    stream = io.StringIO()
    assert terminal.coloured(stream) is elsewhere
    stream.isatty = lambda: True
    assert terminal.coloured(stream) is on_a_terminal


def test_help_is_quick_and_draws_nothing():
    script = (
        "import sys; sys.argv = ['reid-{0}', '--help']\nfrom reid_cli.{0} import main\n"
        "try:\n    main()\nfinally:\n    assert 'rich' not in sys.modules"
    )
    for application in ("data", "train"):
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script.format(application)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - started < 5, "half a second alone; a loaded machine gets ten times that"


@pytest.mark.parametrize(
    ("program", "typed"),
    [("/usr/bin/reid-data", "reid-data"), ("/lib/reid_data/__main__.py", "python -m reid_data")],
)
def test_the_command_to_go_on_with_is_the_one_that_was_typed(program, typed, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "list", "--data-root", "my sets"])
    assert errors._this_command() == f"{typed} list --data-root 'my sets'"
