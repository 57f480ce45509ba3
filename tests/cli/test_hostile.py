"""Every command among hostile files: one row each with the reason, good images unharmed, bounded memory, exit code 1."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid_data.images import encode_mask, write_image
from tests.conftest import random_image
from tests.hostile import SIZE, poison

MEMORY_LIMIT = 1_000_000_000


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
    bad, good = poison(root / "bounding_box_train", base / "outside.jpg")
    mask = encode_mask(person_shape())
    for image in sorted(root.glob("*/*.*")):
        (root / "masks" / image.parent.name).mkdir(parents=True, exist_ok=True)
        (root / "masks" / image.parent.name / f"{image.stem}.png").write_bytes(mask)
    return base / "data", bad, good


def person_shape() -> np.ndarray:
    """(64, 32) float mask: an upright ellipse."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (((rows - 32) / 26) ** 2 + ((columns - 16) / 9) ** 2 < 1).astype(np.float32)


def run(module: str, *arguments: str | Path, cache: Path) -> tuple[int, str, str, int]:
    """Run a command in a process of its own; exit code, stdout, stderr, and peak memory in bytes of it and its workers."""
    script = (
        "import resource, runpy, sys\n"
        f"sys.argv = {[module.split('.')[-1], *map(str, arguments)]!r}\n"
        f"from reid_cli.{module} import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "    print(f'peak {peak}', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(cache), check=False
    )
    peak = int(done.stderr.rstrip().rpartition("peak ")[2]) * (1 if sys.platform == "darwin" else 1024)
    return done.returncode, done.stdout, done.stderr, peak


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
    code, _, err, peak = run("data", *arguments, "--data-root", data_root, "--workers", "2", cache=tmp_path / "cache")
    assert code == 1, err
    rows = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    images = [row for row in rows if row.get("kind") == "image"]
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
    arguments = [
        "fit",
        "--train",
        "mixed",
        "--weights",
        "none",
        "--backbone",
        "resnet18",
        "--size",
        "32x16",
        "--epochs",
        "1",
    ]
    arguments += [
        "--iterations",
        "1",
        "--batch-ids",
        "4",
        "--batch-images",
        "2",
        "--runs",
        f"{tmp_path}/runs",
        "--json",
    ]
    code, out, err, peak = run(
        "train", *arguments, "--data-root", data_root, "--workers", "1", cache=tmp_path / "cache"
    )
    assert code == 1, err
    result = json.loads(out)
    assert reported([[row["name"], row["reason"]] for row in result["unreadable"]]) == set(bad)
    assert result["num_images"] == 240 + len(good)
    assert peak < MEMORY_LIMIT
