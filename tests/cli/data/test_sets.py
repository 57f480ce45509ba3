"""`reid-data` list, stats, check, import, env and doctor as a user types them: streams, JSON, exit codes, messages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reid_data.images import write_image
from tests.conftest import random_image
from tests.data.datasets.drawn import draw


def reid_data(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `reid-data` in a process of its own."""
    script = f"import sys; sys.argv = {['reid-data', *map(str, arguments)]!r}; from reid_cli.data import main; main()"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_list_as_table_and_json(market_folder):
    root = market_folder("market")
    done = reid_data("list", "--data-root", root.parent)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split()[:3] == ["market", "photographs", "3/6"]
    assert "Known but not there: duke" in done.stderr
    found = json.loads(reid_data("list", "--data-root", root.parent, "--json").stdout)["found"]
    assert found[0]["splits"]["gallery"] == {"images": 5, "ids": 3, "cameras": 2, "junk": 1, "distractors": 1}


def test_list_of_nothing_says_what_to_do(tmp_path):
    done = reid_data("list", "--data-root", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "reid-data synth" in done.stderr


def test_stats_of_every_set_found(market_folder):
    market_folder("duke")
    root = market_folder("market")
    done = reid_data("stats", "--data-root", root.parent, "--workers", "1")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["duke", "duke", "market", "market"]
    assert done.stderr.count("withdrawn") == 1
    result = json.loads(
        reid_data("stats", "market", "--data-root", root.parent, "--size", "16x8", "--json", "--workers", "1").stdout
    )
    assert result["market"]["size"] == [16, 8]
    assert Path(result["market"]["file"]).is_file()


def test_stats_of_the_first_images(market_folder):
    root = market_folder()
    done = reid_data("stats", "market", "--data-root", root.parent, "--limit", "2", "--json", "--workers", "1")
    assert json.loads(done.stdout)["market"]["num_images"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stats", "markt"], 2, "Did you mean 'market'"),
        (["stats", "market", "--split", "tran"], 2, "Did you mean 'train'"),
        (["stats", "market", "--size", "256"], 2, "not HEIGHTxWIDTH"),
        (["stats", "duke"], 3, "Looked for duke/, DukeMTMC-reID/"),
        (["stat"], 2, "Did you mean"),
        (["stats", "--worker", "2"], 2, "Did you mean"),
    ],
)
def test_errors_are_one_message_and_a_code(market_folder, arguments, code, message):
    done = reid_data(*arguments, "--data-root", market_folder().parent)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_json_carries_the_reason_of_an_error(tmp_path):
    done = reid_data("stats", "market", "--data-root", tmp_path, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["exit_code"] == 3


def test_check_exit_codes(market_folder):
    root = market_folder("mine", num_ids=4, size=(64, 32))
    done = reid_data("check", "mine", "--data-root", root.parent, "--workers", "1")
    assert (done.returncode, "FAULT" in done.stdout) == (0, False)
    (root / "query" / "0100_c1s1_000001_00.jpg").write_bytes(b"")
    done = reid_data("check", "mine", "--data-root", root.parent, "--workers", "1")
    assert done.returncode == 1
    assert "0100_c1s1_000001_00.jpg is empty (0 bytes)" in done.stdout


def test_import_then_check(tmp_path):
    for number, name in enumerate(("a_1", "a_2", "b_1", "b_2")):
        (tmp_path / "crops").mkdir(exist_ok=True)
        write_image(tmp_path / "crops" / f"{name}.jpg", random_image(number, (64, 32)))
        write_image(tmp_path / "crops" / f"{name}_again.jpg", random_image(number + 50, (64, 32)))
    pattern = r"(?P<pid>\w)_(?P<camid>\d)"
    done = reid_data(
        "import", tmp_path / "crops", "--out", "mine", "--pattern", pattern, "--data-root", tmp_path / "data"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "data" / "mine")
    assert reid_data("check", "mine", "--data-root", tmp_path / "data", "--workers", "1").returncode == 0
    again = reid_data(
        "import", tmp_path / "crops", "--out", "mine", "--pattern", pattern, "--data-root", tmp_path / "data"
    )
    assert again.returncode == 4
    assert "exists already" in again.stderr


def test_import_of_a_folder_without_a_layout_prints_the_pattern(tmp_path):
    draw(tmp_path / "crops", ["0001-c1.jpg", "0002-c2.jpg"])
    done = reid_data("import", tmp_path / "crops", "--out", "mine", "--data-root", tmp_path)
    assert done.returncode == 3
    assert r"--pattern '(?P<pid>\d+)-c(?P<camid>\d+)'" in done.stderr


def test_import_of_one_picture_a_camera_offers_the_split_that_works(tmp_path):
    draw(tmp_path / "crops", [f"{pid:04d}_c{camera}.jpg" for pid in (1, 2, 3, 4) for camera in (1, 2)])
    arguments = ["import", tmp_path / "crops", "--data-root", tmp_path, "--pattern", r"(?P<pid>\d+)_c(?P<camid>\d)"]
    done = reid_data(*arguments, "--out", "first")
    assert "Note: The set has no gallery from another camera" in done.stderr
    assert "2 of its test people are on pictures of several cameras: import again with --split cameras" in done.stderr
    done = reid_data(*arguments, "--out", "second", "--split", "cameras")
    assert "Note" not in done.stderr
    assert "query: 2 images of 2 people" in done.stderr
    assert "gallery: 2 images of 2 people" in done.stderr


def test_env_and_doctor(tmp_path):
    facts = json.loads(reid_data("env", "--data-root", tmp_path, "--json").stdout)
    assert {"python", "packages", "device", "libjpeg", "cache", "data root", "data sets", "weights"} <= set(facts)
    done = reid_data("doctor", "--data-root", tmp_path, "--json")
    assert (done.returncode, [row["what"] for row in json.loads(done.stdout) if not row["ok"]]) == (0, [])


def test_list_shows_guessed_sets_and_folders_that_are_none(tmp_path):
    draw(tmp_path / "outer", [f"inner/{part}/0001_c1_1.jpg" for part in ("bounding_box_train", "query")])
    draw(tmp_path / "flat", ["0001_c1_1.jpg", "0002_c2_1.jpg"])
    (tmp_path / "nothing").mkdir()
    done = reid_data("list", "--data-root", tmp_path)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["outer", "flat"]
    assert json.loads(reid_data("list", "--data-root", tmp_path, "--json").stdout)["no_sets"] == ["flat"]
    told = reid_data("check", "outer", "--data-root", tmp_path, "--workers", "1").stderr
    assert "the set is taken from 'inner/' in it" in told


def test_a_folder_of_photographs_is_measured_and_checked(tmp_path):
    draw(tmp_path / "photos", ["0001-c1.jpg", "0002-c2.jpg"])
    done = reid_data("stats", tmp_path / "photos", "--json", "--workers", "1")
    assert json.loads(done.stdout)[str(tmp_path / "photos")]["num_images"] == 2
    done = reid_data("check", tmp_path / "photos", "--workers", "1")
    assert (done.returncode, "reid-data import" in done.stdout) == (0, True)
