"""`--matte` as typed: every command that reads pictures refuses transparent ones, with their number and the flag, or reads
them over the colour, which is in the key of all that it makes."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.data import app

from reid_data.compose.settings import load_source
from reid_data.datasets import load_dataset
from reid_data.errors import ReidError
from reid_data.files import write_atomic
from reid_data.images import decode_image, encode_png, read_image, read_record, write_image
from reid_data.manifest import read_manifest
from reid_data.records import TRANSPARENT
from tests.data.people import tree, write_people_set
from tests.data.test_transparency import cut_out_set

WHITE = ("--matte", "255,255,255")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The people's set as cut-outs (10 pictures), a set of photographs, and the cut-outs laid on white."""
    cut_out_set(tmp_path / "cut")
    write_people_set(tmp_path / "campus", 3, (4, 5), seed=100, extras=False)
    cut_out_set(tmp_path / "white")
    for path in tmp_path.glob("white/[bq]*/*.png"):
        write_image(path, decode_image(path.read_bytes(), (255, 255, 255)))
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    """A command on the data root in this process, with its exit code; errors for users are raised."""
    return CliRunner().invoke(app, [*arguments, "--data-root", str(root), "--workers", "1"], standalone_mode=False)


def figures(result: Result) -> dict[str, object]:
    """What `stats --json` says of its one set."""
    (found,) = json.loads(result.stdout).values()
    return {key: value for key, value in found.items() if key != "file"}


def test_stats(root: Path) -> None:
    refused = run(root, "stats", "cut")
    assert isinstance(refused.exception, ReidError)
    assert "none of the 4 images" in str(refused.exception)
    assert TRANSPARENT in str(refused.exception)
    over = run(root, "stats", "cut", *WHITE, "--json")
    assert over.return_value == 0
    assert figures(over) == figures(run(root, "stats", "white", "--json"))
    assert figures(over) != figures(run(root, "stats", "cut", "--matte", "0,0,0", "--json"))


def test_stats_of_a_mixture_counts_the_transparent_ones(root: Path) -> None:
    first = sorted((root / "cut" / "bounding_box_train").iterdir())[0]
    write_image(first, np.full((48, 24, 3), 90, np.uint8))
    mixed = run(root, "stats", "cut")
    assert mixed.return_value == 1
    assert "3 unreadable images were left out (3 with transparent pixels: --matte R,G,B" in mixed.stderr


def test_check(root: Path) -> None:
    refused = run(root, "check", "cut", "--json")
    assert refused.return_value == 1
    found = {one["kind"]: one for one in json.loads(refused.stdout)["findings"]}
    assert found["transparent"]["count"] == 10
    assert "--matte" in found["transparent"]["remedy"]
    assert "unreadable" not in found
    assert {reason for _, reason in json.loads(refused.stdout)["unreadable"]} == {TRANSPARENT}
    over = json.loads(run(root, "check", "cut", "--json", *WHITE).stdout)
    same = json.loads(run(root, "check", "white", "--json").stdout)
    assert over["findings"] == same["findings"]
    assert not over["unreadable"]


