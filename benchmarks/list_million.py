"""`reid-data list` on a data set of a million files: seconds to the first line on stdout, and peak memory.

Makes the (empty) files once in a temporary folder; listing does not open them.

    python benchmarks/list_million.py [--files 1000000] [--repeats 3]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_files(folder: Path, count: int) -> None:
    """Write `count` empty files in Market naming: 3/4 train, 1/4 gallery, and a few queries."""
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        part = "bounding_box_train" if number % 4 else "bounding_box_test"
        pid = number // 40 + 1 + (0 if number % 4 else 50_000)
        os.close(
            os.open(folder / part / f"{pid:06d}_c{number % 15 + 1}s1_{number:08d}_00.jpg", os.O_CREAT | os.O_WRONLY)
        )
    (folder / "query" / "050001_c1s1_00000000_00.jpg").touch()


def measure(data_root: Path) -> tuple[float, float]:
    """Seconds to the first line, and peak megabytes, of one `reid-data list`."""
    start = time.perf_counter()
    command = [sys.executable, "-c", "from reid_cli.data import main; main()", "list", "--data-root", str(data_root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - start
    rest = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"list failed with status {status}"
    assert "million" in rest, "the set was not listed"
    return first, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder) / "million", args.files)
        for _ in range(args.repeats):
            seconds, megabytes = measure(Path(folder))
            print(f"{args.files:,} files: first line after {seconds:.1f} s, peak {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
