"""`dataset.json` of any content: read, or named in an error; it never ends what concerns other sets."""

import json

import pytest
from click.testing import CliRunner
from reid_cli.data import app

from reid_data.datasets import load_dataset
from reid_data.errors import InputError


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"name": None}, "name is null"),
        ({"name": "../x"}, "outside"),
        ({"name": "a/b"}, "without slashes"),
        ({"kind": []}, r"kind is \[\], expected text"),
        ({"status": "fine"}, "expected one of ok, restricted, withdrawn"),
        ({"counts": 7}, "counts is 7, expected a table"),
        ({"counts": {"train": {"images": "12"}}}, "counts.train.images is"),
        ({"parents": [{"kind": "synthetic"}]}, r"parents\[0\] name is missing"),
        ({"parents": "market"}, "expected a list"),
        ({"settings": 1}, "settings is 1"),
    ],
)
def test_a_card_of_a_wrong_shape_is_named(market_folder, card, says):
    root = market_folder()
    whole = {"schema": "reid-dataset/1", "name": "market"}
    (root / "dataset.json").write_text(json.dumps(whole))
    assert load_dataset(str(root), root).name == "market"
    (root / "dataset.json").write_text(json.dumps(whole | card))
    with pytest.raises(InputError, match=f"dataset.json' is damaged: .*{says}"):
        load_dataset(str(root), root)


@pytest.mark.parametrize(
    "text", ["[]", "null", "7", "{}", "[" * 60_000, '{"a":' * 500 + "1" + "}" * 500, '"\\ud800"', ""]
)
def test_one_bad_card_does_not_stop_the_list(market_folder, tmp_path, text):
    market_folder("market")
    (market_folder("other") / "dataset.json").write_text(text)
    done = CliRunner().invoke(app, ["list", "--data-root", str(tmp_path), "--json"])
    assert done.exit_code == 0
    found = {row["name"]: row for row in json.loads(done.stdout)["found"]}
    assert found["market"]["splits"]["train"]["images"] == 6
    assert "dataset.json" in found["other"]["error"]
