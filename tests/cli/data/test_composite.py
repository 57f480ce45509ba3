"""`reid-data composite` and `preview` as typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reid_cli.data import app

from reid_data.errors import ReidError
from reid_data.images import read_image
from tests.data.people import tree, write_people_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_people_set(tmp_path / "market")
    write_people_set(tmp_path / "campus", 3, (4, 5), seed=100, extras=False)
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    """A command on the data root, with its exit code; errors for users are raised."""
    return CliRunner().invoke(app, [*arguments, "--data-root", str(root)], standalone_mode=False)


def composite(root: Path, *more: str) -> Result:
    sets = ("--fg", "market", "--bg", "campus", "--segmenter", "precomputed", "--workers", "1")
    return run(root, "composite", *sets, *more)


def test_it_makes_a_set_and_prints_the_counts(root: Path) -> None:
    result = composite(root)
    assert result.exception is None
    assert result.return_value == 0
    assert [line.split() for line in result.stdout.splitlines()[:4]] == [
        ["split", "ok", "flagged", "dropped", "failed"],
        ["train", "4", "0", "0", "0"],
        ["query", "2", "0", "0", "0"],
        ["gallery", "4", "0", "0", "0"],
    ]
    assert "Wrote" in result.stderr
    assert (root / "composite" / "dataset.json").exists()
    again = composite(root)
    assert again.return_value == 0
    assert "finished already" in again.stderr
    assert again.stdout == result.stdout


def test_json(root: Path) -> None:
    result = composite(root, "--json", "--out", "other")
    document = json.loads(result.stdout)
    assert document["path"] == str(root / "other")
    assert document["counts"]["train"] == {"ok": 4}
    assert document["failed"] == 0


def test_failed_images_give_exit_code_1(root: Path) -> None:
    next((root / "market" / "query").iterdir()).write_bytes(b"")
    result = composite(root)
    assert result.return_value == 1
    assert "1 images could not be used" in result.stderr


def test_dry_run_changes_nothing(root: Path) -> None:
    before = tree(root)
    result = composite(root, "--dry-run")
    assert result.return_value == 0
    assert "to be made" in result.stdout
    assert "train 4, query 2, gallery 4" in result.stdout
    assert tree(root) == before
    assert json.loads(composite(root, "--dry-run", "--json").stdout)["state"] == "to be made"


def test_a_path_as_output(root: Path) -> None:
    assert composite(root, "--out", str(root / "deep" / "er")).return_value == 0
    assert (root / "deep" / "er" / "manifest.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--segmenter", "grabcat"), "Did you mean 'grabcut'", 2),
        (("--pairing", "randon"), "Did you mean 'random'", 2),
        (("--blend", "fether"), "Did you mean 'feather'", 2),
        (("--fill", "row"), "Did you mean 'rows'", 2),
        (("--bg", "campsu"), "Did you mean 'campus'", 2),
        (("--bg", "duke"), "is not below the data root", 3),
        (("--out", "market"), "overlap", 4),
    ],
)
def test_what_cannot_be_meant(root: Path, arguments: tuple[str, ...], words: str, code: int) -> None:
    result = composite(root, *arguments)
    assert isinstance(result.exception, ReidError)
    assert words in str(result.exception)
    assert result.exception.exit_code == code


def test_a_withdrawn_set_is_announced_once_and_recorded(root: Path) -> None:
    (root / "campus").rename(root / "DukeMTMC-reID")
    result = composite(root, "--bg", "duke")
    assert result.return_value == 0
    assert result.stderr.count("withdrawn by its authors") == 1
    assert json.loads((root / "composite" / "dataset.json").read_text())["status"] == "withdrawn"


def test_preview_shows_source_mask_plate_and_composite(root: Path) -> None:
    composite(root)
    result = run(root, "preview", "composite", "--num", "3")
    path = Path(result.stdout.strip())
    assert path == root / "composite-preview.jpg"
    sheet = read_image(str(path))
    assert sheet.shape[1] > 3 * 4 * 90
    assert sheet.std() > 20
    before = tree(root / "composite")
    run(root, "preview", "composite", "--num", "1", "--out", str(root / "one.png"))
    assert read_image(str(root / "one.png")).shape[0] == sheet.shape[0]
    assert tree(root / "composite") == before


def test_preview_without_the_segmenter_shows_what_is_kept(root: Path) -> None:
    composite(root)
    path = root / "composite" / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"segmenter": "precomputed"', b'"segmenter": "gone-since"', 1))
    result = run(root, "preview", "composite", "--num", "2")
    assert result.exception is None
    assert read_image(result.stdout.strip()).std() > 20


def test_preview_of_something_else(root: Path) -> None:
    result = run(root, "preview", "market")
    assert isinstance(result.exception, ReidError)
    assert "no set made by" in str(result.exception)


@pytest.mark.parametrize("command", ["backgrounds", "composite", "preview", "quality", "verify", "forget"])
def test_help_has_an_example_and_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom reid_cli.data import app\n"
        f"try: app(['{command}', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'cv2', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"Example:\n    reid-data {command}" in done.stdout


def test_backgrounds_writes_a_set_that_composite_takes(root: Path) -> None:
    result = run(root, "backgrounds", "campus", "--segmenter", "precomputed", "--num", "8", "--workers", "1")
    assert result.return_value == 0, result.exception
    assert "camera 4" in result.stdout
    assert (root / "campus-backgrounds" / "dataset.json").exists()
    assert composite(root, "--bg", "campus-backgrounds", "--out", "on-plates").return_value == 0
    sheet = run(root, "preview", "on-plates", "--num", "3")
    assert read_image(sheet.stdout.strip()).std() > 20
    document = json.loads(
        run(root, "backgrounds", "campus", "--segmenter", "precomputed", "--num", "8", "--json").stdout
    )
    assert document["was_finished"]
    dry = run(root, "backgrounds", str(root / "campus" / "query"), "--dry-run", "--out", "none")
    assert "(scenes)" in dry.stdout
    assert not (root / "none").exists()


def test_verify_and_forget(root: Path) -> None:
    composite(root)
    assert run(root, "verify", "composite").return_value == 0
    dry = run(root, "forget", "composite", "--pid", "2", "--dry-run")
    assert dry.stdout.startswith("would be removed: 2 images of the person")
    assert json.loads(run(root, "forget", "composite", "--pid", "2", "--json").stdout)["images"] == 2
    assert run(root, "forget", "composite", "--pid", "2").stdout.startswith("nothing in")
    assert run(root, "verify", "composite").return_value == 0
    next((root / "composite" / "query").iterdir()).write_bytes(b"")
    result = run(root, "verify", "composite")
    assert result.return_value == 1
    assert "1 changed:" in result.stdout
    assert json.loads(run(root, "verify", "composite", "--json").stdout)["good"] is False


def test_preview_of_what_would_be_made(root: Path) -> None:
    before = tree(root)
    result = composite(root, "--preview", "6", "--out", "planned")
    assert result.return_value == 0, result.exception
    assert "the whole: 10 images (about 0 dropped, 0 unreadable)" in result.stdout
    after = tree(root)
    assert set(after) - set(before) == {"planned-preview.jpg"}
    assert read_image(str(root / "planned-preview.jpg")).std() > 20
    document = json.loads(composite(root, "--preview", "2", "--json").stdout)
    assert (document["images"], document["workers"]) == (10, 1)


def test_unreadable_pictures_are_named_and_give_exit_code_1(root: Path) -> None:
    first, *_ = sorted((root / "campus" / "bounding_box_train").iterdir())
    first.write_bytes(b"")
    for kind in ((), ("--from", "crops")):
        result = run(
            root, "backgrounds", "campus", *kind, "--segmenter", "precomputed", "--num", "80", "--workers", "1"
        )
        assert result.return_value == 1
        assert "refused 1: is empty (N bytes)" in result.stdout
        assert "1 images could not be used; the reasons are in" in result.stderr
        assert f"the first: bounding_box_train/{first.name} is empty (0 bytes)" in result.stderr
    document = run(root, "backgrounds", "campus", "--segmenter", "precomputed", "--num", "80", "--json").stdout
    assert (json.loads(document)["failed"], json.loads(document)["was_finished"]) == (1, True)
    first, *_ = sorted((root / "market" / "query").iterdir())
    first.write_bytes(b"")
    result = composite(root, "--preview", "10", "--out", "planned")
    assert result.return_value == 1
    assert "about 0 dropped, 1 unreadable" in result.stdout


def test_quality_and_its_sheet(root: Path) -> None:
    composite(root)
    result = run(root, "quality", "composite")
    assert result.exception is None
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "judge", "mask_quality", "looseness", "mask_area", "uncovered", "seam_ratio",
    ]  # fmt: skip
    document = json.loads(run(root, "quality", "composite", "--json").stdout)
    assert document["judges"]["mask_quality"]["within"] == 1
    sheet = run(root, "preview", "composite", "--sort", "quality", "--num", "6")
    assert sheet.stdout.strip() == str(root / "composite-preview-quality.jpg")
    assert read_image(sheet.stdout.strip()).std() > 20
    assert isinstance(run(root, "quality", "market").exception, ReidError)
