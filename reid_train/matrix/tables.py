"""The grid as tables: aligned text, Markdown, LaTeX; and every number as CSV. From the document alone."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reid_data.files import printable
from reid_train.runs.matrix_document import METRICS, STUDY_METRICS, row_name

SHOWN = ("mAP", "rank-1")
_LATEX = {
    **{char: f"\\{char}" for char in "{}$&#%_"},
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "±": r"$\pm$",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A title, column heads and rows of text; the first `left` columns are words, the others numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def all_tables(document: Mapping[str, Any]) -> list[Table]:
    """What a grid shows: one table per metric, background reliance, the reference study's table, in percent."""
    tables = [metric_table(document, metric) for metric in SHOWN]
    tables += [reliance_table(document["reliance"])] if document["reliance"] else []
    tables += [study_table(document["study"])] if document["study"] else []
    return tables


def metric_table(document: Mapping[str, Any], metric: str) -> Table:
    """Training sets by test sets: the mean over seeds, their standard deviation, the 95 % interval."""
    columns = list(document["tests"])
    rows: dict[str, dict[str, str]] = {}
    for entry in document["summary"]:
        rows.setdefault(row_name(entry), {})[entry["test"]] = _square(entry, metric)
    body = [(name, *(squares[column] for column in columns)) for name, squares in rows.items()]
    if metric == "mAP":
        body.append(("(chance)", *(_percent(document["tests"][column]["chance_mAP"]) for column in columns)))
    return Table(f"{metric} %, [95 % interval]", ("trained on \\ tested on", *columns), tuple(body))


def _square(entry: Mapping[str, Any], metric: str) -> str:
    """`41.2 ±0.8 [39.0, 43.1]`, `failed`, `missing`; with seeds left out, how many there are."""
    if metric not in entry["metrics"]:
        return str(entry["status"])
    text = _with_limits(entry["metrics"][metric])
    num = len(entry["seeds"])
    return text if entry["status"] == "ok" else f"{text} ({num} seed{'s' * (num != 1)}; {entry['status']})"


def _with_limits(numbers: Mapping[str, float | None] | None) -> str:
    if numbers is None:
        return "-"
    text = _percent(numbers["mean"])
    if numbers["std"] is not None:
        text += f" ±{_percent(numbers['std'])}"
    return text + _limits(numbers)


def _limits(numbers: Mapping[str, float | None]) -> str:
    return "" if numbers["low"] is None else f" [{_percent(numbers['low'])}, {_percent(numbers['high'])}]"


def _percent(share: float | None, sign: str = "") -> str:
    return "-" if share is None else f"{100 * share:{sign}.1f}"


def reliance_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """How much each model leans on the background; the drop is paired, query by query."""
    rows = []
    for entry in entries:
        drop = entry["drop"]
        rows.append(
            (
                row_name(entry),
                entry["test"],
                _with_limits(entry["mAP"]),
                _with_limits(entry["original"]),
                "-" if drop is None else _percent(drop["value"], "+") + _limits(drop),
                "-" if drop is None or drop["p_value"] is None else f"{drop['p_value']:.4f}",
                _percent(entry["chance_mAP"]),
                f"{sum(entry['masks'].values())} of {entry['queries']}",
            )
        )
    head = ("trained on", "shown as", "mAP", "mAP as it is", "drop", "p", "chance", "queries with bad masks")
    return Table("Background reliance: mAP % and points, [95 % interval]", head, tuple(rows), left=2)


def study_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """The composite table of the reference study: its figures beside ours."""
    rows = [
        (
            row_name(entry),
            entry["test"],
            *(
                text
                for metric in SHOWN
                for text in (
                    _percent(entry["reported"][metric]),
                    entry["status"] if entry["ours"][metric] is None else _with_limits(entry["ours"][metric]),
                )
            ),
        )
        for entry in entries
    ]
    heads = (f"{who} {metric}" for metric in SHOWN for who in ("study", "our"))
    title = (
        f"Composite table of {entries[0]['source']} (Market-1501, DukeMTMC-reID, its settings unstated) beside ours, %"
    )
    return Table(title, ("trained on", "tested on", *heads), tuple(rows), left=2)


