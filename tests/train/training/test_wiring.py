"""Every setting, changed alone in a whole training or test, changes what its declaration says, and nothing else.

What is looked at lies where settings become components: the network that the first step gets, what becomes of a given
picture, the batches, learning rate and temperature of every step, then the weights that come out; of a test its features
and scores. A setting without a row in TRIALS fails.
"""

import copy
import hashlib
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reid_data.datasets import load_dataset
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_train import scoring, testing
from reid_train import trained as models
from reid_train.evaluation.per_query import PER_QUERY_FILE
from reid_train.features.extract import Features
from reid_train.model import reid_net
from reid_train.model.trunk import Trunk
from reid_train.runs.checkpoint import MODEL_FILE, load_model
from reid_train.runs.result import RunResult
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.setting import CHANGES
from reid_train.settings.train import TrainSettings, fields
from reid_train.training import inputs, training
from reid_train.training.fit import fit
from tests.data.people import write_people_set
from tests.train.conftest import build_tiny_backbone, make_transparent, small, write_tiny_set

SEAMS = ("network", "input", "batches", "steps")
SWAPS = {"background_swap": 0.5, "bg": "streets", "batch_ids": 2}
LINEAR = {"temperature_schedule": "linear"}
LOOSE = {"normalize": False}  # features of different lengths, so that the cosine is not the Euclidean distance again


@dataclass(frozen=True)
class Trial:
    """A value of a setting, and the other settings under which it matters (the setting's own value before it too)."""

    value: Any
    context: dict[str, Any]


def to(value: Any, **context: Any) -> Trial:
    """A trial in a few words."""
    return Trial(value, context)


TRIALS: dict[str, list[Trial]] = {
    "backbone": [to("resnet34")],
    "weights": [to("{folder}/start.safetensors")],
    "last_stride": [to(2)],
    "patch_stride": [to(12)],
    "drop_path": [to(0.5)],
    "pooling": [to("gem")],
    "embedding": [to(6)],
    "neck": [to("none")],
    "normalize": [to(False, temperature=1.0)],
    "classifier_init": [
        to("centroid"),
        to("centroid", embedding=6),
        to("centroid-calibrated", classifier_init="centroid", classifier_norm="project"),
    ],
    "classifier_norm": [to("project"), to("cosine")],
    "head": [to("arcface"), to("cosface"), to("cosface", head="arcface")],
    "margin": [to(0.5, head="arcface"), to(0.5, head="cosface")],
    "classifier_lr_mult": [to(10)],
    "temperature": [to(0.2), to(0.2, temperature_schedule="learned")],
    "temperature_schedule": [
        *map(to, ("log-up", "log-down", "linear", "learned", "file:{folder}/temperatures.csv")),
        to("cosine", **LINEAR, epochs=4),  # of three epochs both schedules give the same temperatures
    ],
    "temperature_end": [to(0.3, **LINEAR), to(0.3, temperature_schedule="cosine")],
    "size": [to("48x24")],
    "norm": [to("0.4,0.4,0.4/0.2,0.2,0.2"), to("tiny"), to("tiny:per-image", norm="tiny")],
    "flip": [to(0)],
    "pad_crop": [to(0)],
    "random_erasing": [to(0)],
    "background_swap": [to(1.0, **SWAPS)],
    "bg": [to("squares", **SWAPS)],
    "matte": [to("255,255,255", matte="0,0,0")],
    "sampler": [to("random")],
    "batch_ids": [to(3)],
    "batch_images": [to(3)],
    "epochs": [to(1)],
    "iterations": [to(2), to(0)],
    "accumulation": [to(2)],
    "label_smoothing": [to(0.1)],
    "triplet": [to(1.0), to(0.5, triplet=1.0)],
    "triplet_margin": [to("soft", triplet=1.0), to("0.6", triplet=1.0)],
    "centre": [to(0.1), to(0.5, centre=0.1)],
    "centre_rate": [to(0.9, centre=0.1)],
    "optimiser": [to("adamw"), to("sgd")],
    "lr": [to(0.02)],
    "weight_decay": [to(0.1), to(0.1, optimiser="sgd")],
    "decay_on": [to("weights", weight_decay=0.1)],
    "layer_decay": [to(0.5, backbone="resnet34")],
    "momentum": [to(0.5, optimiser="sgd")],
    "lr_schedule": [to("cosine"), to("constant", lr_step="1")],
    "lr_step": [to("1")],
    "lr_gamma": [to(0.5, lr_step="1")],
    "warmup_epochs": [to(1)],
    "warmup_factor": [to(0.5, warmup_epochs=1)],
    "amp": [to("bf16")],
    "seed": [to(1)],
    "tensorboard": [to(True)],
    "checkpoint_every": [to(2)],
    "test_feature": [to("before")],
    "flip_test": [to(True)],
    "metric": [to("euclidean", **LOOSE)],
    "protocol": [to("no-camera"), to("cuhk03")],
    "ap": [to("trapezoid")],
    "rerank": [to("5,2,0.3"), to("5,2,0.9", rerank="5,2,0.3"), to("5,3,0.3", rerank="5,2,0.3")],
    "expand": [to("3,1"), to("3,2000", expand="3,1"), to("2,1", expand="3,1")],
}


