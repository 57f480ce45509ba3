"""One self-contained HTML page from a matrix: nothing is fetched, everything is escaped, scripts and styles only by hash."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from reid_data.datasets.card import is_photographic
from reid_data.files import AnyPath, make_folder, printable, refuse_link, write_atomic
from reid_train.evaluation.bootstrap import RESAMPLES
from reid_train.report import cells, differences, findings, reliance
from reid_train.report.adaptation import adaptation_sheet, find_adaptations
from reid_train.report.bars import IntervalChart, Row, interval_chart
from reid_train.report.cards import card_sheet, set_cards
from reid_train.report.composites import STATUSES, composites
from reid_train.report.curves import cmc_charts, training_charts
from reid_train.report.evidence import Evidence, read_evidence
from reid_train.report.heat import heat_map
from reid_train.report.pictures import read_sheet, sheet_path, shown_squares
from reid_train.report.scores import PAGE_METRICS, matrix_scores, score_sheet
from reid_train.report.sheet import Sheet

REPORT_FILE, NUMBERS_FILE, NUMBERS_FOLDER = "report.html", "report.json", "numbers"
SCHEMA = "reid-report/1"


def write_report(
    folder: AnyPath,
    *,
    data_root: AnyPath | None = None,
    thumbs: bool = True,
    out: AnyPath | None = None,
    resamples: int = RESAMPLES,
) -> Path:
    """Write the page of the matrix in `folder` to `out` (default `report.html` in it), and its numbers beside it.

    `report.json` and `numbers/*.csv` hold every number of the page. Pictures need `data_root`; `thumbs=False` leaves them
    out. Returns where the page lies; raises InputError if `folder` holds no matrix.
    """
    folder, data_root = Path(folder), None if data_root is None else Path(data_root)
    evidence = read_evidence(folder)
    context, sheets = page_context(evidence, data_root=data_root, thumbs=thumbs, resamples=resamples)
    page = Path(out or folder / REPORT_FILE)
    refuse_link(page.parent / NUMBERS_FOLDER)
    numbers = make_folder(page.parent / NUMBERS_FOLDER)
    for sheet in sheets:
        write_atomic(numbers / f"{sheet.name}.csv", _bytes(sheet.as_csv()))
    write_atomic(page.parent / NUMBERS_FILE, numbers_json(sheets))
    write_atomic(page, render(context).encode("utf-8", "backslashreplace"))
    return page


def numbers_json(sheets: Sequence[Sheet]) -> bytes:
    """All sheets by name as one JSON document, ASCII only."""
    document = {"schema": SCHEMA, **{sheet.name: sheet.as_records() for sheet in sheets}}
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def page_context(
    evidence: Evidence, *, data_root: Path | None = None, thumbs: bool = True, resamples: int = RESAMPLES
) -> tuple[dict[str, Any], list[Sheet]]:
    """What the template shows, and every table of numbers in it."""
    document = evidence.document
    scores = matrix_scores(document)
    found = differences.find_differences(evidence, scores, resamples=resamples)
    reliances = reliance.find_reliance(document)
    adaptations = find_adaptations(evidence, scores, resamples=resamples)
    cmcs, cmc_sheet = cmc_charts(evidence)
    trainings, training_sheet = training_charts(evidence)
    shown_composites, mask_sheet = composites(evidence, data_root, thumbs=thumbs)
    facts = cells.run_facts(evidence)
    cards = set_cards(document)
    tables = [
        score_sheet(document, scores), differences.difference_sheet(found), reliance.reliance_sheet(reliances), cmc_sheet,
        training_sheet, adaptation_sheet(adaptations), mask_sheet, cells.cost_sheet(evidence),
        cells.settings_sheet(evidence), card_sheet(cards),
    ]  # fmt: skip
    sheets = {sheet.name: sheet for sheet in tables}
    context = {
        "title": "Train-on / test-on matrix",
        "rows": evidence.rows,
        "columns": evidence.columns,
        "num_seeds": len({run.seed for run in evidence.runs}),
        "in_short": findings.in_short(evidence, scores, found, reliances),
        "maps": [heat_map(evidence, scores, metric) for metric in PAGE_METRICS],
        "has_reported": any(score.reported is not None for score in scores.values()),
        "study": next((entry["source"] for entry in document["study"] or ()), ""),
        "differences": [(test, [one for one in found if one.test == test]) for test in evidence.columns],
        "difference_charts": _difference_charts(evidence, found),
        "reliances": [(one, _reliance_chart(one)) for one in reliances],
        "views": _view_sheets(evidence) if thumbs else {},
        "adaptations": adaptations,
        "cmc": cmcs,
        "training": trainings,
        "composites": shown_composites,
        "statuses": STATUSES,
        "squares": shown_squares(evidence, data_root, thumbs=thumbs),
        "cards": cards,
        "photographic": sorted(
            {card["name"] for card in cards if card["kind"] != "diagnostic" and is_photographic(card)}
        ),
        "thumbs": thumbs,
        "facts": facts,
        "versions": cells.shared_versions(facts),
        "differing": cells.settings_that_differ(evidence),
        "failures": [cell for cell in document["cells"] if cell["status"] != "ok"],
        "problems": evidence.problems,
        "sheets": sheets,
        "everything": _download(numbers_json(tables), "application/json"),
    }
    return context, tables


def render(context: Mapping[str, Any]) -> str:
    """The page. Every value that the templates put out is escaped, control characters and odd bytes shown as escapes."""
    style, script = _template("report.css"), _template("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            **context,
            style=Markup(style),  # our own files: nothing from a run is in them
            script=Markup(script),
            style_hash=_csp_hash(style),
            script_hash=_csp_hash(script),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_template),
        finalize=_printable,
    )
    environment.filters.update(
        percent=_percent, signed=_signed, csv_link=lambda sheet: _download(_bytes(sheet.as_csv()), "text/csv"),
        duration=_duration, number=_number, whole=_whole, p_value=_p_value, breakable=_breakable,
    )  # fmt: skip
    return environment


def _difference_charts(evidence: Evidence, found: Sequence[differences.Finding]) -> dict[str, IntervalChart | None]:
    charts = {}
    for test in evidence.columns:
        gaps = [(f"{one.first} − {one.second}", one.difference) for one in found if one.test == test]
        rows: list[Row] = [(name, 0, 100 * gap.value, 100 * gap.low, 100 * gap.high) for name, gap in gaps]
        charts[test] = interval_chart(rows, "difference in mAP, points")
    return charts


def _reliance_chart(one: reliance.Reliance) -> IntervalChart | None:
    shown = [(reliance.PLAIN, one.original), *((entry["view"], entry["mAP"]) for entry in one.entries)]
    rows: list[Row] = []
    for style, (name, numbers) in enumerate(shown):
        if numbers:
            rows.append((name, style, 100 * numbers["mean"], _times(numbers["low"]), _times(numbers["high"])))
    chance = one.entries[0]["chance_mAP"]
    return interval_chart([*rows, ("(chance)", 7, 100 * chance, None, None)], "mAP, %", from_zero=True)


def _view_sheets(evidence: Evidence) -> dict[str, str]:
    """By set, the sheet that shows what its diagnostics look like, where there is one."""
    sheets = {}
    for base, columns in reliance.view_columns(evidence.document).items():
        path = sheet_path(evidence.folder, evidence.document, f"views of {base}", (base, *columns))
        sheets[base] = read_sheet(path)[0]
    return {base: sheet for base, sheet in sheets.items() if sheet}


def _times(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _template(name: str) -> str:
    return files("reid_assets").joinpath("templates", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _download(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _printable(value: Any) -> Any:
    """Strings that are not ours already: control characters, direction marks and odd bytes as escapes."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(name: str) -> Markup:
    """A name that may be broken after +, @, : and the like; escaped."""
    return Markup("<wbr>").join(map(printable, re.split(r"(?<=[+@:,/_])", name)))


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None or value != value else f"{100 * value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "-" if value is None or value != value else differences.signed_points(value)


def _p_value(value: float | None) -> str:
    return "-" if value is None or value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: Any) -> str:
    """A number with thousands marks; `-` for none."""
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _whole(value: float | None) -> str:
    """A mean of counts, rounded, with thousands marks; `-` for none."""
    return "-" if value is None else f"{value:,.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
