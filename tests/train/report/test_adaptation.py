"""The section of adaptations: what is compared with what, its words, its diagrams, and when published results stand beside it."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reid_data.errors import InputError
from reid_data.files import sha256_bytes, write_json
from reid_train.report.adaptation import adaptation_sheet, find_adaptations, published, reported_for
from reid_train.report.evidence import read_evidence
from reid_train.report.html import write_report
from reid_train.report.scores import matrix_scores
from reid_train.runs.result import read_result, write_result
from tests.train.report.case import Case, card, write_case

ARMS = ("run:joint", "run:alone", "run:replayed", "run:source")
SETTINGS = {"arm": "joint", "classifier": "separate", "target_weight": 1.0, "bn": "domain", "bn_group": 16}
ROUNDS = [
    {"round": 1, "clusters": 20, "outliers": 9, "eps": 0.5},
    {"round": 2, "clusters": 24, "outliers": 3, "eps": 0.45, "changed": 0.2},
]
REPLAYED = [{name: value for name, value in row.items() if name != "eps"} for row in ROUNDS]
FACTS = {
    "run:joint": {"settings": SETTINGS, "rounds": ROUNDS, "target_images": 800, "all_images": 1600},
    "run:alone": {
        "settings": {**SETTINGS, "arm": "independent", "bn": "shared"},
        **{"rounds": ROUNDS, "target_images": 800, "all_images": 800},
    },
    "run:replayed": {
        "settings": {**SETTINGS, "arm": "independent"},
        **{"rounds": REPLAYED, "target_images": 800, "all_images": 800},
    },
    "run:source": {
        "settings": {**SETTINGS, "target_weight": 0.0},
        **{"rounds": [], "target_images": 0, "all_images": 800},
    },
}
GAIN = {("run:joint", "market"): 0.3, ("run:alone", "market"): 0.1}


def adapted_case(root: Path, *, kind: str = "photographs") -> Path:
    """A matrix of a start and four adaptations of it; `other` was no start of theirs."""
    case = Case(("start", "other", *ARMS), ("market", "duke", "market@background"), gain=GAIN, kind=kind)
    folder = write_case(case, root / "runs")
    for number, row in enumerate(case.trains):
        run = root / "runs" / "cells" / f"run{number}-seed0"
        (run / "model.safetensors").write_bytes(f"weights of {row}".encode())
        if row in ARMS:
            result = replace(read_result(run), kind="adapt", adaptation=FACTS[row])
            write_result(run, replace(result, weights_sha256=sha256_bytes(b"weights of start")))
    return folder


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Path:
    """The folder of the matrix of `adapted_case`."""
    return adapted_case(tmp_path_factory.mktemp("adapted"))


def test_each_arm_is_compared_with_its_start_and_with_the_joint_one(adapted):
    evidence = read_evidence(adapted)
    found = find_adaptations(evidence, matrix_scores(evidence.document), resamples=200)
    assert list(found.arms) == ["market", "duke"]
    arms = {arm.row: arm for arm in found.arms["market"]}
    assert list(arms) == ["start", *ARMS]
    assert {row: arm.words for row, arm in arms.items()} == {
        "start": "direct transfer",
        "run:joint": "joint, separate, bn domain",
        "run:alone": "independent, bn shared",
        "run:replayed": "independent, labels of another run, bn domain",
        "run:source": "source continued, bn domain",
    }
    ap = {row: evidence.results(row, "market")[0].ap for row in arms}
    for row in ARMS:
        assert arms[row].to_direct.value == pytest.approx(np.mean(ap[row] - ap["start"]))
        assert arms[row].to_direct.low <= arms[row].to_direct.value <= arms[row].to_direct.high
    assert arms["start"].to_direct is None
    assert arms["start"].to_joint.value == pytest.approx(-arms["run:joint"].to_direct.value)
    assert arms["run:joint"].to_joint is None
    assert arms["run:joint"].facts == {
        **{"target_images": 800, "all_images": 1600, "clusters": 24, "outliers": 3, "seconds": 75}
    }
    assert arms["run:source"].facts["clusters"] is None
    assert arms["start"].facts["seconds"] is None
    curves = {chart.title: {line.name: [dot[2] for dot in line.dots] for line in chart.lines} for chart in found.charts}
    assert curves["Clusters"]["run:joint, seed 0"] == ["1: 20", "2: 24"]
    assert curves["Outliers"]["run:replayed, seed 0"] == ["1: 9", "2: 3"]
    assert "run:source, seed 0" not in curves["Clusters"]


def test_the_page_and_its_numbers_hold_the_section(adapted):
    page = write_report(adapted, resamples=50, thumbs=False).read_text()
    section = re.search(r'<section id="adaptation">.*?</section>', page, re.DOTALL).group()
    for words in ("direct transfer", "labels of another run", "Cluster Contrast", "82.6"):
        assert words in section
    rows = json.loads((adapted / "report.json").read_text())["adaptation"]
    assert [row["train"] for row in rows] == 2 * ["start", *ARMS]
    evidence = read_evidence(adapted)
    sheet = adaptation_sheet(find_adaptations(evidence, matrix_scores(evidence.document), resamples=50))
    assert rows[1]["mAP"] == sheet.as_records()[1]["mAP"] == pytest.approx(rows[0]["mAP"] + rows[1]["to_direct"])


def test_without_an_adaptation_the_page_says_how_to_get_one(plain):
    page = (plain / "report.html").read_text()
    assert "No adaptation among the rows" in page
    assert "Cluster Contrast" not in page


def test_published_results_stand_beside_whole_sets_of_photographs_only():
    assert {work["test"] for work in reported_for(card("market"))} == {"market"}
    assert reported_for(card("market", kind="synthetic")) == []
    assert reported_for(card("market", kind="composite")) == []
    assert reported_for(card("site-b")) == []


def test_an_adaptation_of_another_shape_is_a_problem_of_the_page_and_no_traceback(tmp_path):
    folder = adapted_case(tmp_path)
    run = tmp_path / "runs" / "cells" / "run2-seed0"
    document = json.loads((run / "result.json").read_text())
    del document["sha256"]
    for damage in ({}, {"rounds": 3}, {**FACTS["run:joint"], "rounds": [[]]}, {**FACTS["run:joint"], "settings": {}}):
        write_json(run / "result.json", {**document, "adaptation": damage})
        with pytest.raises(InputError, match="damaged"):
            read_result(run)
        assert any("damaged" in problem for problem in read_evidence(folder).problems)
        write_report(folder, resamples=10, thumbs=False)


def test_every_published_figure_is_in_the_docs():
    text = Path("docs/adaptation.md").read_text(encoding="utf-8")
    works = tomllib.loads(Path("assets/adaptation.toml").read_text(encoding="utf-8"))["work"]
    assert len(published()) == sum(len(work["results"]) for work in works)
    for result in published():
        rows = [line for line in text.splitlines() if line.startswith(f"| {result['name']} |")]
        assert any(f"{result['mAP']:.1f} / {result['rank-1']:.1f}" in row for row in rows)
