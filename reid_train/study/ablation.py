"""One experiment of the reference study, or one of our own: variants that differ in one thing, several seeds, paired tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

from reid_data.claims import only_writer
from reid_data.errors import InputError
from reid_data.files import make_folder, write_atomic, write_json
from reid_data.records import ReidDataset
from reid_train.adaptation.rounds import Collapse
from reid_train.evaluation.compare import Outcome, compare, read_outcome
from reid_train.matrix.cells import Machine
from reid_train.runs.folder import effective_temperatures, read_log
from reid_train.runs.matrix_document import STUDY_METRICS
from reid_train.settings.train import TrainSettings
from reid_train.study.experiments import Experiment, Scale, Variant
from reid_train.study.tables import as_csv
from reid_train.testing import test as run_test
from reid_train.training.fit import fit, identify, is_finished

SCHEMA = "reid-ablation/1"
RUNS_FOLDER = "ablations"

Progress = Callable[[int, int], None]
Announce = Callable[[str], Progress | None]
Done = Mapping[tuple[str, int], Path]
"""The run folder of each variant and seed so far."""


class Arms(Protocol):
    """How the variants of an experiment are run, on what, and what is said of how a run ended."""

    @property
    def test(self) -> ReidDataset:
        """What is tested on."""

    def run(self, variant: Variant, seed: int, done: Done) -> Path:
        """Train and test a variant, unless that is done; its run folder. Raises Collapse where it cannot be trained."""

    def final(self, folders: Sequence[Path]) -> dict[str, float | None]:
        """Means over the seeds of what the runs came to beside their scores."""

    def facts(self) -> dict[str, Any]:
        """What the document says of the experiment's sets and base."""


def run_experiment(
    experiment: Experiment, arms: Arms, scale: Scale, seeds: Sequence[int], runs: Path
) -> dict[str, Any]:
    """Run what is missing, compare every variant with the first, write `ablation.json`, `.csv` into the experiment's folder.

    Trainings are kept by their key below `runs`: experiments share them, and the same call does nothing twice. Returns the
    document. Raises ReidError.
    """
    outcomes: dict[str, list[Outcome]] = {}
    rows = []
    place = make_folder(runs / RUNS_FOLDER / experiment.name)
    with only_writer(place):
        done: dict[tuple[str, int], Path] = {}
        for variant in experiment.variants:
            try:
                for seed in seeds:
                    done[variant.id, seed] = folder = arms.run(variant, seed, done)
                    outcomes.setdefault(variant.id, []).append(read_outcome(folder, runs))
            except Collapse as error:
                if variant is experiment.variants[0]:
                    raise
                rows.append({**_facts(variant), "refused": str(error).splitlines()[0]})
                continue
            folders = [done[variant.id, seed] for seed in seeds]
            rows.append(_row(variant, outcomes, experiment, arms, folders))
        document = {
            "schema": SCHEMA,
            "experiment": experiment.name,
            "kind": experiment.kind,
            "title": experiment.title,
            "direction": experiment.direction,
            "scale": scale.name,
            **arms.facts(),
            "seeds": list(seeds),
            "variants": rows,
        }
        write_json(place / "ablation.json", document)
        write_atomic(place / "ablation.csv", as_csv(document).encode())
    return document


def _facts(variant: Variant) -> dict[str, Any]:
    """What a variant is, and what the study reported of it."""
    followed: dict[str, Any] = {"replay": variant.replay, "match_lr": variant.match_lr}
    if variant.labels_from is not None or variant.batches != 1:
        followed |= {"labels_from": variant.labels_from, "batches": variant.batches}
    columns = zip(STUDY_METRICS, zip(*variant.study))
    return {
        "id": variant.id,
        "settings": {"set": variant.changes, **followed},
        "study": {metric: mean(values) for metric, values in columns},
        "study_runs": [list(values) for values in variant.study],
    }


