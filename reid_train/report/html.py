"""One self-contained HTML page from the matrix's results: no network, no script, everything escaped."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from reid_train.report.summary import METRICS, make_table


def render_matrix(document: Mapping[str, Any], title: str = "Train-on / test-on matrix") -> str:
    """The page for a matrix document (`summary.read_results`). Every text in it is escaped."""
    template = files("reid_assets").joinpath("templates/matrix.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        title=title,
        tables=[make_table(document, metric) for metric in METRICS],
        seeds=len({row["seed"] for row in document["trainings"]}),
        failures=[cell for cell in document["cells"] if cell["status"] != "ok"],
        cards=_cards(document),
    )


def _cards(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The cards of all sets that were trained or tested on, parents included, one per name and kind."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}

    def add(card: Mapping[str, Any]) -> None:
        found.setdefault((card["name"], card["kind"]), card)
        for parent in card.get("parents", ()):
            add(parent)

    for row in document["trainings"]:
        for card in row["sets"]:
            add(card)
    for test in document["tests"].values():
        add(test["card"])
    return list(found.values())
