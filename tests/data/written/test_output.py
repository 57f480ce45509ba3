"""Folders that are written: claimed, gone on with, replaced, finished; killed at every write and rename."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reid_data import files
from reid_data.datasets.card import tool_version
from reid_data.errors import EnvironmentFault, UsageError
from reid_data.files import make_folder, sha256_bytes, sha256_file, write_atomic
from reid_data.manifest import Form, Row, read_manifest
from reid_data.records import Card, Record, ReidDataset
from reid_data.written.claim import Claim
from reid_data.written.output import Output
from reid_data.written.swapped import SwappedOutput
from reid_data.written.table import TableOutput
from reid_data.written.verify import verify_set
from tests.data.people import tree
from tests.killed import killed

SETTINGS: Row = {"foreground": "f", "background": "b", "segmenter": "s", "min_quality": 0.7, "seed": 0}
OTHER: Row = {**SETTINGS, "seed": 5}
NUM = 4
FORM, PLATES = Form("composite", 2, {}), Form("backgrounds", 2, {})


def output(root: Path, settings: Row = SETTINGS, **options: object) -> Output:
    return Output(root, FORM, settings, **options)  # type: ignore[arg-type]


def name_of(number: int) -> str:
    return f"query/{number:04d}_c1s1_000001_00.png"


def add(claimed: Output, number: int) -> None:
    """One file of the set, then its row."""
    data = f"{claimed.settings['seed']} {number}".encode()
    make_folder(claimed.root / "query")
    write_atomic(claimed.root / name_of(number), data)
    row = {"row": "image", "name": name_of(number), "split": "query", "status": "ok", "pid": number, "camid": 1}
    claimed.append({**row, "sha256": sha256_bytes(data)})


def write(root: Path, settings: Row = SETTINGS, num: int = NUM, *, resume: bool = True, **options: object) -> int:
    """A set of `num` files; how many of them this call made."""
    with output(root, settings, **options) as claimed:
        if claimed.finished:
            return 0
        done = len(claimed.begin([{"row": "plate", "status": "ok"}], resume=resume, sources={"foreground": "f"}))
        for number in range(done, num):
            add(claimed, number)
        claimed.finish(Card(root.name, "composite"))
    return num - done


def interrupt(claimed: Claim, work: Callable[[], object]) -> None:
    """Do the work while the claim is held, then be stopped from the keyboard."""
    with claimed:
        work()
        raise KeyboardInterrupt


def rows_there(root: Path) -> int:
    """How many image rows there are; each has its file, whole."""
    manifest = read_manifest(root)
    rows = manifest.of_kind("image") if manifest else []
    assert all(sha256_file(root / row["name"]) == row["sha256"] for row in rows)
    return len(rows)


def test_a_finished_set_says_what_it_is(tmp_path: Path) -> None:
    assert write(tmp_path / "out") == NUM
    assert verify_set(tmp_path / "out").good
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.header["settings"] == SETTINGS
    assert manifest.header["sources"] == {"foreground": "f"}
    assert manifest.header["tool"] == tool_version()
    assert [row["row"] for row in manifest.rows] == ["plate"] + ["image"] * NUM
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert document["counts"]["query"]["images"] == document["counts"]["query"]["ids"] + 1 == NUM  # pid 0 is nobody's
    assert document["settings"] == SETTINGS
    assert "| query | 4 |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("card", ["", "{", "[]", '{"schema": "reid-dataset/1"}', "[" * 100_000])
def test_a_damaged_card_finishes_nothing_and_is_written_again(tmp_path: Path, card: str) -> None:
    write(tmp_path / "out")
    whole = tree(tmp_path / "out")
    (tmp_path / "out" / "dataset.json").write_text(card)
    assert write(tmp_path / "out") == 0, "the images are there"
    assert tree(tmp_path / "out") == whole


def test_killed_anywhere_the_next_call_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "whole" / "out")
    whole, made, failpoint = tree(tmp_path / "whole" / "out"), set(), 1
    while killed(failpoint, write, tmp_path / str(failpoint) / "out"):
        out = tmp_path / str(failpoint) / "out"
        there = rows_there(out) if out.exists() else 0
        if (out / "dataset.json").exists():
            assert tree(out) == whole, "the card comes last"
            there = NUM
        made.add(write(out))
        assert made >= {NUM - there}, "what has its row is not made again"
        assert tree(out) == whole
        failpoint += 1
    assert made == {0, 1, 2, 3, 4}
    assert failpoint == 1 + 3 * (3 + NUM) + 2 * NUM  # three for each file, two for each appended row


@pytest.mark.parametrize("resume", [True, False])
def test_killed_while_it_replaces_another_set_nothing_of_that_stays(tmp_path: Path, resume: bool) -> None:
    write(tmp_path / "whole" / "out")
    write(tmp_path / "other" / "out", OTHER, NUM + 2)
    whole, other = tree(tmp_path / "whole" / "out"), tree(tmp_path / "other" / "out")
    failpoint, alive = 0, True
    while alive:
        failpoint += 1
        out = tmp_path / str(failpoint) / "out"
        write(out, OTHER, NUM + 2)
        alive = killed(failpoint, write, out, overwrite=True, resume=resume)
        manifest = read_manifest(out)
        assert manifest is not None, "the folder stays known for ours"
        if (out / "dataset.json").exists():
            assert tree(out) in (whole, other), "what counts as finished is"
        elif manifest.header["settings"] == SETTINGS:
            assert rows_there(out) <= NUM
        write(out, overwrite=True, resume=resume)
        assert tree(out) == whole
    assert failpoint == 1 + 3 * (3 + NUM) + 2 * NUM


def test_without_resume_everything_is_made_again(tmp_path: Path) -> None:
    with output(tmp_path / "out") as claimed:
        claimed.begin()
        for number in (0, 1, 7):
            add(claimed, number)
    assert output(tmp_path / "out").look().begun
    assert write(tmp_path / "out", resume=False) == NUM
    assert not (tmp_path / "out" / name_of(7)).exists()
    assert verify_set(tmp_path / "out").good


def test_a_row_whose_file_is_gone_and_all_after_it_are_made_again(tmp_path: Path) -> None:
    write(tmp_path / "out")
    whole = tree(tmp_path / "out")
    (tmp_path / "out" / "dataset.json").unlink()
    (tmp_path / "out" / name_of(1)).unlink()
    assert [row["pid"] for row in output(tmp_path / "out").look().done()] == [0]
    with output(tmp_path / "out") as claimed:
        assert [row["pid"] for row in claimed.begin()] == [0]
    assert write(tmp_path / "out") == 3
    assert tree(tmp_path / "out") == whole


def test_looking_changes_nothing_and_needs_no_claim(tmp_path: Path) -> None:
    found = output(tmp_path / "out").look()
    assert (found.begun, found.finished, found.done()) == (False, False, [])
    assert not (tmp_path / "out").exists()
    write(tmp_path / "out")
    before = tree(tmp_path / "out")
    with output(tmp_path / "out"):
        found = output(tmp_path / "out").look()
        assert (found.begun, found.finished, len(found.done())) == (True, True, NUM)
        assert not output(tmp_path / "out", overwrite=True).look().begun
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    (tmp_path / "theirs" / ".tmp-1-2").write_text("mine too, for all we know")
    (tmp_path / "file").write_text("a file")
    write(tmp_path / "composite")
    before = tree(tmp_path)
    for place, words in (("theirs", "was not written by this command"), ("file", "is a file")):
        with pytest.raises(EnvironmentFault, match=words):
            write(tmp_path / place, overwrite=overwrite)
    with pytest.raises(EnvironmentFault, match="was written by 'composite', not by 'backgrounds'"):
        Output(tmp_path / "composite", PLATES, SETTINGS, overwrite=overwrite).look()
    assert tree(tmp_path) == before


def test_leftovers_alone_are_nobodys_and_swept(tmp_path: Path) -> None:
    (tmp_path / "out" / "query").mkdir(parents=True)
    (tmp_path / "out" / "query").rmdir()
    (tmp_path / "out" / ".tmp-1-2").write_text("half a file")
    write(tmp_path / "out")
    assert verify_set(tmp_path / "out").good


def test_other_settings_are_named_and_only_overwrite_replaces_them(tmp_path: Path) -> None:
    write(tmp_path / "out", OTHER)
    before = tree(tmp_path / "out")
    with pytest.raises(UsageError, match=r"(?s)other settings:\n  seed: 5 there, 0 now\n.*--overwrite"):
        write(tmp_path / "out")
    assert tree(tmp_path / "out") == before
    (tmp_path / "out" / "query" / "note.txt").write_text("mine")
    assert write(tmp_path / "out", overwrite=True) == NUM
    write(tmp_path / "fresh" / "out")
    assert tree(tmp_path / "out") == {**tree(tmp_path / "fresh" / "out"), "query/note.txt": b"mine"}


@pytest.mark.parametrize("place", ["", "query", ".."])
def test_the_output_may_not_overlap_with_a_source(tmp_path: Path, place: str) -> None:
    source = ReidDataset(Card("there"), tmp_path / "there", [], [], [])
    with pytest.raises(EnvironmentFault, match="would overlap with the set 'there'"):
        write(tmp_path / "there" / place, sources=[source])
    assert write(tmp_path / "there-too", sources=[source]) == NUM


def test_one_writer_at_a_time_and_the_claim_ends_with_an_error(tmp_path: Path) -> None:
    claimed = output(tmp_path / "out")

    def work() -> None:
        claimed.begin()
        add(claimed, 0)
        with pytest.raises(EnvironmentFault, match="another process"):
            write(tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        interrupt(claimed, work)
    with pytest.raises(UsageError, match="other settings"):
        write(tmp_path / "out", OTHER)
    assert write(tmp_path / "out") == NUM - 1


def test_room_is_asked_for_unless_the_set_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 999}))
    assert write(tmp_path / "out", num_bytes=1000) == 0
    with pytest.raises(EnvironmentFault, match="not enough space"):
        write(tmp_path / "new", num_bytes=1000)
    assert not (tmp_path / "new").exists()
    assert write(tmp_path / "new", num_bytes=999) == NUM
    header = {"row": "header", "kind": "alpha"}
    for claimed in (
        SwappedOutput(tmp_path / "swapped", "synth", "synthetic", num_bytes=1000),
        TableOutput(tmp_path / "masks", header, differences, num_bytes=1000),
    ):
        with pytest.raises(EnvironmentFault, match="not enough space"):
            claimed.__enter__()


def test_plates_are_nobody_whoever_they_were_taken_from(tmp_path: Path) -> None:
    settings = {"source": "s", "source_kind": "crops", "segmenter": "s", "plate_max_person": 0.02}
    with Output(tmp_path / "out", PLATES, settings) as claimed:
        claimed.begin(resume=False)
        write_atomic(make_folder(tmp_path / "out" / "query") / "a.png", b"a")
        row = {"row": "image", "name": "query/a.png", "split": "query", "pid": 7, "camid": 1, "side": "test"}
        claimed.append({**row, "sha256": sha256_bytes(b"a")})
        claimed.finish(Card("out", "backgrounds"))
    counts = json.loads((tmp_path / "out" / "dataset.json").read_text())["counts"]["query"]
    assert (counts["images"], counts["ids"]) == (1, 0)
    assert "Person-free pictures" in (tmp_path / "out" / "README.md").read_text()


def swap(root: Path, number: int, kind: str = "synthetic") -> None:
    """A set of one file with `number` in it, put in place whole."""
    with SwappedOutput(root, "synth", kind) as claimed:
        claimed.begin()
        name = name_of(number)
        make_folder(claimed.folder / "query")
        write_atomic(claimed.folder / name, str(number).encode())
        made = ReidDataset(Card(root.name, kind), root, [], [Record(str(root), name, 1, 1, "query")], [])
        claimed.finish(made, {"number": number})


def test_killed_anywhere_a_swapped_set_is_the_old_one_or_none_or_the_new_one(tmp_path: Path) -> None:
    for number in (1, 2):
        swap(tmp_path / f"whole{number}" / "out", number)
    old, new = (tree(tmp_path / f"whole{number}" / "out") for number in (1, 2))
    assert len(new) == 2
    failpoint, alive, seen = 0, True, []
    while alive:
        failpoint += 1
        out = tmp_path / str(failpoint) / "out"
        swap(out, 1)
        alive = killed(failpoint, swap, out, 2)
        seen.append((old, {}, new).index(tree(out)))
        swap(out, 2)
        assert tree(out) == new
        assert os.listdir(out.parent) == ["out"], "nothing is left beside it"
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}


def test_an_error_leaves_the_earlier_set_and_nothing_beside_it(tmp_path: Path) -> None:
    swap(tmp_path / "out", 1)
    before = tree(tmp_path / "out")
    claimed = SwappedOutput(tmp_path / "out", "synth", "synthetic")

    def work() -> None:
        claimed.begin()
        write_atomic(claimed.folder / "half", b"half")

    with pytest.raises(KeyboardInterrupt):
        interrupt(claimed, work)
    assert tree(tmp_path / "out") == before
    assert os.listdir(tmp_path) == ["out"]


def test_a_set_of_another_kind_is_not_swapped_away(tmp_path: Path) -> None:
    swap(tmp_path / "out", 1, kind="photographs")
    before = tree(tmp_path / "out")
    with pytest.raises(EnvironmentFault, match="of a synthetic set"):
        swap(tmp_path / "out", 2)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EnvironmentFault, match="did not write"):
        swap(tmp_path / "file", 2)
    assert tree(tmp_path / "out") == before
    (tmp_path / "empty").mkdir()
    swap(tmp_path / "empty", 2)


def differences(found: Row, header: Row) -> list[str]:
    return [key for key in ("kind",) if found.get(key) != header[key]]


def fill(root: Path, names: list[str], kind: str = "alpha", quality: float = 0.7) -> None:
    """A file of each name and the table; `broken` has no file."""
    with TableOutput(root, {"row": "header", "kind": kind, "quality": quality}, differences) as claimed:
        claimed.begin(names)
        rows: list[Row] = []
        for name in names:
            rows.append({"row": "image", "name": name})
            if "broken" not in name:
                write_atomic(make_folder((root / name).parent) / Path(name).name, name.encode())
                rows[-1]["file"] = name
        claimed.finish(rows)


def test_killed_anywhere_the_next_table_is_as_if_there_had_been_nothing(tmp_path: Path) -> None:
    first, last = ["a/one", "a/two", "three"], ["a/two", "broken", "b/four"]
    fill(tmp_path / "whole", last, quality=0.8)
    whole, failpoint, alive = tree(tmp_path / "whole"), 0, True
    assert sorted(whole) == ["a/two", "b/four", "masks.jsonl"]
    while alive:
        failpoint += 1
        out = tmp_path / str(failpoint)
        alive = killed(failpoint, fill, out, first)
        killed(failpoint, fill, out, last, quality=0.8)
        fill(out, last, quality=0.8)
        assert tree(out) == whole
    assert failpoint == 1 + 3 * 5  # two tables, three files


def test_what_is_no_table_of_ours_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / "masks", ["one"])
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "masks.jsonl").write_text("{")
    before = tree(tmp_path)
    cases = (("masks", r"other settings \(kind\)"), ("theirs", "holds no 'masks.jsonl'"), ("damaged", "is damaged"))
    for place, words in cases:
        with pytest.raises(EnvironmentFault, match=words):
            fill(tmp_path / place, ["two"], kind="rgba")
    assert tree(tmp_path) == before


def test_a_table_cannot_have_files_outside_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    fill(tmp_path / "out", ["one"])
    table = tmp_path / "out" / "masks.jsonl"
    outside = ["../mine", str(tmp_path / "mine")]
    lines = [json.dumps({"row": "image", "file": name}) for name in outside]
    table.write_text(table.read_text() + "".join(f"{line}\n" for line in lines))
    (tmp_path / "out" / "one").unlink()  # by hand: it need not be removed again
    fill(tmp_path / "out", ["two"])
    assert sorted(tree(tmp_path)) == ["mine", "out/masks.jsonl", "out/two"]
