"""One experiment of the reference study, or one of our own: variants that differ in one thing, several seeds, paired tests.

`assets/ablations.toml` says what a variant changes, `assets/study.toml` what the study reported.
"""

import csv
import io
import logging
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from statistics import mean
from typing import Any

from reid_data.errors import InputError, unknown_name
from reid_data.files import make_folder, only_writer, write_atomic, write_json
from reid_data.records import ReidDataset
from reid_train.evaluation.compare import Outcome, compare, read_outcome
from reid_train.matrix.cells import Machine
from reid_train.runs.folder import effective_temperatures, read_log
from reid_train.runs.matrix_document import STUDY_METRICS
from reid_train.settings.train import TrainSettings
from reid_train.testing import test as run_test
from reid_train.training.batches import take_identities
from reid_train.training.fit import fit, identify, is_finished

logger = logging.getLogger("reid_train")
SCHEMA = "reid-ablation/1"
RUNS_FOLDER = "ablations"

Progress = Callable[[int, int], None]
Announce = Callable[[str], Progress | None]


@dataclass(frozen=True)
class Variant:
    """One arm: the settings that differ from the base, and the study's runs of it (rows of STUDY_METRICS in percent).

    `replay`: the variant whose effective temperatures this one follows, epoch by epoch. `match_lr`: the variant whose
    class weights turn as fast as this one's shall: the classifier's learning rate is multiplied by its mean 1 / norm.
    """

    id: str
    changes: dict[str, Any] = field(default_factory=dict)
    replay: str | None = None
    match_lr: str | None = None
    study: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Experiment:
    """An experiment; the first variant is what the others are compared with."""

    name: str
    title: str
    direction: str
    variants: tuple[Variant, ...]

    def only(self, ids: Sequence[str]) -> "Experiment":
        """The experiment with its first variant, those of `ids`, and those that they follow. Raises UsageError."""
        known = {variant.id: variant for variant in self.variants}
        for id_ in ids:
            if id_ not in known:
                raise unknown_name("variant", id_, known)
        leaders = {leader for id_ in ids for leader in (known[id_].replay, known[id_].match_lr) if leader}
        wanted = {self.variants[0].id, *ids, *leaders}
        return replace(self, variants=tuple(variant for variant in self.variants if variant.id in wanted))


@dataclass(frozen=True)
class Scale:
    """How large an experiment is run: the settings of its base and the share of the training identities."""

    name: str
    settings: dict[str, Any]
    identities: float


@dataclass(frozen=True)
class Run:
    """A variant with a seed, with what it comes to: settings, the training's key, its folder."""

    variant: Variant
    settings: TrainSettings
    folder: Path
    done: bool


def experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of the file."""
    study = _table("study.toml")
    found = {}
    for name, entry in _table("ablations.toml")["experiment"].items():
        reported = study.get(name, {})
        runs = {row["id"]: tuple(map(tuple, row["runs"])) for row in reported.get("variants", [])}
        variants = tuple(
            Variant(row["id"], row.get("set", {}), row.get("replay"), row.get("match_lr"), runs.get(row["id"], ()))
            for row in entry["variants"]
        )
        title = entry.get("title") or reported["title"]
        found[name] = Experiment(name, title, reported.get("direction", ""), variants)
    return found


def find_experiment(name: str) -> Experiment:
    """The experiment of that name. Raises UsageError with the names there are."""
    found = experiments()
    if name not in found:
        raise unknown_name("experiment", name, found)
    return found[name]


def find_scale(name: str) -> Scale:
    """The scale of that name: small or full."""
    entry = _table("ablations.toml")["scale"][name]
    settings = _table(f"recipes/{entry['recipe']}.toml") if "recipe" in entry else {}
    return Scale(name, settings, entry["identities"])


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("reid_assets").joinpath(name).read_text(encoding="utf-8"))


def run_experiment(
    experiment: Experiment,
    base: TrainSettings,
    scale: Scale,
    datasets: tuple[ReidDataset, ReidDataset],
    seeds: Sequence[int],
    machine: Machine,
    announce: Announce,
) -> dict[str, Any]:
    """Run what is missing, compare every variant with the first, write `ablation.json`, `.csv` into the experiment's folder.

    `datasets`: what is trained on and what is tested on. Trainings are kept by their key: experiments share them, and the
    same call does nothing twice. Returns the document. Raises ReidError.
    """
    training, test = datasets
    training = take_identities(training, scale.identities)
    outcomes: dict[str, list[Outcome]] = {}
    rows = []
    place = make_folder(machine.runs / RUNS_FOLDER / experiment.name)
    with only_writer(place):
        done: dict[tuple[str, int], Run] = {}
        for variant in experiment.variants:
            for seed in seeds:
                run = _prepare(variant, base.replace(seed=seed), training, done, machine)
                _run_one(run, training, test, machine, announce)
                done[variant.id, seed] = run
                outcomes.setdefault(variant.id, []).append(read_outcome(run.folder, machine.runs))
            rows.append(
                _row(variant, outcomes, experiment.variants[0], test.name, [done[variant.id, s] for s in seeds])
            )
        document = {
            "schema": SCHEMA,
            "experiment": experiment.name,
            "title": experiment.title,
            "direction": experiment.direction,
            "scale": scale.name,
            "train": training.name,
            "test": test.name,
            "seeds": list(seeds),
            "base": base.as_dict(),
            "variants": rows,
        }
        write_json(place / "ablation.json", document)
        write_atomic(place / "ablation.csv", as_csv(document).encode())
    return document


def _prepare(
    variant: Variant, base: TrainSettings, training: ReidDataset, done: dict[tuple[str, int], Run], machine: Machine
) -> Run:
    """Settings, key and folder of a variant with the seed of `base`; arms that follow another one read that one's log."""
    changes = dict(variant.changes)
    if variant.replay is not None:
        leader = done[variant.replay, base.seed].folder
        schedule = make_folder(machine.runs / RUNS_FOLDER / "schedules") / f"{leader.name}.csv"
        write_atomic(schedule, effective_temperatures(leader).encode())
        changes["temperature_schedule"] = f"file:{schedule}"
    if variant.match_lr is not None:
        changes["classifier_lr_mult"] = mean_inverse_norm(done[variant.match_lr, base.seed].folder)
    settings = base.replace(**changes)
    place = machine.runs / RUNS_FOLDER / "runs"
    key = identify(settings, [training], device=machine.device, data_root=machine.data_root).train_key
    folder = place / f"{training.name.replace(':', '-')}-seed{base.seed}-{key[:12]}"
    return Run(variant, settings, folder, is_finished(folder, key))


def mean_inverse_norm(run_folder: Path) -> float:
    """The mean over a training of 1 / median norm of the class weights: how much faster an equal step turns them.

    A step of Adam has about the length of the learning rate, so it turns a weight of norm n by about rate / n.
    """
    rows = [row for row in read_log(run_folder) if row["event"] == "epoch"]
    if not rows:
        raise InputError(f"the run '{run_folder}' has no finished epoch.")
    return round(mean(row["effective_temperature"] / row["temperature"] for row in rows), 4)


def _run_one(run: Run, training: ReidDataset, test: ReidDataset, machine: Machine, announce: Announce) -> None:
    label = f"{run.variant.id}, seed {run.settings.seed}"
    progress = announce(f"{label}: {'already trained' if run.done else 'training'}")
    how: dict[str, Any] = {"device": machine.device, "workers": machine.workers}
    fit(run.settings, [training], run.folder, progress=progress, data_root=machine.data_root, **how)
    run_test(run.folder, test, progress=announce(f"{label}: testing on {test.name}"), **how)


