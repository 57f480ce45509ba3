"""The whole composite pipeline on tiny sets: layout, counts, leaks, interruptions, refusals."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reid_data import claims, files
from reid_data.compose.build import Built, build_composite
from reid_data.compose.recipe import PlanSettings
from reid_data.compose.settings import CompositeSettings, limit_records, load_source, outlook
from reid_data.datasets import load_dataset
from reid_data.errors import EnvironmentFault, InputError, UsageError
from reid_data.files import sha256_file
from reid_data.images import encode_mask, encode_png, read_image
from reid_data.manifest import MANIFEST_FILE, Row, read_manifest
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from tests.data.people import tree, write_people_set
from tests.killed import killed

SETTINGS = CompositeSettings()


@pytest.fixture
def fg(tmp_path: Path) -> ReidDataset:
    return load_dataset(str(write_people_set(tmp_path / "fg")), tmp_path)


@pytest.fixture
def bg(tmp_path: Path) -> ReidDataset:
    return load_dataset(str(write_people_set(tmp_path / "bg", 3, (4, 5), seed=100, extras=False)), tmp_path)


def build(
    fg: ReidDataset, bg: ReidDataset, out: Path, settings: CompositeSettings = SETTINGS, **options: object
) -> Built:
    return build_composite(fg, bg, out, PrecomputedSegmenter(), settings, **options)  # type: ignore[arg-type]


def image_rows(out: Path) -> list[Row]:
    manifest = read_manifest(out)
    assert manifest is not None
    return manifest.of_kind("image")


def mask_of(dataset: ReidDataset, name: str) -> Path:
    return (dataset.root / "masks" / name).with_suffix(".png")


def test_a_composite_is_a_market_set_of_the_same_people(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    built = build(fg, bg, tmp_path / "out")
    made = load_dataset("out", tmp_path)
    assert built.counts == {"train": {"ok": 4}, "query": {"ok": 2}, "gallery": {"ok": 4}}
    assert built.failed == 0
    assert made.card.kind == "composite"
    assert made.card.identity_space == fg.card.identity_space
    assert [parent["name"] for parent in made.card.parents] == ["fg", "bg"]
    for split in ("train", "query", "gallery"):
        assert [(r.name, r.pid, r.camid) for r in made.split(split)] == [
            (r.name, r.pid, r.camid) for r in fg.split(split)
        ]
    for record in fg.records:
        assert read_image(str(tmp_path / "out" / record.name)).shape == read_image(record.path).shape


def test_the_manifest_tells_where_everything_came_from(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    rows = image_rows(tmp_path / "out")
    assert [row["source"] for row in rows] == [record.name for record in fg.records]
    scenes = {record.name: record for record in bg.records}
    for row in rows:
        assert row["sha256"] == sha256_file(tmp_path / "out" / row["name"])
        assert row["source_sha256"] == sha256_file(fg.root / row["source"])
        assert row["background_sha256"] == sha256_file(bg.root / row["background"])
        assert (row["split"] == "train") == (scenes[row["background"]].split == "train")  # no leak between the sides
        assert row["mask_quality"] == 1


def test_data_card_and_dataset_json(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    withdrawn = replace(bg, card=replace(bg.card, status="withdrawn", notice="Withdrawn in 2019.", terms="none left"))
    build(fg, withdrawn, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert document["status"] == "withdrawn"
    assert document["notice"] == "Withdrawn in 2019."
    assert document["counts"]["train"]["images"] == 4
    assert "none left" in document["terms"]
    text = (tmp_path / "out" / "README.md").read_text()
    for words in ("withdrawn", "none left", "Withdrawn in 2019.", "| train | 4 | 0 | 0 | 0 |", "Removing a person"):
        assert words in text


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    fg: ReidDataset, bg: ReidDataset, tmp_path: Path, workers: int
) -> None:
    build(fg, bg, tmp_path / "one" / "out")
    build(fg, bg, tmp_path / "more" / "out", workers=workers)
    first, second = tree(tmp_path / "one" / "out"), tree(tmp_path / "more" / "out")
    assert first == second
    assert len(first) == 10 + 3


def test_the_seed_matters(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "a")
    build(fg, bg, tmp_path / "b", CompositeSettings(PlanSettings(seed=1)))
    chosen = [[row["background"] for row in image_rows(tmp_path / name)] for name in "ab"]
    assert chosen[0] != chosen[1]


def test_killed_at_any_write_it_finishes_with_the_same_bytes(
    fg: ReidDataset, bg: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(fg, train=fg.train[:2], query=fg.query[:1], gallery=fg.gallery[:2])
    scenes = replace(bg, train=bg.train[:1], query=bg.query[:1], gallery=[])
    build(small, scenes, tmp_path / "whole" / "out")
    whole = tree(tmp_path / "whole" / "out")
    failpoint, dead = 0, True
    while dead:
        failpoint += 1
        monkeypatch.setenv("REID_CACHE", str(tmp_path / f"cache{failpoint}"))
        out = tmp_path / f"run{failpoint}" / "out"
        dead = killed(failpoint, build, small, scenes, out)
        if dead and failpoint % 3 == 0:
            killed(failpoint // 2, build, small, scenes, out)  # a second accident on the way
        built = build(small, scenes, out)
        assert tree(out) == whole
        assert built.was_finished != dead or failpoint > 20
    assert failpoint > 30


def test_a_finished_set_is_left_as_it_is(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    first = build(fg, bg, tmp_path / "out")
    (tmp_path / "out" / "query" / "note.txt").write_text("mine")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = build(fg, bg, tmp_path / "out")
    assert again == replace(first, was_finished=True)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}


def test_other_settings_stop_and_name_the_difference(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(UsageError, match=r"(?s)seed: 0 there, 5 now.*--overwrite"):
        build(fg, bg, tmp_path / "out", CompositeSettings(PlanSettings(seed=5)))
    assert tree(tmp_path / "out") == before


def test_a_changed_source_image_is_noticed(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    Path(fg.train[0].path).write_bytes(Path(fg.train[1].path).read_bytes())
    with pytest.raises(UsageError, match="foreground_digest"):
        build(fg, bg, tmp_path / "out")


def test_overwrite_starts_afresh_and_leaves_nothing_behind(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "old" / "out")
    other = CompositeSettings(PlanSettings(seed=5), limit=1)
    build(fg, bg, tmp_path / "old" / "out", other, overwrite=True)
    build(fg, bg, tmp_path / "new" / "out", other)
    assert tree(tmp_path / "old" / "out") == tree(tmp_path / "new" / "out")


def test_interrupted_clearing_is_made_good(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    whole = tree(tmp_path / "out")
    (tmp_path / "out" / "dataset.json").unlink()
    (tmp_path / "out" / fg.query[0].name).unlink()
    build(fg, bg, tmp_path / "out")
    assert tree(tmp_path / "out") == whole


def test_a_folder_of_somebody_else_is_left_alone(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(EnvironmentFault, match="was not written by this command"):
            build(fg, bg, tmp_path / "out", overwrite=overwrite)
    assert tree(tmp_path / "out") == {"thesis.txt": b"mine"}
    (tmp_path / "file").write_text("a file")
    with pytest.raises(EnvironmentFault, match="is a file"):
        build(fg, bg, tmp_path / "file")


@pytest.mark.parametrize("place", ["fg", "fg/out", ".", "bg/query"])
def test_the_output_may_not_overlap_with_a_source(fg: ReidDataset, bg: ReidDataset, tmp_path: Path, place: str) -> None:
    with pytest.raises(EnvironmentFault, match="overlap"):
        build(fg, bg, tmp_path / place)


def test_two_processes_do_not_write_one_set(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    with claims.only_writer(tmp_path / "out"), pytest.raises(EnvironmentFault, match="another process"):
        build(fg, bg, tmp_path / "out")


def test_a_full_disk_is_noticed_before_the_start(
    fg: ReidDataset, bg: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Counter(free=1)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": usage["free"]}))
    with pytest.raises(EnvironmentFault, match="not enough space"):
        build(fg, bg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unreadable_images_become_rows_and_the_rest_is_made(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    Path(fg.train[1].path).write_bytes(b"")
    Path(fg.query[0].path).write_bytes(b"<html>not found</html>")
    Path(bg.train[0].path).write_bytes(b"")
    built = build(fg, bg, tmp_path / "out")
    assert built.counts == {"train": {"failed": 1, "ok": 3}, "query": {"failed": 1, "ok": 1}, "gallery": {"ok": 4}}
    assert built.unusable == 1
    assert built.failed == 3
    failed = {row["source"]: row["reason"] for row in image_rows(tmp_path / "out") if row["status"] == "failed"}
    assert "empty" in failed[fg.train[1].name]
    assert "is not a JPEG" in failed[fg.query[0].name]
    made = load_dataset("out", tmp_path)
    assert (len(made.train), len(made.query), len(made.gallery)) == (3, 1, 4)
    assert build(fg, bg, tmp_path / "out").failed == 3


def test_the_gate_drops_in_training_and_flags_in_testing(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    nobody = [fg.train[0], fg.query[0], *(record for record in fg.gallery if record.pid <= 0)]
    for record in nobody:
        mask_of(fg, record.name).write_bytes(encode_mask(np.zeros((48, 24))))
    built = build(fg, bg, tmp_path / "out")
    assert built.counts == {"train": {"dropped": 1, "ok": 3}, "query": {"flagged": 1, "ok": 1}, "gallery": {"ok": 4}}
    assert built.failed == 0
    rows = {row["source"]: row for row in image_rows(tmp_path / "out")}
    assert rows[fg.train[0].name]["sha256"] is None
    assert not (tmp_path / "out" / fg.train[0].name).exists()
    assert "no person found" in rows[fg.query[0].name]["reason"]
    for record in fg.gallery:
        assert rows[record.name]["person"] == (record.pid > 0)
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert document["counts"]["train"]["images"] == 3


def test_a_picture_without_a_mask_is_failed_not_dropped(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    mask_of(fg, fg.train[0].name).unlink()
    mask_of(fg, fg.query[0].name).write_bytes(encode_png(np.ones((48, 24), np.uint8)))
    built = build(fg, bg, tmp_path / "out")
    assert built.counts == {"train": {"failed": 1, "ok": 3}, "query": {"failed": 1, "ok": 1}, "gallery": {"ok": 4}}
    assert built.failed == 2
    reasons = {row["source"]: row["reason"] for row in image_rows(tmp_path / "out") if row["status"] == "failed"}
    assert reasons[fg.train[0].name].startswith("has no mask: expected 'masks/")
    assert "has no larger value than 1" in reasons[fg.query[0].name]


def test_no_usable_plate_is_an_error(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    for record in bg.train[1:]:
        mask_of(bg, record.name).unlink()
    mask_of(bg, bg.train[0].name).write_bytes(b"broken")
    with pytest.raises(InputError, match="none of the 6 crops of the train side of 'bg'"):
        build(fg, bg, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_background_without_a_test_side_is_cut_in_two_by_identity(
    fg: ReidDataset, bg: ReidDataset, tmp_path: Path
) -> None:
    build(fg, replace(bg, query=[], gallery=[]), tmp_path / "out")
    used: dict[bool, set[int]] = {True: set(), False: set()}
    pids = {record.name: record.pid for record in bg.records}
    for row in image_rows(tmp_path / "out"):
        used[row["split"] == "train"].add(pids[row["background"]])
    assert used[True]
    assert used[False]
    assert not used[True] & used[False]


def test_a_set_may_be_its_own_background(fg: ReidDataset, tmp_path: Path) -> None:
    build(fg, fg, tmp_path / "out")
    pids = {record.name: record.pid for record in fg.records}
    assert all(pids[row["background"]] != row["pid"] for row in image_rows(tmp_path / "out"))
    assert len(load_dataset("out", tmp_path).card.parents) == 1


def test_folders_of_identities_get_market_names(bg: ReidDataset, tmp_path: Path) -> None:
    source = load_dataset(str(write_people_set(tmp_path / "source", extras=False)), tmp_path)
    for number, record in enumerate(source.records):
        for path in (Path(record.path), mask_of(source, record.name)):
            place = tmp_path / "plain" / ("masks" if path.suffix == ".png" else "") / f"{record.pid}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    masks = tmp_path / "masks-of-plain"
    (tmp_path / "plain" / "masks").rename(masks)
    plain = load_dataset(str(tmp_path / "plain"), tmp_path)
    segmenter = PrecomputedSegmenter({str(plain.root): str(masks)})
    built = build_composite(plain, bg, tmp_path / "out", segmenter, SETTINGS)
    made = load_dataset("out", tmp_path)
    assert built.counts["train"] == {"ok": len(plain.train)}
    assert Counter(record.pid for record in made.train) == Counter(record.pid for record in plain.train)


def test_limit_keeps_queries_answerable(tmp_path: Path) -> None:
    people = load_dataset(str(write_people_set(tmp_path / "people", num_ids=5)), tmp_path)
    chosen = limit_records(people, 2)
    assert Counter(record.split for record in chosen) == {"train": 2, "query": 2, "gallery": 2}
    asked, offered = ([r.pid for r in chosen if r.split == split] for split in ("query", "gallery"))
    assert asked == offered
    assert limit_records(people, None) == people.records


def test_outlook_tells_the_state(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    out, segmenter = tmp_path / "out", PrecomputedSegmenter()
    before = outlook(fg, bg, out, segmenter, SETTINGS)
    assert (before["state"], before["done"]) == ("to be made", 0)
    assert before["images"] == {"train": 4, "query": 2, "gallery": 4}
    assert not out.exists()
    build(fg, bg, out)
    after = outlook(fg, bg, out, segmenter, SETTINGS)
    assert (after["state"], after["done"]) == ("finished", 10)
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert written < before["bytes"] < 100 * written
    with pytest.raises(EnvironmentFault):
        outlook(fg, bg, fg.root, segmenter, SETTINGS)


def test_sources_are_found_again_also_after_a_move(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    manifest = read_manifest(moved / "out")
    assert manifest is not None
    source = load_source(moved / "out", manifest.header["sources"]["foreground"], moved)
    assert [record.name for record in source.records] == [record.name for record in fg.records]
    moved.rename(tmp_path)


def test_the_manifest_of_another_command_is_refused(fg: ReidDataset, bg: ReidDataset, tmp_path: Path) -> None:
    build(fg, bg, tmp_path / "out")
    path = tmp_path / "out" / MANIFEST_FILE
    path.write_bytes(path.read_bytes().replace(b'"command": "composite"', b'"command": "backgrounds"', 1))
    with pytest.raises(EnvironmentFault, match="was written by 'backgrounds'"):
        build(fg, bg, tmp_path / "out")
