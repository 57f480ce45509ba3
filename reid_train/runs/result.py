"""`RunResult`: what a run leaves behind, the contract between running and reporting."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from reid_data.errors import InputError
from reid_data.files import printable, write_json
from reid_data.seals import with_seal, without_seal
from reid_data.shapes import parse_json, require

RESULT_FILE = "result.json"
SCHEMA = "reid-result/1"
_ADAPTATION = {
    "settings": {"arm": str, "classifier": str, "target_weight": float, ...: str | float | bool},
    "rounds": [{"round": int, "clusters?": int, "outliers?": int, ...: float | str | None}],
    **{"target_images": int, "all_images": int},
}
_SHAPE = {
    **{"name": str, "train_sets": [str], "train_key": str, "settings": dict, "settings_schema?": int},
    **{"digests": {...: str}, "weights_sha256": str | None, "device_type": str, "norm": {...: [float]}},
    **{"num_classes": int, "num_images": int, "training": {...: float | None}, "versions": {...: str}},
    **{"kind?": str, "adaptation?": dict},
    **{"unreadable": [dict], "tests": {...: {"unreadable": [dict]}}, "metrics": {...: {...: float | None}}},
}


@dataclass(frozen=True)
class RunResult:
    """One training and its tests. Holds nothing that differs between two runs of the same thing (costs are elsewhere).

    `kind`: fit or adapt; `adaptation`: of the latter, its own settings, the images trained on, and the rows of its rounds.
    `settings`: all settings by name, `settings_schema` theirs (1: of before there was a number).
    `digests`: of the training sets by name. `training`: the facts of the last epoch.
    `unreadable`: rows {set, name, reason} of training images that were left out. `tests`: by test set its key, digest,
    test settings, counts and unreadable images; `metrics`: by test set its metrics by name.
    """

    name: str
    train_sets: list[str]
    train_key: str
    settings: dict[str, Any]
    digests: dict[str, str]
    weights_sha256: str | None
    device_type: str
    norm: dict[str, list[float]]
    num_classes: int
    num_images: int
    training: dict[str, float]
    versions: dict[str, str]
    settings_schema: int = 1
    kind: str = "fit"
    adaptation: dict[str, Any] = field(default_factory=dict)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def num_failed(self) -> int:
        """Images that could not be read, in training and tests."""
        return len(self.unreadable) + sum(len(test["unreadable"]) for test in self.tests.values())


def write_result(run_folder: Path, result: RunResult) -> None:
    """Write `result.json`, the last file of a run."""
    write_json(run_folder / RESULT_FILE, with_seal({"schema": SCHEMA, **asdict(result)}))


def read_result(run_folder: Path) -> RunResult | None:
    """The result of a run; None if it has none yet. Raises InputError if the file is damaged."""
    path = run_folder / RESULT_FILE
    try:
        document = parse_json(path.read_bytes())
        document = without_seal(document) if isinstance(document, dict) else document
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{printable(path)}' cannot be read: {error}. Remove it and run the command again."
        ) from error
    names = [entry.name for entry in fields(RunResult)]
    known = {name: document[name] for name in names if name in document} if isinstance(document, dict) else {}
    if (
        not known
        or document.get("schema") != SCHEMA
        or not {*names} - {"settings_schema", "kind", "adaptation"} <= {*known}
    ):
        raise InputError(f'\'{printable(path)}\' is no result of this tool (expected "schema": "{SCHEMA}").')
    try:
        require(known, _SHAPE)
        if known.get("kind") == "adapt":
            require(known.get("adaptation"), _ADAPTATION, "adaptation")
    except ValueError as error:
        raise InputError(f"'{printable(path)}' is damaged: {error}. Remove it and run the command again.") from error
    return RunResult(**known)
