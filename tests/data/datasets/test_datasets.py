"""Readers: what is read, what is ignored and counted, and what a user is told."""

from pathlib import Path

import pytest

from reid_data.datasets import DATASETS, find_dataset, found_names, load_dataset
from reid_data.datasets.card import card_as_parent, most_restrictive, write_card
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import InputError, UsageError
from reid_data.images import write_image
from reid_data.records import Card, Record, count_split, relabel
from tests.conftest import random_image


def test_market_layout(market_folder):
    root = market_folder("Market-1501-v15.09.15", num_ids=3)
    dataset = load_dataset("market", root.parent)
    assert dataset.root == root
    assert [(record.pid, record.camid) for record in dataset.train] == [(2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)]
    assert [record.pid for record in dataset.gallery] == [-1, 0, 100, 101, 102]
    assert count_split(dataset.gallery) == {"images": 5, "ids": 3, "cameras": 2, "junk": 1, "distractors": 1}
    assert dataset.ignored == {"not an image": 1}
    assert dataset.card.status == "restricted"


@pytest.mark.parametrize("spec", DATASETS.values(), ids=DATASETS.keys())
def test_every_usual_folder_name_is_found(spec, market_folder, tmp_path):
    for folder in spec.folders:
        root = market_folder(f"{folder.replace('/', '_')}_root/{folder}")
        data_root = Path(str(root).removesuffix(folder))
        assert find_dataset(spec.name, data_root) == root
        assert spec.name in found_names(data_root)


def test_text_and_paths_are_the_same(market_folder, monkeypatch):
    root = market_folder("mine")
    monkeypatch.chdir(root.parent)
    names = ("mine", "./mine", Path("mine"), root, str(root))
    loaded = [load_dataset(name, data_root) for name in names for data_root in (".", root.parent)]
    assert len(loaded[0].train) == 6
    assert all([record.name for record in one.records] == [r.name for r in loaded[0].records] for one in loaded)
    assert {one.name for one in loaded} == {"mine"}


def test_the_inner_folder_is_found_where_nothing_else_tells(tmp_path):
    (tmp_path / "msmt17" / "MSMT17_V1").mkdir(parents=True)
    assert find_dataset("msmt17", tmp_path) == tmp_path / "msmt17" / "MSMT17_V1"


def test_labels_come_from_sorted_ids_not_from_the_scan():
    records = [Record("r", f"{pid}.jpg", pid, 1, "train") for pid in (30, 7, 7, 0, -1, 12)]
    assert relabel(records) == {7: 0, 12: 1, 30: 2}
    assert relabel(records[::-1]) == {7: 0, 12: 1, 30: 2}


def test_duke_names_are_read_by_the_same_reader(tmp_path):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "DukeMTMC-reID" / folder).mkdir(parents=True)
    write_image(tmp_path / "DukeMTMC-reID" / "bounding_box_train" / "0005_c8_f0046182.jpg", random_image(0))
    dataset = load_dataset("duke", tmp_path)
    assert [(record.pid, record.camid) for record in dataset.train] == [(5, 8)]
    assert "withdrawn" in dataset.card.notice


def test_identity_folders(tmp_path):
    for person in ("bob", "alice", "carol"):
        (tmp_path / "people" / person).mkdir(parents=True)
        write_image(tmp_path / "people" / person / "1.png", random_image(1))
    (tmp_path / "people" / "notes.txt").write_text("x")
    dataset = load_dataset(str(tmp_path / "people"), tmp_path)
    assert [(record.name, record.pid, record.camid) for record in dataset.train] == [
        ("alice/1.png", 1, 0),
        ("bob/1.png", 2, 0),
        ("carol/1.png", 3, 0),
    ]
    assert dataset.ignored == {"not an image": 1}