def as_text(table: Table) -> str:
    """Aligned columns under the title."""
    grid = [list(map(printable, row)) for row in (table.head, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*grid)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < table.left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in grid
    ]
    return "\n".join([table.title, *lines])


def as_markdown(table: Table) -> str:
    """A GitHub table under its title in bold."""
    grid = [[printable(cell).replace("|", "\\|") for cell in row] for row in (table.head, *table.rows)]
    rule = ["---" if column < table.left else "---:" for column in range(len(table.head))]
    lines = [grid[0], rule, *grid[1:]]
    return f"**{table.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_latex(table: Table) -> str:
    """A `tabular` with booktabs rules under its title as a comment."""
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (table.head, *table.rows)]
    columns = "l" * table.left + "r" * (len(table.head) - table.left)
    return "\n".join(
        [
            f"% {table.title}; needs \\usepackage{{booktabs}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in printable(text))


FORMATS: dict[str, Callable[[Table], str]] = {"table": as_text, "md": as_markdown, "latex": as_latex}

_NUMBERS = [name for metric in METRICS for name in (metric, f"{metric}_std", f"{metric}_low", f"{metric}_high")]
_DROP = ("value", "low", "high", "p_value")


def as_csv(document: Mapping[str, Any]) -> str:
    """Every number in full precision, as shares; one line per cell, per mean over seeds, and per diagnostic.

    Column `row` says which: `cell`, `seeds` (the metrics are means; `std` over seeds, limits for other seeds and people),
    `reliance` (`drop`: mAP on the set as it is minus mAP here) or `reliance-good-masks` (the same over the queries whose
    mask is good). `study_...`: what the reference study reported.
    """
    axes = list(document["axes"])
    head = [
        "row",
        "train",
        "seed",
        *axes,
        "test",
        "status",
        *_NUMBERS,
        "chance_mAP",
        "queries",
        "queries_without_match",
    ]
    head += [f"drop_{name}" for name in _DROP] + [f"study_{name}" for name in STUDY_METRICS]
    text = io.StringIO()
    lines = csv.DictWriter(text, head, restval="", lineterminator="\n")
    lines.writeheader()
    for line in _csv_lines(document):
        lines.writerow({name: _harmless(value) for name, value in line.items() if value is not None})
    return text.getvalue()


def _csv_lines(document: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    reported = {
        (entry["train"], entry["test"]): {f"study_{name}": value for name, value in entry["reported"].items()}
        for entry in document["study"] or ()
    }
    for cell in document["cells"]:
        line = {"row": "cell", "seed": cell["seed"], "status": cell["status"], **_place(document, cell)}
        for metric, (low, high) in cell["intervals"].items():
            line |= {metric: cell["metrics"][metric], f"{metric}_low": low, f"{metric}_high": high}
        counts = ("queries", "queries_without_match")
        yield line | {name: cell["metrics"][name] for name in counts if name in cell["metrics"]}
    for entry in document["summary"]:
        line = {"row": "seeds", "status": entry["status"], "seed": _seeds(entry), **_place(document, entry)}
        for metric, numbers in entry["metrics"].items():
            line |= _numbers(metric, numbers)
        yield line | reported.get((entry["train"], entry["test"]), {})
    for entry in document["reliance"]:
        for row, part in (("reliance", entry), ("reliance-good-masks", entry["good_masks"])):
            line = {"row": row, "seed": _seeds(entry), "queries": part["queries"], **_place(document, entry)}
            line |= _numbers("mAP", part["mAP"] or {})
            yield line | {f"drop_{name}": (part["drop"] or {}).get(name) for name in _DROP}


def _place(document: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    chance = document["tests"][entry["test"]]["chance_mAP"]
    return {"train": entry["train"], "test": entry["test"], "chance_mAP": chance, **entry["axes"]}


def _seeds(entry: Mapping[str, Any]) -> str:
    return " ".join(map(str, entry["seeds"]))


def _numbers(metric: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {metric if name == "mean" else f"{metric}_{name}": value for name, value in numbers.items()}


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
