"""What each training was made of and what it cost: environment, settings, time, memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reid_train.report.evidence import Evidence, Run
from reid_train.report.sheet import Sheet, make_sheet


@dataclass(frozen=True)
class RunFacts:
    """One training for its fold-out: what it is called, where it lies, all settings, versions and digests as (name, value)."""

    title: str
    folder: str
    status: str
    reason: str
    settings: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]


def run_title(run: Run) -> str:
    """`market, seed 0`."""
    return f"{run.row}, seed {run.seed}"


def cost_sheet(evidence: Evidence) -> Sheet:
    """A row per training: size, time, speed, memory, device, and the time of all its tests."""
    rows = []
    for run in evidence.runs:
        costs, result = run.costs, run.result
        tests = [value for key, value in costs.items() if key.startswith("test_seconds_") and _is_number(value)]
        rows.append(
            {
                "train": run.row,
                "seed": run.seed,
                "status": run.facts.get("status", "ok"),
                "images": result.get("num_images"),
                "identities": result.get("num_classes"),
                "epochs": result.get("settings", {}).get("epochs"),
                "train_seconds": costs.get("train_seconds"),
                "images_per_second": costs.get("train_images_per_second"),
                "test_seconds": round(sum(tests), 3) if tests else None,
                "peak_device_bytes": costs.get("peak_device_bytes"),
                "device": costs.get("device", result.get("device_type")),
                "threads": costs.get("threads"),
            }
        )
    return make_sheet("costs", "Size and cost of each training", rows)


def settings_sheet(evidence: Evidence) -> Sheet:
    """All settings of all trainings."""
    rows = [
        {"train": run.row, "seed": run.seed, **{key: _text(value) for key, value in settings.items()}}
        for run in evidence.runs
        if (settings := run.result.get("settings"))
    ]
    return make_sheet("settings", "All settings", rows)


def settings_that_differ(evidence: Evidence) -> tuple[str, ...]:
    """Names of the settings that are not the same in all trainings."""
    found = [run.result["settings"] for run in evidence.runs if run.result.get("settings")]
    names = sorted({name for settings in found for name in settings})
    return tuple(name for name in names if len({_text(settings.get(name)) for settings in found}) > 1)


def run_facts(evidence: Evidence) -> list[RunFacts]:
    """One entry per training, for its fold-out."""
    return [
        RunFacts(
            run_title(run),
            str(run.facts.get("run", "")),
            str(run.facts.get("status", "ok")),
            str(run.facts.get("reason", "")),
            _pairs(run.result.get("settings", {})),
            _pairs(run.result.get("versions", {})),
            _pairs({"train key": run.result.get("train_key", "-"), **run.result.get("digests", {})}),
        )
        for run in evidence.runs
    ]


def shared_versions(facts: Sequence[RunFacts]) -> tuple[tuple[str, str], ...]:
    """The versions if they are the same in all trainings that have any, else nothing."""
    found = {run.versions for run in facts if run.versions}
    return next(iter(found)) if len(found) == 1 else ()


def _pairs(values: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), _text(value)) for key, value in sorted(values.items()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