def test_identity_folders_with_splits_share_one_numbering(tmp_path):
    for split, people in {"train": ["a", "b"], "query": ["c"], "gallery": ["c", "b"]}.items():
        for person in people:
            (tmp_path / "set" / split / person).mkdir(parents=True)
            write_image(tmp_path / "set" / split / person / "x.jpg", random_image(2))
    dataset = load_dataset(str(tmp_path / "set"), tmp_path)
    assert [record.pid for record in dataset.train] == [1, 2]
    assert [record.pid for record in dataset.query] == [3]
    assert [record.pid for record in dataset.gallery] == [2, 3]
    assert dataset.query[0].name == "query/c/x.jpg"


def test_whole_number_folders_keep_their_numbers(tmp_path):
    for person in ("0007", "0012"):
        (tmp_path / "set" / person).mkdir(parents=True)
        write_image(tmp_path / "set" / person / "x.jpg", random_image(2))
    assert [record.pid for record in load_dataset(str(tmp_path / "set"), tmp_path).train] == [7, 12]


def test_csv(tmp_path):
    write_image(tmp_path / "b.jpg", random_image(1))
    (tmp_path / "set.csv").write_text("path,pid,camid,split,note\nb.jpg,4,2,query,x\na.jpg,4,1,gallery,\n")
    dataset = load_dataset(str(tmp_path / "set.csv"), tmp_path)
    assert dataset.query == [Record(str(tmp_path), "b.jpg", 4, 2, "query")]
    assert dataset.name == "set"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pid,split\n", "lacks the column camid"),
        ("path,pid,camid,split\na.jpg,4,1,test\n", "line 2, column split: 'test'"),
        ("path,pid,camid,split\na.jpg,4,1,train\na.jpg,x,1,train\n", "line 3, column pid: 'x'"),
        ("path,pid,camid,split\n", "has no rows"),
        (
            "path,pid,camid,split\na.jpg,1,1,train\nb.jpg,-2,1,train\n",
            "line 3, column pid: -2; expected a number of at least -1",
        ),
        ("path;pid;camid;split\na.jpg;1;-1;train\n", "line 2, column camid: -1; expected a number of at least 0"),
    ],
)
def test_csv_faults_name_the_line(tmp_path, text, message):
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        load_dataset(str(tmp_path / "set.csv"), tmp_path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_dataset(str(tmp_path / "none.csv"), tmp_path)


def test_unknown_and_absent_names(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'market'"):
        load_dataset("markt", tmp_path)
    with pytest.raises(InputError, match=r"Looked for market/.*Market-1501-v15.09.15"):
        load_dataset("market", tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_dataset(str(tmp_path / "nowhere"), tmp_path)
    (tmp_path / "market").mkdir()
    with pytest.raises(InputError, match="expected bounding_box_train/"):
        load_dataset("market", tmp_path)


def test_a_sets_own_card_comes_before_the_table(market_folder):
    root = market_folder("duke")
    plain = load_dataset("duke", root.parent)
    card = Card("duke", "synthetic", "synthetic-duke", "CC0-1.0", "ok", "")
    write_card(root, card, plain, {"seed": 1})
    dataset = load_dataset("duke", root.parent)
    assert (dataset.card.status, dataset.card.notice, dataset.card.identity_space) == ("ok", "", "synthetic-duke")
    assert card_as_parent(dataset.card)["kind"] == "synthetic"


def test_a_damaged_card_is_refused(market_folder):
    root = market_folder("duke")
    (root / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        load_dataset("duke", root.parent)


def test_status_of_a_derived_set():
    assert most_restrictive("ok", "withdrawn", "restricted") == "withdrawn"
    assert most_restrictive("restricted", "ok") == "restricted"


def test_digest_follows_names_and_contents_only(market_folder, tmp_path):
    first, second = market_folder("one"), market_folder("two/one")
    digest = dataset_digest(load_dataset(str(first), tmp_path))
    assert dataset_digest(load_dataset(str(second), tmp_path)) == digest
    (second / "masks").mkdir()
    (second / "masks" / "x.png").write_bytes(b"")
    assert dataset_digest(load_dataset(str(second), tmp_path)) == digest
    write_image(second / "query" / "0100_c1s1_000001_00.jpg", random_image(99))
    assert dataset_digest(load_dataset(str(second), tmp_path)) != digest
