"""Kill trainings at every write and rename, and at random times; each must end, after a restart, with the same bytes.

Run by test_checkpoint.py in a process of its own: it imports torch once, then forks a child for every training.
Usage: crash_runs.py FOLDER. Prints the number of failpoints and of kills that hit a running training.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch

from reid_data.datasets import load_dataset
from reid_train.model import reid_net
from reid_train.testing import test
from reid_train.training.fit import fit
from tests.train.conftest import build_tiny_backbone, small

ROOT = Path(sys.argv[1])
UNPROMISED = ("costs.json", "state.pt")


def train(folder: Path) -> None:
    """The command that is killed and run again: a training and a test."""
    dataset = load_dataset("tiny", ROOT / "data")
    fit(small(epochs=2, iterations=2), [dataset], folder, device="cpu", workers=1)
    test(folder, dataset, device="cpu", workers=1)


def in_child(folder: Path, failpoint: int | None = None, kill_after: float | None = None) -> int:
    """Train in a forked child; its exit status (negative: the signal)."""
    pid = os.fork()
    if pid == 0:
        if failpoint is not None:
            os.environ["REID_FAILPOINT"] = str(failpoint)
        try:
            train(folder)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run whose bytes are promised."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in UNPROMISED]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def finish(folder: Path, expected: dict[str, bytes], what: str) -> None:
    """Run the same command again; stop unless the run ends with the expected bytes."""
    if in_child(folder) != 0 or contents(folder) != expected:
        found = contents(folder)
        sys.exit(f"{what}: differs in {[name for name in expected | found if expected.get(name) != found.get(name)]}")


def main() -> None:
    """All failpoints, then random kills."""
    torch.set_num_threads(1)
    reid_net.build_backbone = build_tiny_backbone
    started = time.monotonic()
    assert in_child(ROOT / "whole" / "run") == 0
    seconds = time.monotonic() - started
    expected = contents(ROOT / "whole" / "run")
    failpoint = 0
    while True:
        failpoint += 1
        folder = ROOT / f"fail{failpoint}" / "run"
        status = in_child(folder, failpoint=failpoint)
        if status == 0:
            break
        assert status == -signal.SIGKILL, status
        finish(folder, expected, f"failpoint {failpoint}")
    hits, attempts = 0, 0
    draw = random.Random(0)
    while hits < 5 and attempts < 40:
        attempts += 1
        folder = ROOT / f"kill{attempts}" / "run"
        if in_child(folder, kill_after=draw.uniform(0.2, 0.9) * seconds) == -signal.SIGKILL:
            hits += 1
        else:
            seconds *= 0.7  # the first run was slower than the later ones: the kill came too late to hit
        finish(folder, expected, f"kill {attempts}")
    print(failpoint - 1, hits)  # noqa: T201 - the answer to the test


main()