@dataclass
class Seen:
    """What one training showed: a digest for each seam, its weights and result, its files, the epochs of its checkpoints."""

    folder: Path
    seams: dict[str, str] = field(default_factory=dict)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    result: RunResult | None = None
    files: list[str] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)


def digest(*values: Any) -> str:
    """One text for tensors (with their shapes) and plain values."""
    found = hashlib.sha256()
    for value in values:
        tensor = isinstance(value, torch.Tensor)
        found.update(repr((tuple(value.shape), str(value.dtype))).encode() if tensor else repr(value).encode())
        found.update(value.detach().contiguous().numpy().tobytes() if tensor else b"")
    return found.hexdigest()


def named_backbone(name: str, *, last_stride: int, seed: int, size: Any, **how: float) -> Trunk:
    """The tiny backbone, another one under each name and with each change of it; one has stages."""
    trunk = build_tiny_backbone(name, last_stride=last_stride, seed=seed)
    if name == "resnet34":
        stages = OrderedDict(layer1=trunk.network, layer2=nn.Sequential(nn.BatchNorm2d(trunk.width)))
        return Trunk(nn.Sequential(stages), trunk.width)
    changes = [nn.Softsign() for value in how.values() if value]
    return trunk if not changes else Trunk(nn.Sequential(trunk.network, *changes), trunk.width)


@torch.no_grad()
def look_at_network(net: reid_net.ReidNet) -> str:
    """Its tensors by name, and what it makes of fixed inputs and labels while it trains."""
    made = copy.deepcopy(net).train()
    features = made(torch.rand((6, 3, 32, 16), generator=torch.Generator().manual_seed(0)))
    logits = made.classifier(features.classified, torch.arange(6) % 3, 1.0)
    state = [part for item in net.state_dict().items() for part in item]
    return digest(*state, *features, *logits)


