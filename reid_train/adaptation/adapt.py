"""The page of an adaptation: inputs -> network as the source left it -> rounds -> result. Reads from top to bottom."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.claims import only_writer
from reid_data.costs import add_costs
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import InputError, UsageError
from reid_data.files import (
    AnyPath,
    make_folder,
    printable,
    require_space,
    settings_digest,
    sha256_file,
    sweep_temporary,
    write_atomic,
)
from reid_data.manifest import raised
from reid_data.parallel import default_workers
from reid_data.records import ReidDataset, over_matte
from reid_train.adaptation.feed import VERSIONS as FEED_VERSIONS
from reid_train.adaptation.feed import Feed
from reid_train.adaptation.heads import centroids
from reid_train.adaptation.labels import LABELS_FILE, Clustering, Labels, read_labels
from reid_train.adaptation.rounds import Adaptation, Progress
from reid_train.adaptation.target import in_memory, load_unlabelled, unlabelled
from reid_train.arithmetic import Arithmetic, resolve_amp
from reid_train.evaluation.rerank import VERSIONS as RERANK_VERSIONS
from reid_train.features.extract import Extraction, extract
from reid_train.graph.dbscan import VERSIONS as DBSCAN_VERSIONS
from reid_train.graph.distances import VERSIONS as PAIR_VERSIONS
from reid_train.model.norms import Shares, measure_statistics, split_norms
from reid_train.model.reid_net import ReidNet
from reid_train.model.weights import load_start
from reid_train.processes.group import barrier, num_processes, pick_device, process_group, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MENDED, MODEL_FILE, STATE_FILE, is_whole_model, load_model, load_state
from reid_train.runs.folder import RunIdentity
from reid_train.runs.result import RunResult, write_result
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.setting import differences
from reid_train.settings.train import TrainSettings, read_recipe
from reid_train.training.batches import TrainingSet
from reid_train.training.inputs import Inputs, resolve_inputs
from reid_train.training.parts import make_net, make_values, steps_an_epoch

logger = logging.getLogger("reid_train")
ADAPT_FILE = "adapt.toml"
SCHEMA = "adapt/1"


@dataclass(frozen=True)
class AdaptInputs:
    """What an adaptation reads, found and digested: what a training on the source reads, the target, labels of another run."""

    source: Inputs
    choices: AdaptSettings
    target: ReidDataset
    target_digest: str
    labels: Path | None

    @property
    def settings(self) -> TrainSettings:
        """Those of the training."""
        return self.source.settings

    @property
    def classes_from_start(self) -> bool:
        """Whether the classifier of the start weights' run goes on."""
        return self.choices.arm == "joint" and not self.choices.source_slots

    def identity(self, device_type: str, processes: int) -> RunIdentity:
        """What the adaptation is a function of, and its key."""
        base = self.source.identity(device_type, processes)
        digests = {**(base.digests if self.choices.arm == "joint" else {}), self.target.name: self.target_digest}
        labels = None if self.labels is None else sha256_file(self.labels)
        versions = raised(FEED_VERSIONS | PAIR_VERSIONS | DBSCAN_VERSIONS | RERANK_VERSIONS)
        own = [SCHEMA, base.train_key, self.choices.given("train"), list(digests.values()), labels, versions]
        return replace(base, train_key=settings_digest(own), train_sets=list(digests), digests=digests)


def adapt(
    settings: TrainSettings,
    choices: AdaptSettings,
    sources: Sequence[ReidDataset],
    target: ReidDataset,
    run_folder: AnyPath,
    *,
    labels_from: AnyPath | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    data_root: AnyPath | None = None,
) -> RunResult:
    """Adapt the model behind `settings.weights` to the train split of `target`, whose identities are not looked at.

    A round is an epoch of the settings. Continues an interrupted run, returns at once from a finished one; what is left is a
    run like that of a training: a plain network, with the target's batch normalisation. `sources`: the labelled sets that the
    model was trained on (the arm `joint` trains on them, the others use their names at most). `labels_from`: a run whose
    clusters are taken round by round. Raises ReidError: settings, sets or weights that do not go together, clusters that
    cannot be trained on.
    """
    run_folder, data_root = Path(run_folder), None if data_root is None else Path(data_root)
    place = pick_device(device)
    workers = default_workers() if workers is None else workers
    inputs = resolve(settings, choices, sources, target, labels_from=labels_from, data_root=data_root)
    identity = inputs.identity(place.type, num_processes())
    with process_group(place), only_writer(make_folder(run_folder)) if rank() == 0 else nullcontext():
        if rank() == 0:
            sweep_temporary(run_folder)
            _open(run_folder, inputs, identity)
        barrier()
        done, whole = runs.finished(run_folder, identity.train_key), is_whole_model(run_folder / MODEL_FILE)
        barrier()  # all have looked before one mends it
        if done is not None and whole:
            logger.info("the adaptation of %s is done already", printable(run_folder))
            return done
        if done is not None:
            logger.warning(MENDED, printable(run_folder), STATE_FILE)
        rounds = _make(inputs, identity, run_folder, place, workers)
        if done is not None and rounds.done == settings.epochs:
            return done
        rounds.run(workers, progress)
        result = _result(rounds, inputs)
        if rank() == 0:
            rounds.draw()
            add_costs(run_folder, **_costs(rounds))
            write_result(run_folder, result)
        barrier()
    return result