@pytest.mark.parametrize("source", ["cut", "./cut"])
def test_segment(root: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    how = ("--segmenter", "grabcut", "--as", "rgba")
    refused = run(root, "segment", source, "--out", "refused", *how)
    assert refused.return_value == 1
    assert "10 with transparent pixels" in refused.stderr
    assert run(root, "segment", source, "--out", "over", *how, *WHITE).return_value == 0
    assert run(root, "segment", source.replace("cut", "white"), "--out", "plain", *how).return_value == 0
    over, plain = tree(root / "over"), tree(root / "plain")
    tables = [[json.loads(line) for line in part.pop("masks.jsonl").splitlines()] for part in (over, plain)]
    assert over == plain
    for one, same in zip(tables[0][1:], tables[1][1:], strict=True):
        assert one | {"sha256": same["sha256"]} == same != one, "the pictures are other files"
    assert tables[0][0]["matte"] == "255,255,255"
    other = run(root, "segment", source, "--out", "over", *how, "--matte", "0,0,0")
    assert "other settings (matte)" in str(other.exception)


def composite(root: Path, out: str, fg: str, bg: str, *more: str) -> Result:
    """`composite` with masks on disk."""
    return run(root, "composite", "--fg", fg, "--bg", bg, "--out", out, "--segmenter", "precomputed", *more)


def images(folder: Path) -> dict[str, bytes]:
    """The pictures of a set."""
    return {name: data for name, data in tree(folder).items() if name.endswith(".jpg")}


def test_composite(root: Path) -> None:
    refused = composite(root, "refused", "cut", "campus")
    assert refused.return_value == 1
    assert "10 images could not be used (10 with transparent pixels: --matte" in refused.stderr
    assert composite(root, "over", "cut", "campus", *WHITE).return_value == 0
    assert composite(root, "plain", "white", "campus").return_value == 0
    assert images(root / "over") == images(root / "plain") != {}
    assert json.loads((root / "over" / "dataset.json").read_text())["settings"]["matte"] == "255,255,255"
    assert "finished already" in composite(root, "over", "cut", "campus", *WHITE).stderr
    other = composite(root, "over", "cut", "campus", "--matte", "0,0,0")
    assert "matte: 255,255,255 there, 0,0,0 now" in str(other.exception)
    assert "matte" in str(composite(root, "over", "cut", "campus").exception)


def test_a_composite_is_looked_at_with_the_matte_it_was_made_with(root: Path) -> None:
    assert composite(root, "over", "cut", "campus", *WHITE).return_value == 0
    assert composite(root, "plain", "white", "campus").return_value == 0
    for name in ("over", "plain"):
        shown = CliRunner().invoke(app, ["preview", name, "--data-root", str(root)], standalone_mode=False)
        assert shown.exception is None
    assert np.array_equal(*(read_image(str(root / f"{name}-preview.jpg")) for name in ("over", "plain")))
    manifest = read_manifest(root / "over")
    assert manifest is not None
    people = load_source(root / "over", manifest.header["sources"]["foreground"], root)
    assert people == load_dataset("cut", root, (255, 255, 255)), "what the judges of reid-data quality look at"


def test_backgrounds_of_cut_outs_and_of_transparent_scenes(root: Path) -> None:
    def make(source: str, out: str, *more: str) -> Result:
        return run(root, "backgrounds", source, "--out", out, "--num", "4", "--segmenter", "precomputed", *more)

    assert TRANSPARENT in str(make("cut", "refused").exception)
    assert make("cut", "over", *WHITE).return_value == 0
    assert make("cut", "dark", "--matte", "0,0,0").return_value == 0
    means = [
        np.mean([read_record(record).mean() for record in load_dataset(name, root).records])
        for name in ("over", "dark")
    ]
    assert means[0] > 250, "the places around the people are the matte's, and so are those that are filled"
    assert means[1] < 5
    assert json.loads((root / "over" / "dataset.json").read_text())["settings"]["matte"] == "255,255,255"
    scene = np.dstack([np.full((200, 300, 3), 80, np.uint8), np.zeros((200, 300), np.uint8)])
    (root / "scenes").mkdir()
    write_atomic(root / "scenes" / "a.png", encode_png(scene))
    refused = run(root, "backgrounds", f"{root}/scenes", "--out", "none", "--segmenter", "small", "--device", "cpu")
    assert TRANSPARENT in str(refused.exception)


def test_a_background_set_is_exempt_by_its_card(root: Path) -> None:
    made = run(root, "backgrounds", "campus", "--out", "plates", "--num", "4", "--segmenter", "precomputed")
    assert made.return_value == 0
    plates = load_dataset("plates", root)
    assert any((decode_png_alpha(record.path) == 0).any() for record in plates.records)
    assert run(root, "stats", "plates").return_value == 0
    found = json.loads(run(root, "check", "plates", "--json").stdout)
    assert "transparent" not in {one["kind"] for one in found["findings"]}
    assert load_dataset("plates", root, (1, 2, 3)) == plates, "a matte is not for them"
    assert composite(root, "over", "cut", "plates", *WHITE).return_value == 0
    assert composite(root, "plain", "white", "plates").return_value == 0
    assert images(root / "over") == images(root / "plain") != {}


def decode_png_alpha(path: str) -> np.ndarray:
    """The alpha of a plate."""
    from PIL import Image

    return np.asarray(Image.open(path))[..., 3]


def test_a_matte_that_is_none(root: Path) -> None:
    wrong = run(root, "stats", "cut", "--matte", "white")
    assert isinstance(wrong.exception, ReidError)
    assert "--matte 'white'" in str(wrong.exception)
    assert wrong.exception.exit_code == 2
