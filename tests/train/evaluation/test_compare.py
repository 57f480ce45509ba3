"""Comparing two results: words, settings, alignment, the command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.train.compare import compare as compare_command

from reid_data.errors import InputError
from reid_train.evaluation.compare import compare, read_outcome
from reid_train.features.files import write_npz


def write_run(folder, ap, *, pid=None, test="market", settings=None, names=None, matches=None):
    ap = np.asarray(ap, float)
    place = folder / "tests" / test
    place.mkdir(parents=True, exist_ok=True)
    arrays = {
        "path": np.array(names if names is not None else [f"query/{n:04d}.jpg" for n in range(len(ap))]),
        "pid": np.arange(len(ap)) // 3 if pid is None else pid,
        "camid": np.zeros(len(ap), int),
        "ap": ap,
        "inp": ap / 2,
        "first_match": np.where(ap > 0.5, 1, 8),
        "num_matches": np.full(len(ap), 2) if matches is None else matches,
    }
    write_npz(place / "per_query.npz", arrays)
    if settings is not None:
        (folder / "result.json").write_text(json.dumps({"settings": settings}))
    return folder


def ap_of(seed, shift=0.0, number=300):
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).uniform(0.3, 0.7, number)
    return np.clip(base + shift + 0.03 * rng.standard_normal(number), 0, 1)


@pytest.fixture
def runs(tmp_path):
    common = {"lr": 0.1, "seed": 0, "model": {"backbone": "resnet50"}}
    write_run(tmp_path / "base", ap_of(1), settings=common)
    write_run(tmp_path / "better", ap_of(2, 0.05), settings={**common, "lr": 0.2})
    mixed = ap_of(1) + 0.02 * (-1.0) ** (np.arange(300) // 3)  # half of the people better, half worse
    write_run(tmp_path / "same", mixed, settings={**common, "lr": 0.2, "model": {"backbone": "resnet18"}})
    write_run(tmp_path / "base-1", ap_of(4), settings={**common, "seed": 1})
    write_run(tmp_path / "better-1", ap_of(5, 0.05), settings={**common, "lr": 0.2, "seed": 1})
    return tmp_path


def outcomes(runs, *names):
    return [read_outcome(name, runs) for name in names]


def test_a_clear_difference_is_said(runs):
    found = compare(outcomes(runs, "better"), outcomes(runs, "base"), resamples=1000)
    (test,) = found.tests
    assert test.verdict == "A"
    assert (test.queries, test.identities) == (300, 100)
    assert "On market (300 queries of 100 people), A is better: mAP" in test.words
    assert "+5." in test.words or "+4.9" in test.words
    assert "p = < 0.001" not in test.words
    assert "p < 0.001" in test.words
    assert found.settings == {"lr": (0.2, 0.1)}
    assert [w.split(":")[0] for w in found.warnings] == ["one seed on each side"]
    assert compare(outcomes(runs, "base"), outcomes(runs, "better"), resamples=1000).tests[0].verdict == "B"


def test_no_difference_and_several_settings(runs):
    found = compare(outcomes(runs, "same"), outcomes(runs, "base"), resamples=1000)
    assert found.tests[0].verdict == "undecided"
    assert "no difference can be claimed" in found.tests[0].words
    assert found.settings == {"lr": (0.2, 0.1), "model.backbone": ("resnet18", "resnet50")}
    assert found.warnings[0].startswith("2 settings differ (lr, model.backbone)")


def test_the_same_run_is_the_same(runs):
    found = compare(outcomes(runs, "base"), outcomes(runs, "base"), resamples=1000)
    assert "A and B are the same" in found.tests[0].words
    assert found.settings == {}
    assert found.warnings == ()


def test_only_the_seed_differs(runs):
    found = compare(outcomes(runs, "base"), outcomes(runs, "base-1"), resamples=1000)
    assert found.warnings == ("only the seed differs: this is what chance alone does.",)


def test_seeds_on_both_sides(runs):
    found = compare(outcomes(runs, "better", "better-1"), outcomes(runs, "base", "base-1"), resamples=1000)
    assert found.settings == {"lr": (0.2, 0.1)}
    assert found.warnings == ()
    assert "2 against 2 seeds" in found.tests[0].words
    assert found.tests[0].first["mAP"].num_seeds == 2


def test_queries_are_matched_by_path(runs):
    order = np.random.default_rng(0).permutation(300)
    names = np.array([f"query/{n:04d}.jpg" for n in range(300)])
    write_run(runs / "shuffled", ap_of(1)[order], pid=(np.arange(300) // 3)[order], names=names[order])
    found = compare(outcomes(runs, "shuffled"), outcomes(runs, "base"), resamples=1000)
    assert "A and B are the same" in found.tests[0].words
    assert "no result.json beside shuffled" in found.warnings[0]


def test_other_queries_or_another_gallery_are_refused(runs):
    write_run(runs / "fewer", ap_of(1)[:200])
    write_run(runs / "others", ap_of(1), pid=np.arange(300))
    write_run(runs / "gallery", ap_of(1), matches=np.full(300, 3))
    write_run(runs / "duke", ap_of(1), test="duke")
    write_run(runs / "msmt", ap_of(1), test="msmt17")
    write_run(runs / "msmt", ap_of(1), test="pku")
    for name, words in (
        ("fewer", r"100 only on one side, 0 only on the other, for instance 'query/0200.jpg'"),
        ("others", "or other identities"),
        ("gallery", "another gallery or protocol"),
        ("msmt", "base: market; msmt: msmt17, pku"),
    ):
        with pytest.raises(InputError, match=words):
            compare(outcomes(runs, "base"), outcomes(runs, name), resamples=100)
    with pytest.raises(InputError, match="no common result on duke"):
        compare(outcomes(runs, "base"), outcomes(runs, "better"), tests=["duke"])
    with pytest.raises(InputError, match="has no evaluated test set"):
        read_outcome("nothing", runs)


def test_single_files_and_result_folders(runs):
    file = runs / "better" / "tests" / "market" / "per_query.npz"
    assert read_outcome(file, runs).settings == {"lr": 0.2, "seed": 0, "model.backbone": "resnet50"}
    found = compare([read_outcome(file, runs)], outcomes(runs, "base"), resamples=500)
    assert found.tests[0].test == "market"
    (runs / "loose.npz").write_bytes(file.read_bytes())
    (runs / "folder").mkdir()
    (runs / "folder" / "per_query.npz").write_bytes(file.read_bytes())
    found = compare([read_outcome(runs / "loose.npz", runs)], [read_outcome(runs / "folder", runs)], resamples=500)
    assert "are the same" in found.tests[0].words


def test_few_people(runs):
    write_run(runs / "one-a", [0.5, 0.6], pid=np.array([1, 1]))
    write_run(runs / "one-b", [0.6, 0.7], pid=np.array([1, 1]))
    found = compare(outcomes(runs, "one-a"), outcomes(runs, "one-b"), resamples=100)
    assert found.tests[0].verdict == "unknown"
    assert "One person alone gives no error bar" in found.tests[0].words
    assert any("fewer than 20 people" in warning for warning in found.warnings)
    json.dumps(found.as_dict(), allow_nan=False)


def test_command(runs):
    arguments = ["better", "base", "--runs", str(runs), "--resamples", "500"]
    shown = CliRunner().invoke(compare_command, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "A is better" in shown.output
    assert "lr: 0.2, 0.1" in shown.output
    document = json.loads(CliRunner().invoke(compare_command, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert document["tests"]["market"]["verdict"] == "A"
    assert document["settings"] == {"lr": [0.2, 0.1]}
    assert document["tests"]["market"]["differences"]["mAP"]["low"] > 0
    again = CliRunner().invoke(compare_command, [*arguments, "--json"], catch_exceptions=False).stdout
    assert json.loads(again) == document


def test_training_sets_their_content_and_test_settings_are_settings_too(runs):
    def document(train, digest, metric, test_digest="t"):
        return {
            "settings": {"lr": 0.1, "metric": "cosine", "weights": "imagenet"},
            "train_sets": train,
            "digests": dict.fromkeys(train, digest),
            "weights_sha256": "w",
            "tests": {
                "market": {"settings": {"metric": metric}, "digest": test_digest},
                "duke": {"settings": {"metric": "euclidean"}, "digest": "u"},
            },
        }

    for name, content in (
        ("m", document(["market"], "d", "cosine")),
        ("c", document(["composite"], "e", "cosine")),
        ("changed", document(["market"], "f", "euclidean", "v")),
    ):
        write_run(runs / name, ap_of(1))
        (runs / name / "result.json").write_text(json.dumps(content))
    found = compare(outcomes(runs, "m"), outcomes(runs, "c"), resamples=100)
    assert found.settings == {"train_sets": (["market"], ["composite"])}
    found = compare(outcomes(runs, "m"), outcomes(runs, "changed"), resamples=100)
    assert found.settings == {
        "content of market": ("d", "f"),
        "content of market (test)": ("t", "v"),
        "metric": ("cosine", "euclidean"),
    }
    (runs / "m" / "result.json").write_text("[1]")
    with pytest.raises(InputError, match="is not readable as a result"):
        read_outcome("m", runs)
