"""The run folder: what identifies a run, what it has finished, what may continue it.

`settings.toml` and `log.jsonl` at the start, `state.pt` and `model.safetensors` at every checkpoint, then `curves.png`, `costs.json`,
and `result.json` last.
"""

import functools
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reid_data.datasets.card import tool_version
from reid_data.errors import InputError, UsageError
from reid_data.files import AnyPath, printable, settings_digest, sha256_file, write_atomic
from reid_data.shapes import parse_json, require
from reid_train.runs.result import RunResult, read_result
from reid_train.settings.setting import differences
from reid_train.settings.train import SETTINGS_SCHEMA, TrainSettings, from_toml

SETTINGS_FILE = "settings.toml"
LOG_FILE = "log.jsonl"
_EPOCH = {"epoch": int, "effective_temperature?": float}


def run_of(place: AnyPath) -> Path:
    """The run folder that a path means: the folder itself, or that of a file in it, such as `model.safetensors`."""
    path = Path(place)
    return path.parent if path.is_file() and (path.parent / SETTINGS_FILE).is_file() else path


@dataclass(frozen=True)
class RunIdentity:
    """What a training is a function of: settings, the training sets' digests, weight and schedule files, device type.

    `settings_schema`: of the settings in the key; keys of different ones cannot be compared.
    """

    train_key: str
    train_sets: list[str]
    digests: dict[str, str]
    weights_sha256: str | None
    device_type: str
    settings_schema: int = SETTINGS_SCHEMA


def train_key(
    settings: TrainSettings,
    dataset_digests: Sequence[str],
    weights_sha256: str | None,
    device_type: str,
    *,
    norm_digest: str | None = None,
    swap_digest: str | None = None,
    versions: Mapping[str, Any] | None = None,
) -> str:
    """Key of a training: equal keys mean equal weights (on a CPU: to the last bit).

    `dataset_digests`: of the training sets, in order; `norm_digest`: of the set that `--norm NAME` names; `swap_digest`: of
    what `--bg NAME` gives; `versions`: of steps that were raised (see `training.versions`). The content of weight and
    schedule files counts, their paths do not.
    """
    values = {**settings.key("train"), **(versions or {})}
    if settings.weights not in ("imagenet", "none"):
        values["weights"] = "file"
    if settings.temperature_file is not None:
        values["temperature_schedule"] = f"file:{schedule_sha256(settings)}"
    if swap_digest is not None:
        values["bg"] = swap_digest
    if norm_digest is not None:
        values["norm"] = f"{norm_digest}:{settings.norm.endswith(':per-image')}"
    return settings_digest([values, list(dataset_digests), weights_sha256, device_type])


def schedule_sha256(settings: TrainSettings) -> str:
    """sha256 of the schedule file. Raises InputError if it cannot be read."""
    path = Path(settings.temperature_file or "")
    if not path.is_file():
        raise InputError(f"--temperature-schedule {settings.temperature_schedule}: no such file.")
    return sha256_file(path)


def test_key(
    key_of_training: str,
    settings: TrainSettings,
    dataset_digest: str,
    *,
    versions: Mapping[str, Any],
) -> str:
    """Key of one test: the training, the test settings, the test set, and the `versions` of steps that were raised."""
    return settings_digest([key_of_training, {**settings.key("test"), **versions}, dataset_digest])


def finished(run_folder: Path, key: str) -> RunResult | None:
    """The result of the run if this very training is done, else None."""
    result = read_result(run_folder)
    return result if result is not None and result.train_key == key else None


def open_run(run_folder: Path, settings: TrainSettings, identity: RunIdentity) -> None:
    """Claim the folder for this training, or check that it belongs to it (see `check_run`)."""
    check_run(run_folder, settings, identity)
    write_atomic(run_folder / SETTINGS_FILE, settings.to_toml().encode("utf-8"), sync=True)


def check_run(run_folder: Path, settings: TrainSettings, identity: RunIdentity) -> None:
    """Raise UsageError, which says what differs, if the folder holds another training."""
    if (run_folder / SETTINGS_FILE).is_file():
        _refuse_other_schema(run_folder)
        old = read_settings(run_folder)
        changed = differences(old.as_dict("train"), settings.as_dict("train")) or _other_inputs(run_folder, identity)
        if changed:
            raise UsageError(
                f"the run '{printable(run_folder)}' was started with other settings:\n  "
                + "\n  ".join(changed)
                + "\nChoose another --name, or remove that folder."
            )


def _refuse_other_schema(run_folder: Path) -> None:
    """Raise UsageError for a run whose key means something else than keys do now."""
    rows = read_log(run_folder)
    if rows and rows[0].get("settings_schema", 1) != SETTINGS_SCHEMA:
        raise UsageError(
            f"the run '{printable(run_folder)}' was begun by another version of this tool, whose settings cannot be compared with "
            "these. What it has trained can still be tested (reid-train evaluate, extract); to train, choose another --name, or "
            "remove that folder."
        )


def _other_inputs(run_folder: Path, identity: RunIdentity) -> list[str]:
    rows = read_log(run_folder)
    if not rows:
        return []
    old = {name: rows[0].get(name) for name in asdict(identity)}
    new = asdict(identity)
    if old["train_key"] == new["train_key"]:
        return []
    named = [f"{name}: {old[name]} -> {new[name]}" for name in new if name != "train_key" and old[name] != new[name]]
    return named or ["the content of the temperature schedule's file, or of the set that --norm or --bg names"]


def read_settings(run_folder: Path) -> TrainSettings:
    """The settings of a run. Raises InputError if the folder holds no run."""
    path = run_folder / SETTINGS_FILE
    if not path.is_file():
        raise InputError(
            f"'{printable(run_folder)}' is no run: it has no {SETTINGS_FILE}. Train one with reid-train fit --name NAME."
        )
    return from_toml(path)


def write_log(run_folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `log.jsonl` whole: it always agrees with the checkpoint, also after a resume."""
    text = "".join(json.dumps(row, sort_keys=True, ensure_ascii=True) + "\n" for row in rows)
    write_atomic(run_folder / LOG_FILE, text.encode("ascii"))


def read_log(run_folder: Path) -> list[dict[str, Any]]:
    """The rows of `log.jsonl`; none if there is no such file. Raises InputError if it is damaged."""
    path = run_folder / LOG_FILE
    try:
        rows = [parse_json(line) for line in path.read_text(encoding="ascii").splitlines()]
        for number, row in enumerate(rows, 1):
            require(row, {"event": str}, f"line {number}")
            require(row, _EPOCH if row["event"] == "epoch" else dict, f"line {number}")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{printable(path)}' is damaged: {error}. Restore it, or remove the run's folder to train it anew."
        ) from error
    return rows


def effective_temperatures(run_folder: Path) -> str:
    """The effective temperature of each finished epoch as CSV (epoch,temperature), as `file:PATH` schedules read it."""
    rows = [row for row in read_log(run_folder) if row["event"] == "epoch"]
    if not rows:
        raise InputError(f"the run '{printable(run_folder)}' has no finished epoch.")
    if any("effective_temperature" not in row for row in rows):
        raise InputError(f"the log of the run '{printable(run_folder)}' tells no effective temperatures.")
    return "epoch,temperature\n" + "".join(f"{row['epoch']},{row['effective_temperature']!r}\n" for row in rows)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what computes."""
    packages = {
        name: version(name) for name in ("torch", "torchvision", "numpy", "albumentations", "opencv-python-headless")
    }
    return {"tool": tool_version(), "python": platform.python_version(), **packages}