def _row(
    variant: Variant, outcomes: dict[str, list[Outcome]], first: Variant, test: str, runs: Sequence[Run]
) -> dict[str, Any]:
    """One variant of the document: ours with interval, the study's, the difference from the first variant, norms."""
    compared = compare(outcomes[variant.id], outcomes[first.id], tests=[test])
    ours = compared.tests[0]
    last = [[row for row in read_log(run.folder) if row["event"] == "epoch"][-1] for run in runs]
    row: dict[str, Any] = {
        "id": variant.id,
        "settings": {"set": variant.changes, "replay": variant.replay, "match_lr": variant.match_lr},
        "runs": [f"{RUNS_FOLDER}/runs/{run.folder.name}" for run in runs],
        "ours": compared.as_dict()["tests"][test]["first"],
        "study": {metric: mean(values[place] for values in variant.study) for place, metric in enumerate(STUDY_METRICS)}
        if variant.study
        else {},
        "study_runs": [list(values) for values in variant.study],
        "final": {
            key: mean(one[key] for one in last) for key in ("class_norm_median", "effective_temperature", "loss")
        },
    }
    if variant is not first:
        row["difference"] = compared.as_dict()["tests"][test]["differences"]["mAP"]
        row["verdict"] = {"A": "better", "B": "worse"}.get(ours.verdict, ours.verdict)
    return row


def table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the printed table, in percent: the study's figures beside ours, and the paired difference."""
    first = document["variants"][0]["id"]
    head = ["variant", "study mAP", "rank-1", "our mAP", "95 % interval", "rank-1", f"mAP - {first}", "95 % interval", "p",
            "class norm", "effective T"]  # fmt: skip
    return head, [_cells(row) for row in document["variants"]]


def _cells(row: dict[str, Any]) -> list[str]:
    study = [f"{row['study'][name]:.1f}" if row["study"] else "-" for name in ("mAP", "rank-1")]
    ours = row["ours"]["mAP"]
    difference = row.get("difference")
    return [
        row["id"],
        *study,
        f"{100 * ours['mean']:.1f}",
        _interval(ours),
        f"{100 * row['ours']['rank-1']['mean']:.1f}",
        "-" if difference is None else f"{100 * difference['value']:+.1f}",
        "-" if difference is None else _interval(difference, "+"),
        "-" if difference is None else _p(difference["p_value"]),
        f"{row['final']['class_norm_median']:.2f}",
        f"{row['final']['effective_temperature']:.3f}",
    ]


def _p(value: float | None) -> str:
    return "-" if value is None else "<.001" if value < 0.001 else f"{value:.3f}"


def _interval(row: dict[str, Any], sign: str = "") -> str:
    if row["low"] is None:
        return "-"
    return f"{100 * row['low']:{sign}.1f} to {100 * row['high']:{sign}.1f}"


def agreement(document: dict[str, Any]) -> list[str]:
    """For every variant that the study has, whether ours points the same way, in words."""
    first = document["variants"][0]
    lines = []
    for row in document["variants"][1:]:
        if not row["study"] or not first["study"]:
            continue
        theirs = row["study"]["mAP"] - first["study"]["mAP"]
        ours = 100 * row["difference"]["value"]
        if row["verdict"] not in ("better", "worse"):
            judged = "no difference can be claimed here"
        else:
            judged = "the same direction" if (ours > 0) == (theirs > 0) else "the other direction"
        lines.append(
            f"{row['id']} against {first['id']}: {judged} (study {theirs:+.1f}, ours {ours:+.1f} points of mAP)"
        )
    return lines


def as_csv(document: dict[str, Any]) -> str:
    """One line per variant: every number of the table in full precision (ours as fractions, the study's in percent)."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["variant", *(f"study {name}" for name in STUDY_METRICS)]
        + [f"{name} {part}" for name in STUDY_METRICS for part in ("mean", "deviation", "low", "high")]
        + ["difference", "difference low", "difference high", "p", "verdict", "class_norm", "effective_temperature"]
    )
    for row in document["variants"]:
        difference = row.get("difference") or {}
        rows.writerow(
            [row["id"], *(row["study"].get(name, "") for name in STUDY_METRICS)]
            + [row["ours"][name][part] for name in STUDY_METRICS for part in ("mean", "deviation", "low", "high")]
            + [difference.get(key, "") for key in ("value", "low", "high", "p_value")]
            + [row.get("verdict", ""), row["final"]["class_norm_median"], row["final"]["effective_temperature"]]
        )
    return text.getvalue()
