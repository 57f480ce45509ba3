"""The report of a matrix: its numbers against other ways to them, its words, its files, and names that are hostile."""

import base64
import csv
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.train.report import report as report_command

from reid_data.errors import InputError
from reid_train.evaluation.bootstrap import Difference
from reid_train.evaluation.compare import compare, read_outcome
from reid_train.report import bars, charts
from reid_train.report.composites import composites
from reid_train.report.curves import cmc
from reid_train.report.differences import Finding, find_differences, holm
from reid_train.report.evidence import read_evidence
from reid_train.report.findings import in_short
from reid_train.report.heat import heat_map
from reid_train.report.html import write_report
from reid_train.report.reliance import find_reliance, split_diagnostic
from reid_train.report.scores import matrix_scores
from reid_train.report.sheet import make_sheet
from tests.hostile_names import HOSTILE_NAMES
from tests.train.report_case import Case, write_case

SECTIONS = [
    "short",
    "matrix",
    "differences",
    "reliance",
    "cmc",
    "training",
    "composites",
    "lists",
    "sets",
    "cells",
    "method",
]
FAST = 200


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A matrix of two rows, four columns, two seeds, with sets and pictures."""
    root = tmp_path_factory.mktemp("report")
    folder = write_case(Case(seeds=(0, 1), gain={("composite", "market"): -0.2}), root / "runs", root / "data")
    write_report(folder, data_root=root / "data", resamples=FAST)
    return folder


class Reader(HTMLParser):
    """Tags, attributes and texts of a page as a browser would take them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note a tag with its attributes."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        """Note a text."""
        self.texts.append(data)


def test_every_section_is_there_in_order(plain):
    page = Reader((plain / "report.html").read_text())
    assert [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")] == SECTIONS
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href") and value.startswith("#")]
    assert links[: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]


def test_nothing_is_fetched_and_only_our_own_style_and_script_may_act(plain):
    text = (plain / "report.html").read_text()
    page = Reader(text)
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "http://" not in text
    assert "https://" not in text
    for _, name, value in page.attributes:
        assert name != "style"
        assert not name.startswith("on")
        assert name not in ("src", "href") or value.startswith(
            ("#", "data:image/jpeg;base64,", "data:text/csv", "data:application/json")
        )


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Reader:
    """The page of a matrix with harmless names."""
    root = tmp_path_factory.mktemp("usual")
    case = Case(("a+b", "composite"), ("a", "a@background"), people=3, queries=6)
    folder = write_case(case, root / "runs", root / "data")
    return Reader(write_report(folder, data_root=root / "data", resamples=10).read_text())


@pytest.mark.parametrize("text", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_hostile_names_stay_text(text, tmp_path, usual):
    case = Case((text, "composite"), (text, f"{text}@background"), text=text, people=3, queries=6)
    folder = write_case(case, tmp_path / "runs", tmp_path / "data")
    page_path = write_report(folder, data_root=tmp_path / "data", resamples=10)
    page = Reader(page_path.read_text())
    assert set(page.tags) <= set(usual.tags)
    assert {(tag, name) for tag, name, _ in page.attributes} <= {(tag, name) for tag, name, _ in usual.attributes}
    assert page.tags.count("script") == page.tags.count("style") == 1
    for _, name, value in page.attributes:
        assert name not in ("src", "href") or value.startswith(
            ("#", "data:image/jpeg;base64,", "data:text/csv;base64,", "data:application/json;base64,")
        )
    shown = "".join(page.texts)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200b]", shown)
    if text.isprintable():
        assert text in shown.replace("\n", "")
    for file in (folder / "numbers").glob("*.csv"):
        with open(file, newline="", encoding="utf-8", errors="surrogateescape") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "@", "\t", "\r")]


def test_there_are_sixty_different_hostile_names():
    assert len(set(HOSTILE_NAMES)) == 60


def test_without_thumbs_no_picture_is_in_the_page(plain, tmp_path):
    data = plain.parents[1] / "data"
    with_pictures = (plain / "report.html").read_text()
    assert with_pictures.count("data:image/jpeg") > 3
    assert "may hold photographs" in with_pictures
    page = write_report(plain, data_root=data, thumbs=False, out=tmp_path / "share.html", resamples=FAST).read_text()
    assert "data:image" not in page
    assert "<img" not in page
    assert [value for tag, name, value in Reader(page).attributes if (tag, name) == ("section", "id")] == SECTIONS


def test_what_is_missing_is_said_and_left_out(tmp_path):
    folder = write_case(Case(), tmp_path / "runs")
    cells = tmp_path / "runs" / "cells"
    (cells / "run0-seed0" / "log.jsonl").unlink()
    (cells / "run0-seed0" / "tests" / "market" / "per_query.npz").write_bytes(b"torn")
    (cells / "run1-seed0" / "costs.json").write_text("[")
    (cells / "run1-seed0" / "tests" / "duke" / "ranked_lists.json").write_text("{}")
    evidence = read_evidence(folder)
    assert len(evidence.problems) == 4
    assert ("market", 0, "market") not in evidence.tests
    page = write_report(folder, resamples=FAST).read_text()
    assert "4 files could not be read" in page
    assert "data:image" not in page


def test_failed_and_missing_tests_are_said_with_the_end_of_their_log(tmp_path):
    folder = write_case(Case(seeds=(0, 1)), tmp_path / "runs")
    document = json.loads((folder / "results.json").read_text())
    for cell in document["cells"]:
        if (cell["train"], cell["test"]) == ("composite", "duke"):
            cell |= {"status": "failed", "reason": "it broke", "log_tail": ["first <line>", "last line"], "metrics": {}}
        if (cell["train"], cell["test"], cell["seed"]) == ("market", "duke", 1):
            cell |= {"status": "missing", "reason": "not run yet", "metrics": {}}
    for entry in document["summary"]:
        if (entry["train"], entry["test"]) == ("composite", "duke"):
            entry |= {"status": "failed", "seeds": [], "metrics": {}}
        if (entry["train"], entry["test"]) == ("market", "duke"):
            entry |= {"status": "missing", "seeds": [0]}
    (folder / "results.json").write_text(json.dumps(document))
    page = Reader(write_report(folder, resamples=FAST).read_text())
    shown = " ".join(" ".join(page.texts).split())
    assert "3 of the matrix's tests have no result" in shown
    assert "it broke first <line> last line" in shown
    assert "1 of 2 seeds" in shown
    assert page.attributes.count(("td", "class", "none")) == 5, "one square of each metric"
    evidence = read_evidence(folder)
    findings = find_differences(evidence, matrix_scores(evidence.document), resamples=FAST)
    assert "duke" not in {one.test for one in findings}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Run reid-train matrix first"),
        ("[]", "is no matrix result"),
        ('{"schema": "reid-matrix/1"}', "earlier version"),
    ],
)
def test_a_folder_without_a_matrix(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        write_report(tmp_path)


def test_every_number_is_in_json_and_csv(plain):
    document = json.loads((plain / "results.json").read_text())
    numbers = json.loads((plain / "report.json").read_text())
    wanted = {
        (entry["train"], entry["test"], metric): values["mean"]
        for entry in document["summary"]
        for metric, values in entry["metrics"].items()
    }
    assert {(row["train"], row["test"], row["metric"]): row["mean"] for row in numbers["matrix"]} == wanted
    for name, rows in numbers.items():
        if name != "schema":
            with open(plain / "numbers" / f"{name}.csv", newline="") as lines:
                assert len(list(csv.DictReader(lines))) == len(rows)
    assert len(numbers["training"]) == 2 * 2 * 4
    assert {row["device"] for row in numbers["costs"]} == {"plain"}
    page = Reader((plain / "report.html").read_text())
    links = {value for tag, name, value in page.attributes if (tag, name) == ("a", "download")}
    assert links == {f"{name}.csv" for name in numbers if name != "schema"} | {"report.json"}


def test_sheets_disarm_formulas_and_have_no_nan():
    sheet = make_sheet("x", "X", [{"a": "=1+1", "b": math.nan}, {"a": "b", "b": 1.5}])
    assert sheet.as_csv() == "a,b\n'=1+1,\nb,1.5\n"
    assert sheet.as_records() == [{"a": "=1+1", "b": None}, {"a": "b", "b": 1.5}]


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


def test_cmc_like_a_loop(plain):
    evidence = read_evidence(plain)
    results = evidence.results("market", "duke")
    curve = cmc(results)
    assert [rank for rank, _ in curve] == list(range(1, 21))
    for rank, share in curve:
        found = [sum(first <= rank for first in rows.first_match.tolist()) / len(rows.first_match) for rows in results]
        assert share == pytest.approx(sum(found) / 2)


def test_heat_map_colours_run_from_zero_to_the_next_ten(plain):
    evidence = read_evidence(plain)
    scores = matrix_scores(evidence.document)
    shown = heat_map(evidence, scores, "mAP")
    values = [square.score.value for _, squares in shown.rows for square in squares]
    assert shown.top - 10 <= 100 * max(values) < shown.top
    for _, squares in shown.rows:
        for square in squares:
            assert square.colour <= square.score.value * 100 / shown.top * 10 < square.colour + 1
    assert shown.chance == (0.05,) * 4


def test_reported_figures_stand_in_their_squares(tmp_path):
    folder = write_case(Case(), tmp_path / "runs")
    document = json.loads((folder / "results.json").read_text())
    entry = {"train": "market", "test": "duke", "axes": {}, "source": "a study", "status": "ok", "ours": {}}
    document["study"] = [{**entry, "reported": {"mAP": 0.159, "rank-1": 0.291}}]
    (folder / "results.json").write_text(json.dumps(document))
    shown = "".join(Reader(write_report(folder, resamples=FAST).read_text()).texts)
    assert shown.count("reported 15.9") + shown.count("reported 29.1") == 2
    assert shown.count("in italics what a study reports") == 1


def test_composite_counts_and_quality(plain):
    shown, sheet = composites(read_evidence(plain), plain.parents[1] / "data", thumbs=True)
    assert [(one.name, one.foreground, one.background, one.limit, one.missing) for one in shown] == [
        ("composite", "market", "duke", 0.7, ())
    ]
    assert dict(shown[0].counts) == {"train": (1, 0, 1, 0), "query": (0, 1, 0, 0), "gallery": (1, 0, 0, 0)}
    assert shown[0].median == pytest.approx(0.66)
    assert [(row["split"], row["quality_from"], row["images"]) for row in sheet.as_records()] == [
        ("gallery", 0.7, 1),
        ("query", 0.6, 1),
        ("train", 0.3, 1),
        ("train", 0.9, 1),
    ]


def test_ticks_by_hand():
    assert charts.nice_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.nice_ticks(-12, 7) == pytest.approx([-10, -5, 0, 5])
    assert charts.nice_ticks(0.1, 100, log=True) == pytest.approx([0.1, 1, 10, 100])
    assert charts.nice_ticks(0.09, 0.6, log=True) == pytest.approx([0.1, 0.2, 0.5])
    assert charts.nice_ticks(0.5, 0.6, log=True) == pytest.approx([0.5, 0.52, 0.54, 0.56, 0.58, 0.6])


def test_a_line_lies_where_its_values_are():
    line = charts.Line("a", 9, [(1, 0.0), (2, math.nan), (3, 1.0)], [(1, 0.0, 0.5), (3, 0.5, 1.0)])
    chart = charts.line_chart("t", [line], labels=("x", "y"), limits=(0.0, 1.0))
    left, right, top, bottom = chart.left, chart.right, chart.top, chart.bottom
    middle = (top + bottom) / 2
    assert chart.lines[0].path == f"M{float(left)} {float(bottom)}L{float(right)} {float(top)}"
    assert chart.lines[0].band == (
        f"M{float(left)} {middle}L{float(right)} {float(top)}L{float(right)} {middle}L{float(left)} {float(bottom)}Z"
    )
    assert chart.lines[0].style == 9 % charts.NUM_STYLES
    assert [tick.text for tick in chart.x_ticks] == ["1", "2", "3"]
    assert charts.line_chart("t", [charts.Line("a", 0, [(1, math.nan)])], labels=("x", "y")) is None
    assert charts.line_chart("t", [charts.Line("a", 0, [(1, -1.0), (2, 0.0)])], labels=("x", "y"), log=True) is None


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-9, 1e9])
def test_one_point_or_equal_values_can_be_drawn(value):
    for points in ([(1, value)], [(1, value), (2, value)]):
        chart = charts.line_chart("t", [charts.Line("a", 0, points)], labels=("x", "y"))
        assert all(chart.top <= y <= chart.bottom for _, y, _ in chart.lines[0].dots)
        assert chart.y_ticks


def test_histogram_counts_every_value_once():
    shown = bars.histogram([("ok", [0.0, 0.04, 0.97, 1.0]), ("dropped", [0.01])], "quality", 0.7)
    filled = [column for column in shown.columns if column.parts]
    assert [column.says for column in filled] == ["0.00 to 0.05: ok 2, dropped 1", "0.95 to 1.00: ok 2"]
    heights = [[height for _, height, _ in column.parts] for column in filled]
    assert heights[0][0] == pytest.approx(2 * heights[0][1], abs=0.02)
    assert heights[1][0] == pytest.approx(heights[0][0])


def test_intervals_lie_on_their_axis():
    shown = bars.interval_chart([("a", 0, 2.0, 1.0, 3.0), ("b", 0, -1.0, None, None)], "points")
    first, second = shown.bars
    assert first.low < first.at < first.high
    assert first.at - first.low == pytest.approx(first.high - first.at, abs=0.02)
    assert second.at < shown.zero < first.low
    assert second.low is None
    assert bars.interval_chart([], "points") is None


def test_the_command_writes_a_page_or_prints_tables(plain, tmp_path):
    run = CliRunner().invoke
    done = run(report_command, [str(plain), "--out", str(tmp_path / "a.html"), "--data-root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "a.html")
    for kind, word in (("table", "trained on"), ("md", "| --- |"), ("latex", r"\toprule"), ("csv", "row,train,seed")):
        done = run(report_command, [str(plain), "--format", kind])
        assert done.exit_code == 0
        assert word in done.stdout
    assert run(report_command, [str(plain), "--format", "md", "--out", "x"]).exit_code != 0


def test_lists_keep_to_their_folder(tmp_path):
    secret = tmp_path / "secret.png"
    folder = write_case(Case(), tmp_path / "runs", tmp_path / "data")
    secret.write_bytes((tmp_path / "data" / "market" / "query" / "00plain.png").read_bytes())
    (tmp_path / "data" / "market" / "query" / "link.png").symlink_to(secret)
    for path in (tmp_path / "runs").glob("cells/*/tests/*/ranked_lists.json"):
        lists = json.loads(path.read_text())
        names = ("../../secret.png", str(secret), "query/link.png")
        for one in lists["lists"]:
            one["query"] = "query/../../../secret.png"
            for entry, name in zip(one["entries"], names):
                entry["image"] = name
        path.write_text(json.dumps(lists))
    page = write_report(folder, data_root=tmp_path / "data", resamples=FAST).read_text()
    assert page.count("data:image/jpeg") == 1, "the contact sheet alone"


def test_numbers_do_not_depend_on_anything_but_the_files(plain, tmp_path):
    again = write_report(plain, data_root=plain.parents[1] / "data", out=tmp_path / "again.html", resamples=FAST)
    assert again.read_bytes() == (plain / "report.html").read_bytes()
    assert np.array_equal((tmp_path / "report.json").read_bytes(), (plain / "report.json").read_bytes())