def resolve(
    settings: TrainSettings,
    choices: AdaptSettings,
    sources: Sequence[ReidDataset],
    target: ReidDataset,
    *,
    labels_from: AnyPath | None = None,
    data_root: Path | None = None,
    processes: int | None = None,
) -> AdaptInputs:
    """Find and digest what an adaptation reads; no image is decoded. Raises ReidError for what does not go together."""
    choices.check_training(settings, processes or num_processes())
    if choices.arm == "joint" and not sources:
        raise UsageError("--arm joint trains on the source's images, too: name it with --source.")
    target = unlabelled(over_matte(target, settings.matte_colour))
    if not target.train:
        raise InputError(f"{target.name} has no training image to adapt to.")
    inputs = resolve_inputs(settings, sources if choices.arm == "joint" else [target], data_root)
    if labels_from is not None and not choices.target_weight:
        raise UsageError("--labels-from labels target images, and --target-weight 0 uses none.")
    labels = None if labels_from is None else runs.run_of(labels_from) / LABELS_FILE
    if labels is not None and not labels.is_file():
        raise InputError(f"--labels-from: '{printable(labels)}' is not there. Expected the run of an adaptation.")
    return AdaptInputs(inputs, choices, target, dataset_digest(target), labels)


def _open(run_folder: Path, inputs: AdaptInputs, identity: RunIdentity) -> None:
    """Claim the folder for this adaptation, or raise UsageError, which says what differs, if it belongs to another.

    An adaptation that was refused in its first round has left nothing to keep: its folder is free.
    """
    path = run_folder / ADAPT_FILE
    if path.is_file() and not (run_folder / MODEL_FILE).is_file():
        for name in (runs.SETTINGS_FILE, runs.LOG_FILE):
            (run_folder / name).unlink(missing_ok=True)
    elif path.is_file():
        old = AdaptSettings().replace(**read_recipe(path))
        if changed := differences(old.as_dict("train"), inputs.choices.as_dict("train")):
            raise UsageError(
                f"the run '{printable(run_folder)}' was started with other settings:\n  " + "\n  ".join(changed)
                + "\nChoose another --name, or remove that folder."
            )  # fmt: skip
    runs.open_run(run_folder, inputs.settings, identity)
    write_atomic(path, inputs.choices.to_toml().encode("utf-8"))


def _make(
    inputs: AdaptInputs, identity: RunIdentity, run_folder: Path, place: torch.device, workers: int
) -> Adaptation:
    """Images, network, labels and values: every component, in the order in which they are made."""
    settings, choices = inputs.settings, inputs.choices
    source = inputs.source.training_set(workers) if "source" in choices.domains else None
    target = load_unlabelled(inputs.target, settings.height_width, workers=workers) if choices.target_weight else None
    mean, std = inputs.source.norm(workers)
    arithmetic = Arithmetic(place, resolve_amp(settings.amp, place), mean, std)
    classes = [] if source is None or choices.source_slots else source.classes
    net = make_net(settings, len(classes)).to(place)
    require_space(run_folder, 12 * sum(tensor.nbytes for tensor in net.state_dict().values()))
    if inputs.source.weights is not None:
        load_start(net, inputs.source.weights)
        if classes:
            _take_classifier(net, inputs.source.weights, classes)
    slots = None
    if choices.source_slots and load_state(run_folder / STATE_FILE) is None:
        assert source is not None
        slots = _source_slots(net, source, settings, arithmetic)
    shares = _split(net, choices)
    rounds = Adaptation(
        settings=settings,
        choices=choices,
        run_folder=run_folder,
        identity=identity,
        classes=classes,
        net=net,
        shares=shares,
        feed=Feed(settings, source, target, arithmetic, cameras=choices.target_cameras == "use"),
        labels=None if target is None else _labels(inputs, target, place),
        values=make_values(settings, steps_an_epoch(settings, 0), inputs.source.temperatures),
        arithmetic=arithmetic,
        slots=slots,
    )
    if rounds.resume() == 0 and choices.bn_warm == "target" and target is not None:
        _warm(net, target, arithmetic)
    return rounds


def _split(net: ReidNet, choices: AdaptSettings) -> Shares | None:
    """Batch normalisation by domain and groups; None where the plain one does the same."""
    banks = len(choices.domains) if choices.bn == "domain" else 1
    return split_norms(net, banks, choices.bn_group) if banks > 1 or choices.bn_group else None


