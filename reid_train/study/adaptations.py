"""Variants of an experiment that are adaptations: from one source run a seed, to one site without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from reid_data.costs import read_costs
from reid_data.records import ReidDataset
from reid_train.adaptation.adapt import adapt, resolve
from reid_train.adaptation.start import ITERATIONS, ROUNDS, settings_of_start
from reid_train.matrix.cells import Machine
from reid_train.processes.group import pick_device
from reid_train.runs.folder import finished
from reid_train.runs.result import read_result
from reid_train.settings.adaptation import AdaptSettings, divided
from reid_train.settings.train import TrainSettings
from reid_train.study.ablation import RUNS_FOLDER, Announce, Done, Trainings
from reid_train.study.experiments import Variant
from reid_train.testing import test as run_test


@dataclass(frozen=True)
class Adaptations:
    """Variants that adapt what `source` trains; `changes`: settings of the base of all, of both kinds."""

    source: Trainings
    target: ReidDataset
    test: ReidDataset
    changes: dict[str, Any]

    @property
    def machine(self) -> Machine:
        """Where and how they run."""
        return self.source.machine

    @property
    def announce(self) -> Announce:
        """Where progress goes."""
        return self.source.announce

    def run(self, variant: Variant, seed: int, done: Done) -> Path:
        """See `Arms`; a variant of no batches is the source's run as it is."""
        start = self.source.run(Variant("source"), seed, {})
        how: dict[str, Any] = {"device": self.machine.device, "workers": self.machine.workers}
        label = f"{variant.id}, seed {seed}"
        folder = self._adapt(variant, seed, start, done, label) if variant.batches else start
        run_test(folder, self.test, progress=self.announce(f"{label}: testing on {self.test.name}"), **how)
        return folder

    def _adapt(self, variant: Variant, seed: int, start: Path, done: Done, label: str) -> Path:
        machine = self.machine
        for_training, own = divided({**self.changes, **variant.changes})
        choices = AdaptSettings().replace(**own)
        alone = choices.arm == "target-only"
        base = self.source.base.replace(epochs=ROUNDS, iterations=ITERATIONS) if alone else settings_of_start(start)
        settings = base.replace(**for_training, seed=seed)
        settings = settings.replace(batch_ids=settings.batch_ids * variant.batches)
        given = settings, choices, [self.source.training], self.target
        how: dict[str, Any] = {"labels_from": None if variant.labels_from is None else done[variant.labels_from, seed]}
        how["data_root"] = machine.data_root
        key = resolve(*given, **how).identity(pick_device(machine.device).type, 1).train_key
        names = f"{self.source.training.name}-to-{self.target.name}".replace(":", "-")
        folder = machine.runs / RUNS_FOLDER / "runs" / f"{names}-seed{seed}-{key[:12]}"
        is_done = folder.is_dir() and finished(folder, key) is not None
        progress = self.announce(f"{label}: {'already adapted' if is_done else 'adapting'}")
        adapt(*given, folder, progress=progress, device=machine.device, workers=machine.workers, **how)
        return folder

    def final(self, folders: Sequence[Path]) -> dict[str, float | None]:
        """Clusters and outliers of the last round, images trained on beyond the source's run, seconds."""
        results = [result for result in map(read_result, folders) if result is not None]
        rounds = [result.adaptation["rounds"][-1] for result in results if result.adaptation.get("rounds")]
        adapted = [result.adaptation for result in results if result.kind == "adapt"]
        found: dict[str, float | None] = {
            name: mean(row[name] for row in rounds) if rounds else None for name in ("clusters", "outliers")
        }
        found |= {
            name: mean(row[name] for row in adapted) if adapted else 0 for name in ("target_images", "all_images")
        }
        seconds = [read_costs(folder)["train_seconds"] for folder in folders] if adapted else [0.0]
        return {**found, "seconds": mean(seconds)}

    def facts(self) -> dict[str, Any]:
        """See `Arms`."""
        return {**self.source.facts(), "target": self.target.name, "test": self.test.name, "adapt": self.changes}


def adaptation_changes(scale: dict[str, Any], typed: dict[str, Any]) -> dict[str, Any]:
    """Settings of the base of all adaptations, of a scale and as typed, where `rounds` are epochs. Raises UsageError."""
    changes = {"epochs" if name == "rounds" else name: value for name, value in {**scale, **typed}.items()}
    for_training, own = divided(changes)
    TrainSettings().replace(**for_training)
    AdaptSettings().replace(**own)
    return changes
