"""Every command among hostile files: one row each with the reason, good images unharmed, bounded memory, exit code 1."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid_data.errors import ImageError
from reid_data.images import encode_mask, read_image, write_image
from tests.conftest import random_image
from tests.hostile import SIZE, poison

MEMORY_LIMIT = 1_000_000_000
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """300 good images and every hostile kind in the train split; returns (data root, bad names, good odd names)."""
    base = tmp_path_factory.mktemp("poisoned")
    root = base / "data" / "mixed"
    for folder, count in {"bounding_box_train": 240, "query": 20, "bounding_box_test": 40}.items():
        (root / folder).mkdir(parents=True)
        first = 2 if folder == "bounding_box_train" else 500
        for number in range(count):
            camera = 1 if folder == "query" else number % 2 + 1
            pid = first + (number if folder == "query" else number // 2)
            write_image(root / folder / f"{pid:04d}_c{camera}s1_{number:06d}_00.jpg", random_image(number, SIZE))
    shutil.copytree(root, base / "data" / "clean")
    bad, good = poison(root / "bounding_box_train", base / "outside.jpg")
    for image in sorted(root.glob("*/*.*")):
        (root / "masks" / image.parent.name).mkdir(parents=True, exist_ok=True)
        (root / "masks" / image.parent.name / f"{image.stem}.png").write_bytes(encode_mask(person_shape(image)))
    return base / "data", bad, good


def person_shape(path: Path) -> np.ndarray:
    """(H, W) float mask of an image's size: an upright ellipse."""
    try:
        height, width = read_image(str(path)).shape[:2]
    except ImageError:
        height, width = SIZE
    rows, columns = np.mgrid[:height, :width]
    across, down = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    return ((down / 0.4) ** 2 + (across / 0.3) ** 2 < 1).astype(np.float32)


def run(module: str, *arguments: str | Path, cache: Path) -> tuple[int, str, str, int]:
    """Run a command with one worker in a process of its own; exit code, stdout, stderr, and its peak memory in bytes.

    The peak is Linux's VmHWM: ru_maxrss would hold the memory of the test runner, from which the process was forked.
    """
    script = (
        "import sys\n"
        f"sys.argv = {[f'reid-{module}', *map(str, arguments), '--workers', '1']!r}\n"
        f"from reid_cli.{module} import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    peak = next(line.split()[1] for line in lines if line.startswith('VmHWM'))\n"
        "    sys.stderr.write(f'peak {peak}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(cache), check=False
    )
    return done.returncode, done.stdout, done.stderr, int(done.stderr.rpartition("peak ")[2]) * 1024


def environment(cache: Path) -> dict[str, str]:
    """The test's environment with a cache of its own."""
    import os

    return {**os.environ, "REID_CACHE": str(cache)}


def reported(pairs: list[list[str]]) -> set[str]:
    """File names among (name, reason) rows; every reason says something."""
    assert all(reason.strip() for _, reason in pairs)
    return {name.rpartition("/")[2] for name, _ in pairs}


def test_check(poisoned, tmp_path):
    data_root, bad, good = poisoned
    code, out, err, peak = run("data", "check", "mixed", "--data-root", data_root, "--json", cache=tmp_path)
    assert code == 1, err
    document = json.loads(out)
    assert reported(document["unreadable"]) == set(bad)
    assert len(document["unreadable"]) == len(bad)
    assert document["splits"]["train"]["images"] == 240 + len(bad) + len(good)
    assert peak < MEMORY_LIMIT


def test_check_as_text_survives_odd_names(poisoned, tmp_path):
    data_root, bad, _ = poisoned
    code, out, _, _ = run("data", "check", "mixed", "--data-root", data_root, cache=tmp_path)
    assert code == 1
    assert all(name in out for name in bad)


def test_stats(poisoned, tmp_path):
    data_root, bad, good = poisoned
    code, out, err, peak = run("data", "stats", "mixed", "--data-root", data_root, "--json", cache=tmp_path)
    assert code == 1, err
    result = json.loads(out)["mixed"]
    assert reported(result["failed"]) == set(bad)
    assert result["num_images"] == 240 + len(good)
    assert peak < MEMORY_LIMIT


def test_composite(poisoned, tmp_path):
    data_root, bad, good = poisoned
    arguments = [
        "composite",
        "--fg",
        "mixed",
        "--bg",
        "mixed",
        "--segmenter",
        "precomputed",
        "--out",
        f"{tmp_path}/made",
    ]
    code, _, err, peak = run("data", *arguments, "--data-root", data_root, cache=tmp_path / "cache")
    assert code == 1, err
    rows = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    images = [row for row in rows if row["row"] == "image"]
    assert len(images) == 300 + len(bad) + len(good)
    failed = [
        [row["source"] if "source" in row else row["name"], row["reason"]]
        for row in images
        if row["status"] == "failed"
    ]
    assert len(failed) == len(bad)
    assert reported(failed) == set(bad)
    assert peak < MEMORY_LIMIT


def test_training(poisoned, tmp_path):
    data_root, bad, good = poisoned
    settings = (
        "--weights none --backbone resnet18 --size 32x16 --epochs 1 --iterations 1 --batch-ids 4 --batch-images 2"
    )
    common = [*settings.split(), "--runs", f"{tmp_path}/runs", "--json", "--data-root", data_root]
    code, out, err, peak = run("train", "fit", "--train", "mixed", *common, cache=tmp_path / "cache")
    assert code == 1, err
    result = json.loads(out)
    assert reported([[row["name"], row["reason"]] for row in result["unreadable"]]) == set(bad)
    assert result["num_images"] == 240 + len(good)
    code, _, err, clean_peak = run("train", "fit", "--train", "clean", *common, cache=tmp_path / "cache")
    assert code == 0, err
    assert peak < clean_peak + 100_000_000, "the bomb alone would add 1.5 GB"
