"""Diagnostic test sets: what their pictures show, what they depend on, and what happens to bad masks."""

import json
from pathlib import Path

import numpy as np
import pytest

from reid_data.compose import views as diagnostics
from reid_data.compose.build import build_composite
from reid_data.compose.settings import CompositeSettings
from reid_data.compose.views import content_digest, load_test_set, prepare_view
from reid_data.datasets import load_dataset
from reid_data.errors import InputError, UsageError
from reid_data.files import write_atomic
from reid_data.images import encode_mask, read_record, resize, write_image
from reid_data.records import Record, ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_train.testing import test as run_test
from reid_train.training.fit import fit
from tests.conftest import random_image
from tests.data.people import SIZE, ellipse_mask, tree, write_people_set
from tests.train.conftest import small


class KeepingSegmenter(PrecomputedSegmenter):
    """The masks beside the images, kept in the cache as a network's are."""

    cached = True


@pytest.fixture(autouse=True)
def _known_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "build_segmenter", lambda name: KeepingSegmenter())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with the sets `people` and `scenes`, masks beside them."""
    write_people_set(tmp_path / "data" / "people")
    write_people_set(tmp_path / "data" / "scenes", num_ids=4, seed=100)
    return tmp_path / "data"


def shown(dataset: ReidDataset, workers: int = 1, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray | str]:
    """Every query and gallery image of a test set as a test would see it."""
    records = [*dataset.query, *dataset.gallery]
    images = prepare_view(dataset, workers=workers).images
    return {record.name: image for record, image in zip(records, images(records, size, workers))}


def set_mask(root: Path, record: Record, mask: np.ndarray) -> None:
    write_atomic((root / "masks" / record.name).with_suffix(".png"), encode_mask(mask.astype(np.float32)))


def test_an_ordinary_set_is_shown_as_it_is(root: Path) -> None:
    people = load_test_set("people", root)
    images = shown(people)
    assert all(np.array_equal(images[record.name], read_record(record)) for record in people.query)
    assert prepare_view(people).facts is None


def test_foreground_keeps_the_person_and_flattens_the_rest(root: Path) -> None:
    people = load_test_set("people@foreground", root)
    gallery = np.concatenate([read_record(record).reshape(-1, 3) for record in people.gallery])
    for name, image in shown(people).items():
        record = next(record for record in people.base.records if record.name == name)
        source = read_record(record).astype(int)
        inside = ellipse_mask()
        inside[:12] = inside[-12:] = inside[:, :9] = inside[:, -9:] = False
        assert np.abs(image[inside].astype(int) - source[inside]).max() <= 1
        corner = image[:6, :3].reshape(-1, 3)
        assert np.abs(corner - gallery.mean(0)).max() <= 1
        assert (corner == corner[0]).all()


def test_background_keeps_the_scenery_and_removes_the_person(root: Path) -> None:
    people = load_test_set("people@background", root)
    for name, image in shown(people).items():
        source = read_record(next(record for record in people.base.records if record.name == name))
        assert np.array_equal(image[:4, :2], source[:4, :2])
        assert source[20:28, 10:14, 0].min() > 150, "the person is red, the scenery grey"
        assert image[:, :, 0].max() < 150


def test_swap_is_the_composite_pixel_for_pixel(root: Path, tmp_path: Path) -> None:
    people, scenes = load_dataset("people", root), load_dataset("scenes", root)
    build_composite(people, scenes, tmp_path / "built", KeepingSegmenter(), CompositeSettings())
    built = load_dataset(str(tmp_path / "built"), root)
    expected = {record.name: resize(read_record(record), (32, 16)) for record in (*built.query, *built.gallery)}
    found = shown(load_test_set("people@swap:scenes", root), size=(32, 16))
    assert found.keys() == expected.keys()
    assert len(found) == 6
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_workers_change_nothing(root: Path) -> None:
    for view in ("foreground", "background", "swap:scenes"):
        dataset = load_test_set(f"people@{view}", root)
        shown(dataset)
        records = [*dataset.query, *dataset.gallery]
        images = prepare_view(dataset).images
        for here, there in zip(images(records, SIZE, 1), images(records, SIZE, 2)):
            assert not isinstance(here, str)
            assert np.array_equal(here, there)


def test_bad_masks_are_counted_and_nobody_shows(root: Path) -> None:
    people = load_test_set("people@background", root)
    empty, whole, distractor = people.query[0], people.query[1], people.gallery[1]
    assert distractor.pid == 0
    set_mask(root / "people", empty, np.zeros(SIZE))
    set_mask(root / "people", whole, np.ones(SIZE))
    set_mask(root / "people", distractor, np.zeros(SIZE))
    view = prepare_view(people)
    assert view.facts is not None
    assert view.facts["masks"]["query"] == {"flagged": 1, "no person": 1}
    assert {row["name"]: row["status"] for row in view.masks if row["split"] == "query"} == {
        empty.name: "no person",
        whole.name: "flagged",
    }
    images = shown(people)
    for record in (empty, whole):
        flat = images[record.name].reshape(-1, 3)
        assert (flat == flat[0]).all(), "the person may not show because its mask is bad"
    assert np.array_equal(images[distractor.name], read_record(distractor))


def test_an_image_that_cannot_be_read_is_left_out_with_its_reason(root: Path) -> None:
    people = load_test_set("people@swap:scenes", root)
    Path(people.query[0].path).write_bytes(b"")
    write_image(root / "people" / people.query[1].name, random_image(1, (60, 30)))
    found = shown(people)
    assert "is empty" in found[people.query[0].name]
    assert "the image 60x30" in found[people.query[1].name]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("people@foregruond", UsageError, "unknown diagnostic 'foregruond'. Did you mean 'foreground'"),
        ("people@swap:scens", UsageError, "Did you mean 'scenes'"),
        ("peple@background", UsageError, "Did you mean 'people'"),
        ("./no@where", InputError, "does not exist"),
    ],
)
def test_names_that_cannot_be_meant(root: Path, name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        load_test_set(name, root)


def test_cards_name_the_parents_and_paths_may_hold_an_at_sign(root: Path) -> None:
    (root / "a@b").symlink_to(root / "people")
    swap = load_test_set(f"{root}/a@b@swap:{root}/scenes", root)
    assert [swap.view, len(swap.query), len(swap.train)] == ["swap:scenes", 2, 0]
    assert [parent["name"] for parent in swap.card.parents][1:] == ["scenes"]
    assert swap.card.kind == "diagnostic"


def test_the_digest_follows_both_sets_the_view_and_the_segmenter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["people", "people@foreground", "people@background", "people@swap:scenes"]

    def digests() -> list[str]:
        return [content_digest(load_test_set(name, root)) for name in names]

    before = digests()
    assert len(set(before)) == 4
    assert digests() == before
    write_image(root / "scenes" / "bounding_box_train" / "0002_c1s1_000001_00.jpg", random_image(1, SIZE))
    after = digests()
    assert [one == other for one, other in zip(before, after)] == [True, True, True, False]
    write_image(root / "people" / "query" / "0050_c1s1_000001_00.jpg", random_image(2, SIZE))
    assert not set(digests()) & set(before)
    before = digests()
    monkeypatch.setattr(KeepingSegmenter, "digest", lambda self, records=(): "another")
    assert [one == other for one, other in zip(before, digests())] == [True, False, False, False]


@pytest.mark.usefixtures("tiny_backbone")
def test_a_run_is_tested_on_them_and_nothing_is_written_into_the_set(root: Path, tmp_path: Path) -> None:
    fit(small(), [load_dataset("scenes", root)], tmp_path / "run", device="cpu", workers=1)
    set_mask(root / "people", load_dataset("people", root).query[0], np.zeros(SIZE))
    before = tree(root)
    steps: list[tuple[int, int]] = []
    for view in ("foreground", "background", "swap:scenes"):
        dataset = load_test_set(f"people@{view}", root)
        result = run_test(tmp_path / "run", dataset, device="cpu", workers=1, progress=lambda *step: steps.append(step))
        entry = result.tests[f"people@{view}"]
        assert (entry["num_query"], entry["num_gallery"]) == (2, 3), "junk is never scored, bad masks are kept"
        assert entry["view"]["masks"]["query"] == {"no person": 1, "ok": 1}
        assert entry["digest"] == content_digest(dataset)
        rows = json.loads((tmp_path / "run" / "tests" / dataset.name / "masks.json").read_text())
        assert [(row["split"], row["status"]) for row in rows if row["split"] == "query"] == [("query", "no person")]
    assert steps[-1] == (11, 11), "six masks, then two queries and three gallery images"
    assert tree(root) == before
