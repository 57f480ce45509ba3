"""verify and forget: what is noticed, what is removed, what a killed run leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.recipe import PlanSettings
from reid_data.compose.settings import CompositeSettings
from reid_data.datasets import load_dataset
from reid_data.errors import InputError
from reid_data.export.subset import SubsetSettings, build_subset
from reid_data.files import cache_folder, sha256_file
from reid_data.manifest import MANIFEST_FILE, read_manifest
from reid_data.plates.build import BackgroundSettings, build_backgrounds
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.written.forget import forget_person
from reid_data.written.verify import verify_set
from tests.data.people import tree, write_people_set
from tests.data.plates.test_build import RedSegmenter
from tests.killed import killed

PID = 51


@pytest.fixture
def sets(tmp_path: Path) -> tuple[ReidDataset, ReidDataset]:
    fg = load_dataset(str(write_people_set(tmp_path / "fg", num_ids=3)), tmp_path)
    return fg, load_dataset(str(write_people_set(tmp_path / "bg", 3, (4, 5), seed=100, extras=False)), tmp_path)


@pytest.fixture
def composite(sets: tuple[ReidDataset, ReidDataset], tmp_path: Path) -> Path:
    build_composite(*sets, tmp_path / "out", PrecomputedSegmenter(), CompositeSettings(PlanSettings(max_reuse=2)))
    (tmp_path / "out-preview.jpg").write_bytes(b"a sheet")
    return tmp_path / "out"


def test_an_untouched_set_is_good(composite: Path) -> None:
    found = verify_set(composite)
    assert found.good
    assert found.intact == 14
    assert verify_set(composite, workers=2) == found


def test_every_fault_is_named(composite: Path, sets: tuple[ReidDataset, ReidDataset]) -> None:
    names = [record.name for record in load_dataset(str(composite), composite.parent).train]
    (composite / names[0]).unlink()
    with open(composite / names[1], "ab") as file:
        file.write(b"!")
    (composite / "query" / "new.txt").write_text("hello")
    found = verify_set(composite)
    assert (found.missing, found.changed, found.extra) == ((names[0],), (names[1],), ("query/new.txt",))
    assert (found.intact, found.good) == (12, False)
    document = json.loads((composite / "dataset.json").read_text())
    document["settings_digest"] = "0"
    (composite / "dataset.json").write_text(json.dumps(document))
    assert "settings" in verify_set(composite).notes[0]
    (composite / "dataset.json").unlink()
    assert "not finished" in verify_set(composite).notes[0]
    with pytest.raises(InputError, match=r"no manifest\.jsonl"):
        verify_set(sets[0].root)


def test_a_manifest_may_not_name_files_elsewhere(composite: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    path = composite / MANIFEST_FILE
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[-1])
    lines[-1] = json.dumps({**row, "name": "query/../../precious.txt", "pid": PID}) + "\n"
    path.write_text("".join(lines))
    for call in (lambda: verify_set(composite), lambda: forget_person(composite, PID)):
        with pytest.raises(InputError, match="outside the set"):
            call()
    assert (tmp_path / "precious.txt").exists()


def names_of(root: Path, keep: Callable[[dict[str, object]], bool]) -> set[str]:
    manifest = read_manifest(root)
    assert manifest is not None
    return {str(row["name"]) for row in manifest.of_kind("image") if keep(row)}


def test_forgetting_leaves_nothing_of_the_person(composite: Path, sets: tuple[ReidDataset, ReidDataset]) -> None:
    everything, mine = names_of(composite, lambda row: True), names_of(composite, lambda row: row["pid"] == PID)
    assert len(mine) == 2
    before = tree(composite)
    assert forget_person(composite, PID, dry_run=True).images == 2
    assert tree(composite) == before
    done = forget_person(composite, PID, parents=sets)
    assert (done.images, done.backgrounds, done.rows, done.sheets) == (2, 0, 2, 1)
    after = tree(composite)
    assert everything - mine == {name for name in after if name.endswith(".jpg")}
    assert all(after[name] == before[name] for name in everything - mine)
    text = b"".join(after[name] for name in (MANIFEST_FILE, "README.md", "dataset.json"))
    assert not any(f"{PID:04d}_c{camid}".encode() in text for camid in (1, 2))  # bg has another 51, of cameras 4 and 5
    assert b"1 removal on request, 2 images in all" in text
    assert not (composite.parent / "out-preview.jpg").exists()
    found = verify_set(composite)
    assert found.good
    assert found.intact == 12
    document = json.loads(after["dataset.json"])
    assert document["counts"]["query"]["images"] == 2
    assert document["removals"] == [{"images": 2}]
    assert len(load_dataset(str(composite), composite.parent).records) == 12
    assert not forget_person(composite, PID).anything
    assert tree(composite) == after


def test_a_person_of_the_background_set(composite: Path, sets: tuple[ReidDataset, ReidDataset]) -> None:
    manifest = read_manifest(composite)
    assert manifest is not None
    pid = next(row["pid"] for row in manifest.of_kind("plate") if row["side"] == "train")
    crops = {row["source"] for row in manifest.of_kind("plate") if row["pid"] == pid}
    before_them = names_of(composite, lambda row: row["background"] in crops)
    done = forget_person(composite, pid, of="bg")
    assert (done.images, done.backgrounds) == (0, len(before_them))
    assert before_them
    assert names_of(composite, lambda row: row["background"] in crops) == set()
    assert verify_set(composite).good
    with pytest.raises(InputError, match="came from bg, fg"):
        forget_person(composite, pid, of="duke")


def test_a_killed_run_is_made_good_by_the_next(sets: tuple[ReidDataset, ReidDataset], tmp_path: Path) -> None:
    def made(name: str) -> Path:
        out = tmp_path / name / "out"
        build_composite(*sets, out, PrecomputedSegmenter(), CompositeSettings(limit=2))
        build_subset(load_dataset(str(out), out.parent), out.parent / "a-part", SubsetSettings())
        return out

    whole = made("whole")
    forget_person(whole, PID)
    failpoint, dead = 0, True
    while dead:
        failpoint += 1
        out = made(f"run{failpoint}")
        dead = killed(failpoint, forget_person, out, PID)
        forget_person(out, PID)
        claims = {
            name for name in tree(out.parent) if name.endswith(".claim")
        }  # of a dead process; the next writer's to clear
        assert tree(out.parent) == tree(whole.parent) | {name: tree(out.parent)[name] for name in claims}
    assert failpoint > 16


@pytest.mark.parametrize("matte", [None, (1, 2, 3)])
def test_kept_masks_and_plates_go_with_the_person(matte: tuple[int, int, int] | None, tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=3)), tmp_path, matte)

    class Kept(RedSegmenter):
        """Its masks are kept."""

    segmenter = Kept(cached=True)
    build_backgrounds(people, tmp_path / "plates", segmenter, BackgroundSettings(num=20))
    person = {sha256_file(record.path) for record in people.records if record.pid == PID}
    masks, plates = cache_folder("masks"), cache_folder("plates")
    assert {path.stem for path in plates.rglob("*.png")} > person
    number = len(list(masks.rglob("*.png")))
    done = forget_person(tmp_path / "plates", PID, parents=[people])
    assert done.rows == 2
    assert done.kept == 2 + 2 + 2, "masks of two pictures, two plates, what the segmenter said of these"
    assert len(list(masks.rglob("*.png"))) == number - 4
    assert not {path.stem for path in plates.rglob("*.png")} & person
    assert all((tmp_path / "people" / record.name).exists() for record in people.records)
    assert verify_set(tmp_path / "plates").good


def test_unfinished_and_foreign_sets(composite: Path, sets: tuple[ReidDataset, ReidDataset]) -> None:
    (composite / "dataset.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        forget_person(composite, PID)
    with pytest.raises(InputError, match="was not made by"):
        forget_person(sets[0].root, PID)
