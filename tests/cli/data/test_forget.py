"""`reid-data forget`: after it no byte of data root, cache and runs tells of the person."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.data import app as data
from reid_cli.train import app as train

from reid_data.files import cache_folder
from reid_data.hosts import this_host
from reid_train.features.files import read_npz
from reid_train.forgetting import STALE
from reid_train.model import reid_net
from tests.data.people import tree, write_people_set
from tests.train.conftest import build_tiny_backbone

PERSON, TRAINED = 51, 3
SMALL = (
    "--set backbone=resnet18 --set weights=none --set size=32x16 --set epochs=1 --set iterations=1 --set batch_ids=2 "
    "--set batch_images=2 --device cpu --workers 0"
)
MADE = (
    "backgrounds campus --segmenter grabcut --min-quality 0 --num 8 --out plates --workers 0",
    "composite --fg market --bg plates --segmenter precomputed --out mixed --workers 0",
    "composite --fg market --bg campus --segmenter grabcut --min-quality 0 --out other --workers 0",
    "composite --fg campus --bg mixed --segmenter grabcut --min-quality 0 --out second --workers 0",
    "subset mixed --ids all --out part",
    "segment mixed --segmenter grabcut --min-quality 0 --workers 0",
    "segment market --segmenter grabcut --min-quality 0 --out data/cut --as rgba --workers 0",
    "stats mixed --size 32x16 --workers 0",
    "composite --fg market --bg campus --segmenter precomputed --out mixed --preview 2 --workers 0",
)
TESTED = (
    f"fit --train mixed --test mixed,market@foreground,campus --name base {SMALL}",
    "extract base part --device cpu --workers 0",
)


def run(line: str) -> Result:
    words = line.split()
    app = data if words[0] in data.commands else train
    done = CliRunner().invoke(app, words, standalone_mode=False)
    assert done.exception is None, (line, done.exception, done.output)
    assert done.return_value in (0, None), (line, done.output)
    return done


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data, cache and runs, in which everything was made that can be made of a person."""
    monkeypatch.setattr(reid_net, "build_backbone", build_tiny_backbone)
    monkeypatch.setenv("REID_DATA", "data")
    monkeypatch.setenv("REID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_people_set(tmp_path / "data" / "market", 3)
    write_people_set(tmp_path / "data" / "campus", 3, (4, 5), seed=100, extras=False)
    for line in (*MADE, *TESTED):
        run(line)
    page = tmp_path / "runs" / "matrix"
    (page / "sheets").mkdir(parents=True)
    (page / "sheets" / "mixed-1.jpg").write_bytes(b"a sheet")
    (page / "report.html").write_text(
        f'<img title="query/{PERSON:04d}_c1s1_000001_00.jpg" src="data:image/jpeg;base64,">'
    )
    document = {"schema": "reid-matrix/1", "summary": {}, "cells": [], "tests": {}, "digests": {"mixed": "0"}}
    (page / "results.json").write_text(json.dumps(document))
    return tmp_path


def person(root: Path, pid: int) -> list[Path]:
    return sorted(path for path in root.rglob(f"{pid:04d}_*.jpg"))


def remove_from(root: Path, pid: int) -> tuple[set[str], set[str]]:
    """What is left to the user: the person's pictures in a parent set; their hashes and names."""
    paths = person(root, pid)
    assert paths
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    for path in paths:
        path.unlink()
        (root / "masks" / path.relative_to(root)).with_suffix(".png").unlink()
    return hashes, {path.stem for path in paths}


def descendants(root: Path, hashes: set[str]) -> set[str]:
    """The hashes of all that came from pictures with these, by every line of every manifest that names one."""
    found, before = set(hashes), 0
    rows = [json.loads(line) for path in root.rglob("manifest.jsonl") for line in path.read_bytes().splitlines()]
    while len(found) > before:
        before = len(found)
        origins = ("source_sha256", "background_sha256")
        found |= {row["sha256"] for row in rows if row.get("sha256") and any(row.get(key) in found for key in origins)}
    return found


def telling(place: Path, hashes: set[str], names: set[str]) -> list[str]:
    """Files that are such a picture, or in whose name or bytes such a hash or name stands."""
    words = [word.encode() for word in hashes | names]
    found = []
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        text = os.fsencode(path) + content
        if path.suffix == ".npz":
            text += repr([array.tolist() for array in read_npz(path).values()]).encode()
        if hashlib.sha256(content).hexdigest() in hashes or any(word in text for word in words):
            found.append(str(path.relative_to(place)))
    return found


def test_no_byte_tells_of_the_person(place: Path) -> None:
    hashes, names = remove_from(place / "data" / "market", PERSON)
    hashes = descendants(place / "data", hashes)
    before = telling(place, hashes, names)
    everywhere = "\n".join(before)
    for part in ("mixed/q", "other/q", "second/m", "part/q", "mixed-masks/q", "cut/q", "masks/", "plates/", "digests/"):
        assert part in everywhere, part
    for part in (
        "tests/mixed/per_query.npz",
        "tests/mixed/ranked",
        "foreground/masks.json",
        "part/features",
        "report.html",
    ):
        assert part in everywhere, part
    dead, mine = (
        cache_folder("plates", "key", "ab") / f".tmp-{this_host()}-99999999-{0:016x}",
        cache_folder("plates", "key") / f".tmp-{this_host()}-{os.getpid()}-{0:016x}",
    )
    for half in (dead, mine):
        half.write_bytes(b"half a plate")
    untouched = {name: content for name, content in tree(place).items() if name not in before}

    dry = run(f"forget mixed --pid {PERSON} --dry-run").stdout
    assert "would be removed: 2 images of the person" in dry
    assert telling(place, hashes, names) == before
    assert dead.exists()
    listed = json.loads(run(f"forget mixed --pid {PERSON} --dry-run --json").stdout)["runs"]
    assert {Path(name).name for one in listed for name in one["files"]} >= {
        "per_query.npz",
        "features.safetensors",
        "report.html",
    }

    done = run(f"forget mixed --pid {PERSON} --runs runs").stdout
    for name in ("other", "second", "part", "mixed-masks", "cut"):
        assert f"removed from '{place / 'data' / name}'" in done
    assert telling(place, hashes, names) == []
    assert not dead.exists()
    assert mine.exists(), "who writes it is at work"
    assert not (place / "data" / "mixed-preview.jpg").exists()
    assert (place / "runs" / "matrix" / "report.html").read_text() == STALE
    assert not list((place / "runs" / "matrix" / "sheets").iterdir())
    assert {path.name for path in (place / "runs" / "base" / "tests").iterdir() if any(path.iterdir())} == {"campus"}
    for name in ("mixed", "other", "second", "part"):
        run(f"verify {name}")
    after = tree(place)
    gone = {name for name in untouched if name not in after}
    changed = {name for name in untouched if name in after and after[name] != untouched[name]}
    assert {Path(name).name for name in changed} <= {"README.md", "dataset.json", "report.html"}
    kept = (
        "cache/features",
        "cache/stats",
        "cache/plates/key/ab/.tmp",
        "data/mixed-preview",
        "runs/matrix/sheets",
        "runs/base/tests",
    )
    assert all(name.startswith(kept) for name in gone), gone
    assert run(f"forget mixed --pid {PERSON}").stdout.startswith("nothing in")


def test_what_is_left_to_the_user_is_said(place: Path) -> None:
    before = tree(place / "runs")
    (place / "data" / "other" / "dataset.json").unlink()
    (place / "data" / ".tmp-import-x").mkdir()
    done = run(f"forget mixed --pid {PERSON}")
    assert "'runs/base': features and ranked lists of the person, in tests/mixed" in done.stdout
    assert "runs/base/tests/mixed/per_query.npz" in done.stdout
    assert "trained on" not in done.stdout
    assert "other' is not finished. Finish it" in done.stderr
    assert ".tmp-import-x' was left by a command that was stopped" in done.stderr
    done = run(f"forget mixed --pid {TRAINED}")
    assert "'runs/base': trained on pictures of the person, of mixed" in done.stdout
    assert "to do: train anew under another --name" in done.stdout
    assert tree(place / "runs") == before
    done = run(f"forget second --pid {TRAINED} --runs runs")
    assert tree(place / "runs")["base/model.safetensors"] == before["base/model.safetensors"]


def test_the_person_behind_a_background_set_is_found_through_it(place: Path) -> None:
    rows = [json.loads(line) for line in (place / "data" / "mixed" / "manifest.jsonl").read_bytes().splitlines()]
    behind = {row["background_sha256"] for row in rows if row.get("background_sha256")}
    pid = next(row["pid"] for row in rows if row["row"] == "plate" and row["source_sha256"] in behind)
    hashes, names = remove_from(place / "data" / "campus", pid)
    hashes = descendants(place / "data", hashes)
    assert "data/mixed/" in "\n".join(telling(place, hashes, names)), "somebody stands before a plate of theirs"
    refused = CliRunner().invoke(data, f"forget mixed --pid {pid} --of nowhere".split(), standalone_mode=False)
    assert "this set came from campus, market, plates" in str(refused.exception)
    run(f"forget mixed --pid {pid} --of campus --runs runs")
    assert telling(place, hashes, names) == []
    for name in ("mixed", "other", "second", "part", "plates"):
        run(f"verify {name}")
