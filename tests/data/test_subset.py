"""Subsets: who is taken, by hand; what is written; every reader, verify and forget on the result."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.settings import CompositeSettings
from reid_data.datasets import load_dataset
from reid_data.datasets.check import check
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.export.subset import SubsetSettings, build_subset, choose_records, market_names, read_cameras, read_pids
from reid_data.images import write_image
from reid_data.plates.build import BackgroundSettings, build_backgrounds
from reid_data.records import DISTRACTOR_PID, JUNK_PID, Card, Record, ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.written.forget import forget_person
from reid_data.written.verify import verify_set
from tests.conftest import random_image
from tests.data.people import tree, write_people_set
from tests.killed import killed


def drawn(pids: range, cameras: range, split: str) -> list[Record]:
    """A record for each person and camera; nothing is on the disk."""
    return [
        Record("market", f"{split}/{pid:04d}_c{camid}s1_000001_00.jpg", pid, camid, split)
        for pid in pids
        for camid in cameras
    ]


def paper_set() -> ReidDataset:
    """People 1 to 10 to train, 11 to 20 to test, three cameras; junk and distractors in the gallery."""
    cameras = range(1, 4)
    nobody = drawn(range(JUNK_PID, DISTRACTOR_PID + 1), cameras, "gallery")
    test = [drawn(range(11, 21), cameras, split) for split in ("query", "gallery")]
    return ReidDataset(Card("market"), Path("market"), drawn(range(1, 11), cameras, "train"), test[0], test[1] + nobody)


def pids(records: list[Record], split: str) -> set[int]:
    """Whose pictures a split has."""
    return {record.pid for record in records if record.split == split}


def test_who_is_taken() -> None:
    taken = choose_records(paper_set(), SubsetSettings(cameras=(1, 3), ids="even"))
    assert {record.camid for record in taken} == {1, 3}
    assert pids(taken, "train") == {2, 4, 6, 8, 10}
    assert pids(taken, "query") == {12, 14, 16, 18, 20}
    assert pids(taken, "gallery") == {12, 14, 16, 18, 20, JUNK_PID, DISTRACTOR_PID}
    assert len(taken) == 2 * (5 + 5 + 5 + 2)
    other = choose_records(paper_set(), SubsetSettings(ids="odd", splits=("query",)))
    assert pids(other, "query") == {11, 13, 15, 17, 19}
    assert {record.split for record in other} == {"query"}
    listed = choose_records(paper_set(), SubsetSettings(ids="listed", pids=(3, 12)))
    assert [pids(listed, split) - {JUNK_PID, DISTRACTOR_PID} for split in ("train", "query", "gallery")] == [
        {3}, {12}, {12},
    ]  # fmt: skip
    assert choose_records(paper_set(), SubsetSettings()) == paper_set().records


@pytest.mark.parametrize("seed", range(3))
def test_a_share_is_drawn_over_all_splits_and_smaller_ones_lie_in_larger_ones(seed: int) -> None:
    def people(share: str) -> set[int]:
        taken = choose_records(paper_set(), SubsetSettings(ids=share, seed=seed))
        assert pids(taken, "query") == pids(taken, "gallery") - {JUNK_PID, DISTRACTOR_PID}
        return {record.pid for record in taken} - {JUNK_PID, DISTRACTOR_PID}

    sizes = {share: people(share) for share in ("0.01", "0.25", "0.5", "1")}
    assert [len(found) for found in sizes.values()] == [1, 5, 10, 20]
    assert sizes["0.01"] < sizes["0.25"] < sizes["0.5"] < sizes["1"]
    assert people("0.5") != {
        record.pid for record in choose_records(paper_set(), SubsetSettings(ids="0.5", seed=seed + 1)) if record.pid > 0
    }


def test_cameras_and_lists_as_typed(tmp_path: Path) -> None:
    assert read_cameras("1-3, 6") == (1, 2, 3, 6)
    for wrong in ("", "3-1", "a", "1,,2", "1-", "-1"):
        with pytest.raises(UsageError, match="--cameras"):
            read_cameras(wrong)
    path = tmp_path / "ids.txt"
    path.write_text("3, 12 # two\n\n# nobody\n0007\n", encoding="utf-16")
    assert read_pids(path) == (3, 12, 7)
    path.write_text("3\nfour\n")
    with pytest.raises(InputError, match="line 2: 'four'"):
        read_pids(path)
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="names no pid"):
        read_pids(path)


@pytest.mark.parametrize("ids", ["none", "0", "1.5", "-0.5", "nan", "inf", ""])
def test_ids_that_cannot_be_meant(ids: str) -> None:
    with pytest.raises(UsageError, match="--ids"):
        SubsetSettings(ids=ids)
    with pytest.raises(UsageError, match="--splits"):
        SubsetSettings(splits=("test",))


def test_what_is_not_in_the_set_is_said() -> None:
    with pytest.raises(InputError, match=r"has no camera 7\. It has 1, 2, 3"):
        choose_records(paper_set(), SubsetSettings(cameras=(1, 7)))
    with pytest.raises(InputError, match=r"has no camera 4, 5, 6, 7, 8 and 999,991 more\."):
        choose_records(paper_set(), SubsetSettings(cameras=read_cameras("1-999999")))
    with pytest.raises(InputError, match="has no pid 99"):
        choose_records(paper_set(), SubsetSettings(ids="listed", pids=(1, 99)))
    with pytest.raises(InputError, match="would be empty"):
        choose_records(paper_set(), SubsetSettings(ids="listed", pids=(1,), splits=("query",)))


def test_names_that_do_not_say_who_it_is_are_made(tmp_path: Path) -> None:
    records = [Record(str(tmp_path), name, pid, 0, "train") for name, pid in (("a/x", 7), ("b/x.PNG", 7), ("c/x", -1))]
    write_image(tmp_path / "y.png", random_image(1))
    (tmp_path / "a").mkdir()
    (tmp_path / "y.png").rename(tmp_path / "a" / "x")
    assert market_names(records) == [
        "bounding_box_train/0007_c0s1_000001_00.png",
        "bounding_box_train/0007_c0s1_000002_00.png",
        "bounding_box_train/-1_c0s1_000001_00.jpg",
    ]


@pytest.fixture
def people(tmp_path: Path) -> ReidDataset:
    """Train 2, 3, 4 and test 50, 51, 52 on cameras 1 and 2, junk and a distractor."""
    return load_dataset(str(write_people_set(tmp_path / "people", num_ids=3)), tmp_path)


Make = Callable[..., ReidDataset]


def make(source: ReidDataset, out: Path, **settings: object) -> ReidDataset:
    """A subset, loaded."""
    build_subset(source, out, SubsetSettings(**settings))  # type: ignore[arg-type]
    return load_dataset(out, out.parent)


def test_a_subset_is_a_set_with_its_origin(people: ReidDataset, tmp_path: Path) -> None:
    made = make(people, tmp_path / "even", ids="even")
    assert [(record.name, record.pid, record.camid, record.split) for record in made.records] == [
        (record.name, record.pid, record.camid, record.split)
        for record in people.records
        if record.pid in (2, 4, 50, 52, 0, -1)
    ]
    assert all(os.path.samefile(record.path, Path(people.root, record.name)) for record in made.records)
    card = made.card
    assert (card.kind, card.identity_space, card.terms) == ("subset", "people", f"people: {people.card.terms}")
    assert card.parents[0]["name"] == "people"
    text = (tmp_path / "even" / "README.md").read_text()
    assert "those with even numbers" in text
    assert "| train | 4 | 2 | 0 |" in text
    assert verify_set(tmp_path / "even").good
    assert not [finding for finding in check(made)[0] if finding.kind in ("wrong_counts", "unreadable")]
    assert dataset_digest(made) != dataset_digest(people)


def test_bytes_depend_on_neither_copies_nor_the_place(people: ReidDataset, tmp_path: Path) -> None:
    build_subset(people, tmp_path / "links", SubsetSettings(ids="odd"))
    build_subset(people, tmp_path / "sub" / "links", SubsetSettings(ids="odd"), copy=True)
    one, other = tree(tmp_path / "links"), tree(tmp_path / "sub" / "links")
    header = [json.loads(part.pop("manifest.jsonl").splitlines()[0]) for part in (one, other)]
    assert one == other
    assert header[0].pop("source") != header[1].pop("source"), "the way to the source"
    assert header[0] == header[1]
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "sub" / "links").rglob("*.jpg"))


def test_copies_where_the_disk_has_no_links(
    people: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made = make(people, tmp_path / "odd", ids="odd")
    assert verify_set(tmp_path / "odd").good
    assert Path(made.train[0].path).stat().st_nlink == 1


def test_other_settings_and_foreign_folders_are_refused(people: ReidDataset, tmp_path: Path) -> None:
    make(people, tmp_path / "part", ids="odd")
    assert build_subset(people, tmp_path / "part", SubsetSettings(ids="odd", seed=3)).was_finished, "nothing is drawn"
    with pytest.raises(UsageError, match="ids: odd there, even now"):
        build_subset(people, tmp_path / "part", SubsetSettings(ids="even"))
    build_subset(people, tmp_path / "part", SubsetSettings(ids="even"), overwrite=True)
    assert {record.pid for record in load_dataset(tmp_path / "part", tmp_path).train} == {2, 4}
    assert verify_set(tmp_path / "part").good
    with pytest.raises(EnvironmentFault, match="overlap"):
        build_subset(people, tmp_path / "people" / "part", SubsetSettings())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("hello")
    with pytest.raises(EnvironmentFault, match="not written by this command"):
        build_subset(people, tmp_path / "mine", SubsetSettings())


def test_a_picture_that_cannot_be_read_is_a_row(people: ReidDataset, tmp_path: Path) -> None:
    lost = Path(people.train[0].path)
    lost.unlink()
    built = build_subset(people, tmp_path / "part", SubsetSettings())
    assert (built.failed, built.first) == (1, f"{people.train[0].name} does not exist")
    assert len(load_dataset(tmp_path / "part", tmp_path).train) == 5
    assert build_subset(people, tmp_path / "part", SubsetSettings()).failed == 1, "said again of the finished set"


def test_a_killed_run_is_gone_on_with(people: ReidDataset, tmp_path: Path) -> None:
    make(people, tmp_path / "whole", ids="odd")
    expected = tree(tmp_path / "whole")
    for point in (1, 4, 9, 17, 30):
        out = tmp_path / str(point) / "whole"
        killed(point, build_subset, people, out, SubsetSettings(ids="odd"))
        build_subset(people, out, SubsetSettings(ids="odd"))
        found = tree(out)
        found.pop("manifest.jsonl")
        assert found == {name: data for name, data in expected.items() if name != "manifest.jsonl"}
        assert verify_set(out).good


def test_forgetting_a_person_of_a_subset(people: ReidDataset, tmp_path: Path) -> None:
    make(people, tmp_path / "part", cameras=(1, 2))
    done = forget_person(tmp_path / "part", 51, parents=[people])
    assert (done.images, done.backgrounds) == (2, 0)
    left = load_dataset(tmp_path / "part", tmp_path)
    assert 51 not in {record.pid for record in left.records}
    assert verify_set(tmp_path / "part").good
    assert "Removals" in (tmp_path / "part" / "README.md").read_text()
    assert all(Path(record.path).exists() for record in people.records), "the pictures of the whole are left alone"


def test_of_a_composite_the_people_behind_are_forgotten_too(people: ReidDataset, tmp_path: Path) -> None:
    write_people_set(tmp_path / "bg", 3, (4, 5), seed=100, extras=False)
    bg = load_dataset("bg", tmp_path)
    build_composite(people, bg, tmp_path / "made", PrecomputedSegmenter(), CompositeSettings())
    made = make(load_dataset("made", tmp_path), tmp_path / "part", ids="even")
    assert made.card.identity_space == "people"
    rows = [json.loads(line) for line in (tmp_path / "part" / "manifest.jsonl").read_text().splitlines()]
    plates = {row["source"]: row["pid"] for row in rows if row["row"] == "plate"}
    behind = [row for row in rows if row["row"] == "image" and plates.get(row.get("background")) == 51]
    done = forget_person(tmp_path / "part", 51, of="bg")
    assert done.images == 0
    assert done.backgrounds == len(behind) > 0
    assert verify_set(tmp_path / "part").good


@pytest.mark.parametrize("whole_behind", [True, False])
def test_nobody_stands_before_a_plate_of_his_own(whole_behind: bool, tmp_path: Path) -> None:
    whole = load_dataset(str(write_people_set(tmp_path / "many", num_ids=6, extras=False)), tmp_path)
    part = make(whole, tmp_path / "part", cameras=(1, 2))
    for picture in Path(whole.root, "masks").rglob("*.png"):
        copy = tmp_path / "part" / picture.relative_to(whole.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    fg, bg = (part, whole) if whole_behind else (whole, part)
    build_composite(fg, bg, tmp_path / "made", PrecomputedSegmenter(), CompositeSettings())
    rows = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    pids_behind = {row["source"]: row["pid"] for row in rows if row["row"] == "plate"}
    images = [row for row in rows if row["row"] == "image"]
    assert len(images) == len(whole.records)
    assert not [row for row in images if pids_behind[row["background"]] == row["pid"]]


def test_a_background_set_has_no_subset(people: ReidDataset, tmp_path: Path) -> None:
    build_backgrounds(people, tmp_path / "plates", PrecomputedSegmenter(), BackgroundSettings(num=4))
    with pytest.raises(UsageError, match="background set"):
        build_subset(load_dataset("plates", tmp_path), tmp_path / "part", SubsetSettings())


def test_subsets_of_other_layouts_and_of_subsets(tmp_path: Path) -> None:
    for person in ("ann", "bob", "cid"):
        (tmp_path / "folk" / person).mkdir(parents=True)
        for number in range(2):
            write_image(tmp_path / "folk" / person / f"{number}.png", random_image(number))
    folk = load_dataset(tmp_path / "folk", tmp_path)
    made = make(folk, tmp_path / "part", ids="odd")
    assert [(record.pid, record.camid) for record in made.train] == [(1, 0), (1, 0), (3, 0), (3, 0)]
    again = make(made, tmp_path / "again", ids="listed", pids=(3,))
    assert {record.pid for record in again.records} == {3}
    assert [parent["name"] for parent in (again.card.parents[0], again.card.parents[0]["parents"][0])] == [
        "part",
        "folk",
    ]
    table = tmp_path / "list.csv"
    table.write_text(
        "path,pid,camid,split\n" + "".join(f"folk/{who}/0.png,{who},1,train\n" for who in ("ann", "bob", "cid"))
    )
    listed = make(load_dataset(table, tmp_path), tmp_path / "listed", ids="even")
    assert [record.pid for record in listed.records] == [2]
    assert replace(listed.train[0], root="", name="") == Record("", "", 2, 1, "train")