class Lab:
    """Trains and tests in its own folder; what is trained once under some settings is not trained again."""

    def __init__(self, folder: Path, roots: Path) -> None:
        self.folder, self.roots = folder, roots
        self.seen: dict[TrainSettings, Seen] = {}
        self.scored: dict[tuple[Path, TrainSettings], tuple[str, str]] = {}

    def settings(self, **values: Any) -> TrainSettings:
        """Small settings; `{folder}` in a text is where the files of this test are."""
        return small(
            **{
                name: value.format(folder=self.folder) if isinstance(value, str) else value
                for name, value in values.items()
            }
        )

    def dataset(self, settings: TrainSettings) -> ReidDataset:
        """People with masks for what pastes them elsewhere, transparent ones for a matte, else the two-coloured pictures."""
        name = "people" if settings.background_swap else "tiny" if settings.matte == "none" else "glass"
        return load_dataset(name, self.roots)

    def train(self, settings: TrainSettings) -> Seen:
        """One whole training, watched."""
        if settings not in self.seen:
            seen = Seen(self.folder / str(len(self.seen)) / "run")
            with pytest.MonkeyPatch.context() as patch:
                self._watch(patch, seen)
                sets = [self.dataset(settings)]
                seen.result = fit(settings, sets, seen.folder, device="cpu", workers=1, data_root=self.roots)
            seen.weights = load_model(seen.folder / MODEL_FILE)[0]
            seen.files = sorted({str(path.relative_to(seen.folder).parts[0]) for path in seen.folder.rglob("*")})
            self.seen[settings] = seen
        return self.seen[settings]

    def _watch(self, patch: pytest.MonkeyPatch, seen: Seen) -> None:
        """Note what every epoch gets, and when the state is saved."""
        real, save = training.train_epoch, training.save_state
        signature = inspect.signature(real)
        batches: list[Any] = []
        steps: list[Any] = []

        def epoch(*args: Any, **kwargs: Any) -> dict[str, float]:
            call = signature.bind(*args, **kwargs)
            given = call.arguments
            if not seen.seams:
                picture = torch.arange(2 * 8 * 8 * 3, dtype=torch.uint8).view(2, 8, 8, 3)
                seen.seams["network"] = look_at_network(given["learner"].net)
                seen.seams["input"] = digest(given["learner"].criterion.arithmetic.to_input(picture))
            given["batches"] = noted(given["batches"], batches, lambda batch: digest(*batch))
            values, known = given["values"], {}

            def value(step: int) -> Any:
                known[step] = tuple(values(step))
                return values(step)

            given["values"] = value
            row = real(*call.args, **call.kwargs)
            steps.append(sorted(known.items()))
            seen.seams |= {"batches": digest(batches), "steps": digest(steps)}
            return row

        def saved(path: Path, state: dict[str, Any]) -> None:
            seen.checkpoints.append(state["epoch"])
            save(path, state)

        patch.setattr(reid_net, "build_backbone", named_backbone)
        patch.setattr(inputs, "_segmenter", PrecomputedSegmenter)
        patch.setattr(training, "train_epoch", epoch)
        patch.setattr(training, "save_state", saved)

    def test(self, trained: Seen, settings: TrainSettings) -> tuple[str, str]:
        """Digests of the features and of the scores, query by query, of a trained network."""
        if (trained.folder, settings) in self.scored:
            return self.scored[trained.folder, settings]
        real, found = models.extract, []

        def extract(*args: Any, **kwargs: Any) -> Any:
            features = real(*args, **kwargs)
            found.append(torch.from_numpy(features.feats))
            return features

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reid_net, "build_backbone", named_backbone)
            patch.setattr(models, "extract", extract)
            hard = load_dataset("hard", self.roots)
            result = testing.test(trained.folder, hard, device="cpu", workers=1, changes=settings.as_dict("test"))
        with np.load(trained.folder / "tests" / "hard" / PER_QUERY_FILE, allow_pickle=False) as rows:
            scores = [rows[name].tolist() for name in ("ap", "inp", "first_match")]
        assert all(math.isfinite(value) for value in result.metrics["hard"].values())
        assert len(found) == 2, "features of query and gallery"
        self.scored[trained.folder, settings] = digest(*found), digest(scores, sorted(result.metrics["hard"].items()))
        return self.scored[trained.folder, settings]


