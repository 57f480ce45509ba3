"""A symbolic link below an output is followed by nothing that clears, writes, sweeps or forgets; an output may be one itself."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reid_data.claims import only_writer
from reid_data.compose.build import build_composite
from reid_data.compose.settings import CompositeSettings, outlook
from reid_data.datasets import load_dataset
from reid_data.datasets.importer import ImportSettings, import_set
from reid_data.errors import EnvironmentFault
from reid_data.export.subset import SubsetSettings, build_subset
from reid_data.files import empty_folder, refuse_links
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.written.forget import forget_person
from tests.data.people import tree, write_people_set
from tests.data.written.test_output import OTHER, fill, swap, write


def composite(out: Path, *, overwrite: bool = False) -> None:
    fg, bg = (load_dataset(str(out.parent / name), out.parent) for name in ("fg", "bg"))
    build_composite(fg, bg, out, PrecomputedSegmenter(), CompositeSettings(limit=2), overwrite=overwrite)


def look(out: Path) -> None:
    """As a dry run does."""
    fg, bg = (load_dataset(str(out.parent / name), out.parent) for name in ("fg", "bg"))
    outlook(fg, bg, out, PrecomputedSegmenter(), CompositeSettings(limit=2))


def subset(out: Path, *, overwrite: bool = False) -> None:
    build_subset(load_dataset(str(out.parent / "fg"), out.parent), out, SubsetSettings(), overwrite=overwrite)


def hold(out: Path) -> None:
    """As a training, a test and a matrix hold their folders."""
    with only_writer(out):
        (out / "query" / "log.jsonl").write_text("{}")


CALLS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "the same again": (write, write),
    "in place of another": (lambda out: write(out, OTHER), lambda out: write(out, overwrite=True)),
    "all anew": (write, lambda out: write(out, resume=False)),
    "composite": (composite, lambda out: composite(out, overwrite=True)),
    "dry run": (composite, look),
    "subset": (subset, lambda out: subset(out, overwrite=True)),
    "forget": (composite, lambda out: forget_person(out, 51)),
    "synth": (lambda out: swap(out, 1), lambda out: swap(out, 2)),
    "segment": (lambda out: fill(out, ["query/one", "two"]), lambda out: fill(out, ["query/three"])),
    "run": (write, hold),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", ["query", "query/deeper", "new", "query/.tmp-1-2"])
def test_nothing_is_followed_out_of_an_output(tmp_path: Path, call: str, place: str) -> None:
    for number, name in enumerate(("fg", "bg")):
        write_people_set(tmp_path / name, 2, (1 + 2 * number, 2 + 2 * number), seed=number)
    make, again = CALLS[call]
    out, precious = tmp_path / "out", tmp_path / "precious"
    make(out)
    if place == "query":
        os.rename(out / place, precious)
    else:
        precious.mkdir()
    (precious / ".tmp-9-9").write_text("not ours")
    (precious / "mine.jpg").write_text("mine")
    (out / place).symlink_to(precious)
    before = tree(tmp_path)
    with pytest.raises(EnvironmentFault, match=f"out/{place}' is a symbolic link"):
        again(out)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("call", CALLS)
def test_the_output_and_its_folder_may_be_links(tmp_path: Path, call: str) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.symlink_to(elsewhere)
    for number, name in enumerate(("fg", "bg")):
        write_people_set(home / name, 2, (1 + 2 * number, 2 + 2 * number), seed=number)
    (elsewhere / "real").mkdir()
    (home / "out").symlink_to(elsewhere / "real")
    for one in CALLS[call]:
        one(home / "out")
    assert (home / "out").is_symlink()
    assert (elsewhere / "real" / "query").is_dir()
    assert sorted(os.listdir(elsewhere)) == ["bg", "fg", "out", "real"], "and nothing is left beside it"


def test_a_link_with_the_name_of_a_building_place_is_replaced_not_filled(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "mine").write_text("mine")
    for hidden in (".tmp-synth-out", ".tmp-old-out", ".tmp-import-new", ".tmp-unpacked-new"):
        (tmp_path / hidden).symlink_to(tmp_path / "precious")
    swap(tmp_path / "out", 1)
    swap(tmp_path / "out", 2)
    import_set(write_people_set(tmp_path / "people"), tmp_path / "new", ImportSettings())
    assert tree(tmp_path / "precious") == {"mine": b"mine"}
    assert sorted(os.listdir(tmp_path)) == ["new", "out", "people", "precious"]


def test_a_folder_made_anew_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert os.listdir(empty_folder(tmp_path / "a")) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EnvironmentFault, match="File exists"):
        empty_folder(tmp_path / "file")


def test_a_folder_that_cannot_be_searched_for_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(tmp_path / "not there")

    def closed(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(EnvironmentFault, match="cannot look into"):
        refuse_links(tmp_path)
