"""The report in a real browser: nothing complained about, nothing fetched, tables sort, the theme switches, names stay names.

Needs Chromium (or REID_BROWSER). Without one the tests are skipped, or fail where REID_REQUIRE_BROWSER is set.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reid_train.report.html import write_report
from tests.browser.chromium import Browser, Page, browser, find_browser
from tests.hostile_names import HOSTILE_NAMES
from tests.train.report.case import Case, write_case

SECTIONS = {
    "short": "In short",
    "matrix": "The matrix",
    "differences": "Are the differences real?",
    "reliance": "Background reliance",
    "cmc": "CMC curves",
    "training": "Training curves",
    "adaptation": "Adaptation",
    "composites": "Composites and their masks",
    "lists": "Best, median and worst ranked lists",
    "sets": "Data sets and their terms",
    "cells": "Runs: environment, settings, cost",
    "method": "How to read this",
}
LAST_COLUMN = "[...document.querySelectorAll('#heat-mAP tbody tr')].map(row => row.cells[1].textContent)"
# WCAG 2.2: contrast of the text of each element that has text of its own, on the nearest background that is painted.
CONTRAST = """(() => {
  const part = (one) => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const paper = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.getClientRects().length || ["SCRIPT", "STYLE", "TITLE"].includes(one.tagName.toUpperCase())) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(rgb(one.closest("svg") ? style.fill : style.color)), light(paper(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${one.tagName}.${one.getAttribute("class")} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`);
  }
  return poor;
})()"""


OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true; });"
TOUCH_EVERYTHING = (
    OPEN_ALL + "document.querySelectorAll('button, summary, nav a').forEach(one => one.click());"
    "document.querySelectorAll('body *').forEach(one => one.dispatchEvent(new MouseEvent('mouseover')));"
)
FOLDED = "[...document.querySelectorAll('details[data-print]')].map(one => one.open)"


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    """A browser, or no test."""
    program = find_browser()
    if program is None:
        reason = "no browser: install Chromium (Debian: apt-get install chromium), or set REID_BROWSER to one"
        if os.environ.get("REID_REQUIRE_BROWSER"):
            pytest.fail(f"{reason}; REID_REQUIRE_BROWSER forbids to skip these tests")
        pytest.skip(reason)
    with browser(program) as found:
        yield found


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it."""
    root = tmp_path_factory.mktemp("page")
    case = Case(("market", "composite", "market+composite"), gain={("composite", "market"): -0.1})
    folder = write_case(case, root / "runs", root / "data")
    return write_report(folder, data_root=root / "data", resamples=200)


@pytest.fixture
def page(running: Browser, report_file: Path) -> Page:
    """The report, open at the width of a laptop, in the light."""
    found = running.page()
    found.view(1280)
    found.prefer("light")
    return found.open(report_file)


def test_nothing_is_complained_about_or_fetched(page, report_file):
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:image/jpeg")] == [report_file.as_uri()]
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert page.evaluate("document.images.length") > 10


def test_every_section_shows_something(page):
    found = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('section')].map("
        "one => [one.id, [one.querySelector('h2').textContent, one.innerText.length, one.getBoundingClientRect().height]]))"
    )
    assert {name: one[0] for name, one in found.items()} == SECTIONS
    assert all(length > 40 and height > 80 for _, length, height in found.values())
    for name in ("matrix", "reliance", "cmc", "training", "composites"):
        assert page.evaluate(f"document.querySelectorAll('#{name} svg, #{name} table').length") > 0


def test_a_heading_sorts_its_table_and_the_chance_row_stays_last(page):
    before = page.evaluate(LAST_COLUMN)
    click = "document.querySelectorAll('#heat-mAP thead button')[1].click()"
    page.evaluate(click)
    falling = page.evaluate(LAST_COLUMN)
    page.evaluate(click)
    rising = page.evaluate(LAST_COLUMN)
    scores = [float(text.split(".")[0]) for text in falling[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert rising[:-1] == falling[:-1][::-1]
    assert sorted(before) == sorted(rising)
    assert before[-1] == falling[-1] == rising[-1]
    assert page.evaluate("document.querySelectorAll('#heat-mAP thead th')[1].getAttribute('aria-sort')") == "ascending"


def test_words_sort_by_alphabet_and_numbers_by_value(page):
    first = "[...document.querySelectorAll('#costs tbody tr')].map(row => row.cells[0].textContent)"
    page.evaluate("document.querySelector('#costs thead button').click()")
    assert page.evaluate(first) == ["composite", "market", "market+composite"]
    page.evaluate("document.querySelector('#costs thead button').click()")
    assert page.evaluate(first) == ["market+composite", "market", "composite"]
    tables = page.evaluate(
        "[...document.querySelectorAll('table.sortable')].map(table => {"
        " table.querySelectorAll('thead button')[1].click();"
        " const rows = [...table.tBodies[0].rows].filter(row => !row.classList.contains('fixed'));"
        " return rows.map(row => row.cells[1].dataset.sort ?? row.cells[1].textContent); })"
    )
    assert len(tables) > 6
    for cells in tables:
        numbers = [float(cell) for cell in cells if cell.replace(".", "", 1).isdigit()]
        assert numbers == sorted(numbers, reverse=True)


def test_the_theme_follows_the_system_until_the_button_says_otherwise(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    assert light == "rgb(255, 255, 255)"
    page.prefer("dark")
    dark = page.evaluate(paper)
    assert dark != light
    assert page.evaluate("document.getElementById('theme').textContent") == "Light"
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(paper) == light
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate(paper) == dark
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate(paper) == light, "paper is white, whatever the theme"
    page.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(page, scheme):
    page.prefer(scheme)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_the_page_never_scrolls_sideways(page, width):
    page.view(width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_what_is_folded_up(page, tmp_path):
    page.evaluate(f"window.shown = []; addEventListener('beforeprint', () => {{ shown = {FOLDED}; }});")
    page.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    opened = page.evaluate("shown")
    assert len(opened) > 3
    assert all(opened)
    assert not all(page.evaluate(FOLDED)), "and folds it up again"


def test_links_carry_the_numbers(page, report_file):
    links = page.evaluate(
        "Promise.all([...document.querySelectorAll('a[download]')].map(one => [one.download, atob(one.href.split(',')[1])]))"
    )
    assert len(links) > 8
    for name, text in links:
        file = report_file.parent / ("" if name == "report.json" else "numbers") / name
        assert text.encode("latin-1") == file.read_bytes()


def test_hostile_names_do_nothing(running, tmp_path):
    page = running.page()
    for number in range(0, len(HOSTILE_NAMES), 5):
        *trains, test = names = HOSTILE_NAMES[number : number + 5]
        case = Case((*trains, "composite"), (test, f"{test}@background"), text=" ".join(names), people=2, queries=4)
        folder = write_case(case, tmp_path / f"runs{number}", tmp_path / f"data{number}")
        file = write_report(folder, data_root=tmp_path / f"data{number}", resamples=10)
        page.open(file)
        page.evaluate(TOUCH_EVERYTHING)
        found = page.evaluate("[typeof window.pwned, document.scripts.length, document.styleSheets.length]")
        assert found == ["undefined", 1, 1], names
        assert page.evaluate("document.title") == "Train-on / test-on matrix"
        assert page.evaluate("document.querySelectorAll('iframe, object, embed, base, link, form, input').length") == 0
        assert page.evaluate("location.href.split('#')[0]") == file.as_uri()
    assert page.complaints == []
    assert page.dialogs == []
    assert [url for url in page.requests if not url.startswith(("file://", "data:image/jpeg"))] == []