def noted(batches: Iterator[Any], notes: list[Any], note: Callable[[Any], Any]) -> Iterator[Any]:
    """The same batches, each noted as it passes."""
    for batch in batches:
        notes.append(note(batch))
        yield batch


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The sets, the files that settings name, and what has been trained so far."""
    roots, folder = tmp_path_factory.mktemp("roots"), tmp_path_factory.mktemp("lab")
    write_tiny_set(roots / "tiny")
    write_tiny_set(roots / "hard", seed=5, num_ids=12, contrast=4)  # people who are confused, so that scores can change
    write_tiny_set(roots / "glass")
    make_transparent(roots / "glass")
    write_people_set(roots / "people", num_ids=3)
    write_people_set(roots / "streets", 3, seed=100, extras=False)
    write_people_set(roots / "squares", 3, seed=200, extras=False)
    (folder / "temperatures.csv").write_text("epoch,temperature\n1,0.5\n2,0.25\n")
    lab = Lab(folder, roots)
    start = lab.train(small(seed=9))
    (start.folder / MODEL_FILE).rename(folder / "start.safetensors")
    return lab


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two networks have the same tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def pair(lab: Lab, name: str, trial: Trial) -> tuple[TrainSettings, TrainSettings]:
    """The settings of the trial's context, and with the one setting changed."""
    base, changed = lab.settings(**trial.context), lab.settings(**{**trial.context, name: trial.value})
    assert [one for one in fields() if getattr(base, one) != getattr(changed, one)] == [name], (
        "no trial of this setting"
    )
    return base, changed


def of_stage(*stages: str) -> list[str]:
    """The settings of these stages."""
    return [name for name, entry in fields().items() if entry.metadata["stage"] in stages]


def test_every_setting_has_a_trial() -> None:
    assert list(TRIALS) == list(fields()), (
        "a new setting needs a row in TRIALS: a value, and under which others it matters"
    )
    assert all(TRIALS.values())
    declared = [*fields().values(), *AdaptSettings.declared().values()]
    assert {word for entry in declared for word in entry.metadata["changes"]} == set(CHANGES)


@pytest.mark.parametrize("name", of_stage("train"))
def test_a_setting_of_the_training_changes_what_it_says(name: str, lab: Lab) -> None:
    found = set()
    for trial in TRIALS[name]:
        base, changed = (lab.train(settings) for settings in pair(lab, name, trial))
        differing = {seam for seam in SEAMS if base.seams[seam] != changed.seams[seam]}
        assert not same(base.weights, changed.weights), f"{trial}: the weights are those of the unchanged setting"
        assert changed.result is not None
        assert math.isfinite(changed.result.training["loss"])
        found |= differing or {"update"}  # same network, inputs, batches and values, other weights: it is in the step
    assert found == set(fields()[name].metadata["changes"])


@pytest.mark.parametrize("name", of_stage("run"))
def test_a_setting_of_the_run_changes_no_result(name: str, lab: Lab) -> None:
    for trial in TRIALS[name]:
        base, changed = (lab.train(settings) for settings in pair(lab, name, trial))
        assert (base.seams, base.result) == (changed.seams, changed.result)
        assert same(base.weights, changed.weights)
        assert (base.files, base.checkpoints) != (changed.files, changed.checkpoints), "what it is there for"


@pytest.mark.parametrize("name", of_stage("test"))
def test_a_setting_of_the_tests_changes_what_it_says(name: str, lab: Lab) -> None:
    found = set()
    for trial in TRIALS[name]:
        base, changed = pair(lab, name, trial)
        trained = lab.train(base)
        retrained = lab.train(changed)
        assert (trained.seams, trained.result) == (retrained.seams, retrained.result), "a test changes no training"
        assert same(trained.weights, retrained.weights)
        before, after = lab.test(trained, base), lab.test(trained, changed)
        assert before[1] != after[1], f"{trial}: the scores are those of the unchanged setting"
        found.add("features" if before[0] != after[0] else "scores")
    assert found == set(fields()[name].metadata["changes"])


def test_the_seed_also_draws_the_galleries_of_cuhk03(lab: Lab) -> None:
    settings = small(protocol="cuhk03")
    rows = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    people = load_dataset("hard", lab.roots)
    query, gallery = (Features(rows[: len(side)], side[:24], []) for side in (list(people.query), list(people.gallery)))
    one, same_one, other = (
        scoring.rank(query, gallery, settings.replace(seed=seed), "cpu").metrics() for seed in (0, 0, 1)
    )
    assert one == same_one
    assert one != other
