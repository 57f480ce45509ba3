"""The table `table.json`: per step its version, and what it gave when that version was set; and where versions stand."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden import photo_steps, synth_steps, training_steps

PACKAGES = ("reid_data", "reid_train")
ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("table.json")
STEPS: dict[str, Callable[[Path], Any]] = {**photo_steps.STEPS, **synth_steps.STEPS, **training_steps.STEPS}


def read_table() -> dict[str, dict[str, Any]]:
    """Step -> {"version": N, "sha256": ...}, with {"sketch": [...]} besides where a step gave a `Near`."""
    return dict(json.loads(TABLE.read_text(encoding="ascii"))) if TABLE.exists() else {}


def write_table(table: dict[str, dict[str, Any]]) -> None:
    """One line for each step, or for each row of a sketch."""
    lines = []
    for step in sorted(table):
        entry = table[step]
        if "sketch" in entry:
            rows = ",\n".join("  " + json.dumps(row) for row in entry["sketch"])
            head = json.dumps({"version": entry["version"], "sha256": entry["sha256"]})
            lines.append(f'"{step}": {head[:-1]}, "sketch": [\n{rows}]}}')
        else:
            lines.append(f'"{step}": {json.dumps(entry)}')
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


def versions_in_packages() -> dict[str, tuple[int, str]]:
    """Step -> (version, file): every entry of every literal `VERSIONS` of the packages. A step stands in one file only."""
    found: dict[str, tuple[int, str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["VERSIONS"]:
                    for step, version in ast.literal_eval(node.value).items():
                        assert step not in found, f"{step} has a version in {found[step][1]} and in {path}"
                        found[step] = (version, str(path.relative_to(ROOT)))
    return found
