"""Ctrl-C and SIGTERM: one sentence, the exit code of the signal, nobody left behind. Only own processes are ended, by id."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
WORKING = """
import multiprocessing, sys, time, types
import click
from reid_cli import starting
from reid_data.parallel import ordered_map

@click.group()
def app(): pass

@app.command()
def work():
    for number, _ in enumerate(ordered_map(time.sleep, [0.01] * 100_000, 2, chunk=1)):
        if number == 5:
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)

starting.import_module = lambda name: types.SimpleNamespace(app=app)
sys.argv = ["reid-data", "work"]
starting.start("data")
"""
LOADING = """
import sys, time
from reid_cli import starting

def load(name):
    print("loading", flush=True)
    time.sleep(60)

starting.import_module = load
starting.start("data")
"""
ENDING = """
import atexit, sys, time
from reid_cli.data import main

def wait():
    print("ending", flush=True)
    time.sleep(60)

atexit.register(wait)
sys.argv = ["reid-data", "--version"]
main()
"""


def started(script: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@BOTH
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="who is alive is read from /proc")
def test_the_work_stops_with_a_sentence_and_its_workers_with_it(number, code):
    with started(WORKING) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(alive, workers))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.strip() == "Stopped. What is finished is kept; the same command goes on from there:\n  reid-data work"
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, workers))


@BOTH
def test_while_modules_load_there_is_nothing_to_go_on_with(number, code):
    with started(LOADING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "Stopped before anything was begun.\n")


@BOTH
def test_when_all_is_said_it_just_ends(number, code):
    with started(ENDING) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "ending\n":
            pass
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (-number, ""), "a shell calls that the same"
    assert 128 + number == code


def test_one_that_is_started_deaf_stays_deaf():
    """As behind nohup, or in the background of a script."""
    script = (
        "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from reid_cli import starting\n"
        "starting.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT) or sys.exit(7)\n"
        "starting.start('data')\n"
    )
    with started(script) as process:
        process.communicate(timeout=60)
    assert process.returncode == 7