def _row(
    variant: Variant,
    outcomes: Mapping[str, Sequence[Outcome]],
    experiment: Experiment,
    arms: Arms,
    folders: Sequence[Path],
) -> dict[str, Any]:
    """One variant of the document: ours with interval, the study's, the difference from the first variant, how the runs ended."""
    test, first = arms.test.name, experiment.variants[0]
    compared = compare(outcomes[variant.id], outcomes[first.id], tests=[test])
    row: dict[str, Any] = {
        **_facts(variant),
        "runs": [f"{RUNS_FOLDER}/runs/{folder.name}" for folder in folders],
        "ours": compared.as_dict()["tests"][test]["first"],
        "final": arms.final(folders),
    }
    if variant is not first:
        row["difference"] = compared.as_dict()["tests"][test]["differences"]["mAP"]
        verdict = compared.tests[0].verdict
        row["verdict"] = {"A": "better", "B": "worse"}.get(verdict, verdict)
    return row


@dataclass(frozen=True)
class Trainings:
    """Variants that are trainings with known identities."""

    base: TrainSettings
    training: ReidDataset
    test: ReidDataset
    machine: Machine
    announce: Announce

    def run(self, variant: Variant, seed: int, done: Done) -> Path:
        """See `Arms`. Variants that follow another one read that one's log."""
        settings, machine = self._settings(variant, seed, done), self.machine
        folder, is_done = place_of(settings, self.training, machine)
        label = f"{variant.id}, seed {seed}"
        progress = self.announce(f"{label}: {'already trained' if is_done else 'training'}")
        how: dict[str, Any] = {"device": machine.device, "workers": machine.workers}
        fit(settings, [self.training], folder, progress=progress, data_root=machine.data_root, **how)
        run_test(folder, self.test, progress=self.announce(f"{label}: testing on {self.test.name}"), **how)
        return folder

    def _settings(self, variant: Variant, seed: int, done: Done) -> TrainSettings:
        changes = dict(variant.changes)
        if variant.replay is not None:
            leader = done[variant.replay, seed]
            schedule = make_folder(self.machine.runs / RUNS_FOLDER / "schedules") / f"{leader.name}.csv"
            write_atomic(schedule, effective_temperatures(leader).encode())
            changes["temperature_schedule"] = f"file:{schedule}"
        if variant.match_lr is not None:
            changes["classifier_lr_mult"] = mean_inverse_norm(done[variant.match_lr, seed])
        return self.base.replace(**changes, seed=seed)

    def final(self, folders: Sequence[Path]) -> dict[str, float | None]:
        """Norm of the class weights, effective temperature and loss of the last epoch."""
        last = [[row for row in read_log(folder) if row["event"] == "epoch"][-1] for folder in folders]
        return {key: mean(one[key] for one in last) for key in ("class_norm_median", "effective_temperature", "loss")}

    def facts(self) -> dict[str, Any]:
        """See `Arms`."""
        return {"train": self.training.name, "test": self.test.name, "base": self.base.as_dict()}


def place_of(settings: TrainSettings, training: ReidDataset, machine: Machine) -> tuple[Path, bool]:
    """The run folder of a training, and whether it is finished."""
    key = identify(settings, [training], device=machine.device, data_root=machine.data_root).train_key
    name = f"{training.name.replace(':', '-')}-seed{settings.seed}-{key[:12]}"
    folder = machine.runs / RUNS_FOLDER / "runs" / name
    return folder, is_finished(folder, key)


def mean_inverse_norm(run_folder: Path) -> float:
    """The mean over a training of 1 / median norm of the class weights: how much faster an equal step turns them.

    A step of Adam has about the length of the learning rate, so it turns a weight of norm n by about rate / n.
    """
    rows = [row for row in read_log(run_folder) if row["event"] == "epoch"]
    if not rows:
        raise InputError(f"the run '{run_folder}' has no finished epoch.")
    return round(mean(row["effective_temperature"] / row["temperature"] for row in rows), 4)
