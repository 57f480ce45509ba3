"""What the report says in words: differences, corrections, reliance on backgrounds."""

import json
import math

import pytest

from reid_train.evaluation.bootstrap import Difference
from reid_train.evaluation.compare import compare, read_outcome
from reid_train.report.differences import Finding, find_differences, holm
from reid_train.report.evidence import read_evidence
from reid_train.report.findings import in_short
from reid_train.report.reliance import find_reliance, split_diagnostic
from reid_train.report.scores import matrix_scores
from tests.train.report.case import Case, write_case


def test_differences_are_those_of_compare(plain):
    evidence = read_evidence(plain)
    findings = find_differences(evidence, matrix_scores(evidence.document))
    cells = plain.parent / "cells"
    sides = [[read_outcome(cells / f"run{row}-seed{seed}", cells) for seed in (0, 1)] for row in (0, 1)]
    expected = {one.test: one for one in compare(*sides).tests}
    assert [one.test for one in findings] == list(evidence.columns)
    for one in findings:
        assert (one.first, one.second) == ("market", "composite")
        theirs = expected[one.test].differences["mAP"]
        assert list(vars(one.difference).values()) == pytest.approx(list(vars(theirs).values()))
        assert one.verdict == {"A": "first", "B": "second"}.get(expected[one.test].verdict, expected[one.test].verdict)
    assert findings[0].verdict == "first"
    assert findings[0].words.startswith("market is better than composite by ")


def test_many_rows_are_compared_with_the_first_and_composites_with_their_people(tmp_path):
    trains = ("a", "b", "c", "market", "d", "composite")
    evidence = read_evidence(write_case(Case(trains, ("x",), people=3, queries=6), tmp_path))
    parent = next(row for row in evidence.document["trainings"] if row["train"] == "composite")["sets"][0]["parents"][0]
    parent["name"] = "market"
    found = find_differences(evidence, matrix_scores(evidence.document), resamples=10)
    pairs = [(one.first, one.second) for one in found]
    assert pairs == [("a", "b"), ("a", "c"), ("a", "market"), ("a", "d"), ("a", "composite"), ("market", "composite")]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.9]) == pytest.approx([1.0, math.nan, 1.0], nan_ok=True)
    assert holm([]) == []


def finding(value: float, low: float, high: float, p: float, corrected: float) -> Finding:
    """`a` minus `b` on `x`."""
    return Finding("x", "a", "b", (0.5, 0.4), (1, 1), Difference(value, low, high, p, 0.9), corrected)


BETTER, OPEN = (
    "is better than {} by 10.0 points of mAP (95 % interval +5.0 to +15.0, p {})",
    "No difference can be claimed",
)
LIMITS = "1.0 points of mAP (95 % interval −2.0 to +4.0, p = 0.400)"


UNFIRM = ". Not firm: it does not hold after correction for the number of comparisons."


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (finding(0.1, 0.05, 0.15, 0.0001, 0.01), f"a {BETTER.format('b', '< 0.001')}."),
        (finding(-0.1, -0.15, -0.05, 0.01, 0.02), f"b {BETTER.format('a', '= 0.010')}."),
        (finding(0.1, 0.05, 0.15, 0.04, 0.3), f"a {BETTER.format('b', '= 0.040')}{UNFIRM}"),
        (finding(0.01, -0.02, 0.04, 0.4, 1.0), f"{OPEN} between a and b: {LIMITS}."),
        (finding(-0.01, -0.04, 0.02, 0.4, 1.0), f"{OPEN} between b and a: {LIMITS}."),
        (
            finding(0.01, math.nan, math.nan, math.nan, math.nan),
            "a scores 1.0 points of mAP more than b, but one person alone gives no error bar.",
        ),
        (finding(0.0, 0.0, 0.0, 1.0, 1.0), "a and b are the same: no query differs."),
    ],
)
def test_words_of_a_difference(one, words):
    assert one.words == words


def test_in_short_says_what_compositing_did(tmp_path):
    tests = ("duke", "market@swap:duke", "market", "composite")
    gain = {("composite", "market"): -0.2, ("composite", "market@swap:duke"): 0.2}
    evidence = read_evidence(write_case(Case(tests=tests, gain=gain), tmp_path))
    scores = matrix_scores(evidence.document)
    findings = find_differences(evidence, scores, resamples=1000)
    said = in_short(evidence, scores, findings, find_reliance(evidence.document))
    texts = said["What compositing does"]
    assert [text.text.split(" (")[0] for text in texts] == [
        "Training on composite in place of market hurts in-domain, on market",
        "Training on composite in place of market helps under swapped backgrounds, on market@swap:duke",
        "Training on composite in place of market makes no difference that can be claimed in transfer, on duke",
        "Training on composite in place of market makes no difference that can be claimed on composite itself",
    ]
    assert [text.firm for text in texts] == [True, True, False, False]
    assert texts[0].text.endswith("But these are single trainings, another seed may say otherwise.")
    assert "But" not in texts[2].text
    assert "(−20." in texts[0].text or "(−19." in texts[0].text
    best = {text.text.split(",")[0]: text for text in said["Which training is best"]}
    assert best["On market"].text.startswith("On market, market comes first with ")
    assert best["On market"].firm
    assert not best["On duke"].firm


def test_reliance_in_words(plain):
    found = find_reliance(json.loads((plain / "results.json").read_text()))
    assert [(one.row, one.test, len(one.entries)) for one in found] == [
        ("market", "market", 2),
        ("composite", "market", 2),
    ]
    assert found[0].words == (
        "Trained on market, tested on market (50.0 % mAP as it is): from the background alone it scores 25.0 % (95 % interval "
        "20.0 to 30.0), chance is 5.0 %; on backgrounds of duke it loses 25.0 points (95 % interval 20.0 to 30.0), 50 % of its score."
    )


@pytest.mark.parametrize(
    ("view", "drop", "words"),
    [
        ("foreground", (-0.1, -0.15, -0.05), "before one flat colour it gains 10.0 points (95 % interval 5.0 to 15.0), 20 %"),
        ("swap:duke", (0.1, -0.02, 0.22), "duke no change can be claimed, −10.0 points (95 % interval −22.0 to 2.0)"),
        ("swap:duke", (0.1, None, None), "on backgrounds of duke no change can be claimed, −10.0 points."),
        ("swap:duke", None, "on backgrounds of duke it scores 40.0 % (95 % interval 2.0 to 50.0)."),
        ("background", None, "it scores 40.0 % (95 % interval 2.0 to 50.0), not clearly more than chance (5.0 %)."),
    ],
)  # fmt: skip
def test_reliance_claims_no_more_than_its_intervals(view, drop, words):
    entry = {"train": "a", "axes": {}, "base": "x", "view": view, "chance_mAP": 0.05, "original": {"mean": 0.5}}
    entry["mAP"] = {"mean": 0.4, "low": 0.02, "high": 0.5}
    entry["drop"] = drop and dict(zip(("value", "low", "high"), drop))
    assert words in find_reliance({"reliance": [entry]})[0].words


def test_diagnostics_by_name():
    assert split_diagnostic("market@swap:duke") == ("market", "swap:duke")
    assert split_diagnostic("./my@home/set@background") == ("./my@home/set", "background")
    for name in ("market", "./my@home/set", "@background"):
        assert split_diagnostic(name) is None
