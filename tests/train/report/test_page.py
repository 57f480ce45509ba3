"""The report's page and files: every section, nothing fetched, names that are hostile, numbers beside it."""

import base64
import csv
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.train.report import report as report_command

from reid_data.errors import InputError
from reid_train.report.differences import find_differences
from reid_train.report.evidence import read_evidence
from reid_train.report.html import write_report
from reid_train.report.scores import matrix_scores
from reid_train.report.sheet import make_sheet
from tests.hostile_names import HOSTILE_NAMES
from tests.train.report.case import Case, write_case
from tests.train.report.conftest import FAST

SECTIONS = [
    "short",
    "matrix",
    "differences",
    "reliance",
    "cmc",
    "training",
    "adaptation",
    "composites",
    "lists",
    "sets",
    "cells",
    "method",
]


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


def test_reported_figures_stand_in_their_squares(tmp_path):
    folder = write_case(Case(), tmp_path / "runs")
    document = json.loads((folder / "results.json").read_text())
    entry = {"train": "market", "test": "duke", "axes": {}, "source": "a study", "status": "ok", "ours": {}}
    document["study"] = [{**entry, "reported": {"mAP": 0.159, "rank-1": 0.291}}]
    (folder / "results.json").write_text(json.dumps(document))
    shown = "".join(Reader(write_report(folder, resamples=FAST).read_text()).texts)
    assert shown.count("reported 15.9") + shown.count("reported 29.1") == 2
    assert shown.count("in italics what a study reports") == 1