def _take_classifier(net: ReidNet, path: Path, classes: Sequence[tuple[str, int]]) -> None:
    """The source's class weights out of its run's model. Raises InputError if that was trained on other people."""
    tensors, metadata = load_model(path)
    held = [tuple(one) for one in metadata.get("classes", [])]
    if held != list(classes):
        raise InputError(
            f"'{printable(path)}' tells {len(held)} people apart, the source has {len(classes)}, or others: --source must name "
            "the training sets of the run behind --from, as it was trained on them."
        )
    net.classifier.set_weights(tensors["classifier.weight"].to(net.classifier.weight.device))
    if net.log_temperature is not None and "log_temperature" in tensors:
        net.log_temperature.data.copy_(tensors["log_temperature"])


def _source_slots(net: ReidNet, source: TrainingSet, settings: TrainSettings, arithmetic: Arithmetic) -> torch.Tensor:
    """(S, D) unit mean features of the source's classes, as the network starts."""
    exact = Arithmetic(arithmetic.device, "none", **arithmetic.norm)
    how = Extraction(settings.height_width, "after")
    found = extract(net, source.records, how, exact, images=in_memory(source))
    return centroids(found.feats, np.array(source.labels)).to(arithmetic.device)


def _labels(inputs: AdaptInputs, target: TrainingSet, device: torch.device) -> Labels:
    """Clusters of the target's features, or another run's labels."""
    if inputs.labels is not None:
        return read_labels(inputs.labels, [record.name for record in target.records], inputs.settings.epochs)
    settings = inputs.settings
    return Clustering(inputs.choices, settings.batch_ids if settings.sampler == "pk" else 2, device)


def _warm(net: ReidNet, target: TrainingSet, arithmetic: Arithmetic) -> None:
    """The running statistics that tests use become the target's."""
    numbers = np.array_split(np.arange(len(target.records)), max(1, len(target.records) // 64))
    stacks = (torch.from_numpy(np.stack([target.image(int(number)) for number in part])) for part in numbers)
    measure_statistics(net, map(arithmetic.to_input, stacks))


def _result(rounds: Adaptation, inputs: AdaptInputs) -> RunResult:
    """The result of the finished adaptation, without any test."""
    last = {name: value for name, value in rounds.rows[-1].items() if name != "event"}
    source, target = rounds.feed.source, rounds.feed.target
    return RunResult(
        name=rounds.run_folder.name,
        **asdict(rounds.identity),
        settings=rounds.settings.as_dict("train"),
        norm=rounds.arithmetic.norm,
        num_classes=len(rounds.classes),
        num_images=sum(len(images.records) for images in (source, target) if images is not None),
        training=last,
        versions=runs.versions(),
        unreadable=rounds.unreadable(),
        kind="adapt",
        adaptation={"settings": rounds.choices.as_dict("train"), **_budget(rounds), "rounds": _round_rows(rounds)},
    )


def _budget(rounds: Adaptation) -> dict[str, int]:
    """Images that were trained on: of the target, and of both sites."""
    settings = rounds.settings
    images = settings.epochs * settings.iterations * settings.accumulation * settings.batch_size
    sites = (rounds.feed.source, rounds.feed.target)
    return {
        "target_images": images * (sites[1] is not None),
        "all_images": images * sum(one is not None for one in sites),
    }


def _round_rows(rounds: Adaptation) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "event"} for row in rounds.rows if row["event"] == "round"
    ]


def _costs(rounds: Adaptation) -> dict[str, Any]:
    """Time and memory, over all sessions that it took."""
    device, seconds = rounds.arithmetic.device, sum(rounds.seconds.values())
    return {
        "train_seconds": round(seconds, 3),
        "train_images_per_second": round(_budget(rounds)["all_images"] / max(rounds.seconds["train"], 1e-9), 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def plan(
    inputs: AdaptInputs, run_folder: Path, *, device: str = "auto", processes: int | None = None
) -> dict[str, Any]:
    """What `adapt` would do, after the same checks of settings, weights and device; writes nothing."""
    settings, choices = inputs.settings, inputs.choices
    identity = inputs.identity(pick_device(device).type, processes or num_processes())
    runs.check_run(run_folder, settings, identity)
    state = load_state(run_folder / STATE_FILE)
    done = runs.finished(run_folder, identity.train_key) is not None
    return {
        "run": str(run_folder),
        "state": "done" if done else "new" if state is None else f"goes on after round {state['round']}",
        "arm": choices.arm,
        "start": str(inputs.source.weights),
        "train": identity.train_sets,
        "target_images": len(inputs.target.train),
        "rounds": settings.epochs,
        "steps": settings.epochs * settings.iterations,
        "batch": f"{len(choices.domains)} x {settings.batch_size}",
        "device": identity.device_type,
        "weights_sha256": identity.weights_sha256,
        "train_key": identity.train_key,
    }
