"""The training page: inputs -> network and criterion -> training -> result. Reads from top to bottom."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from reid_data.claims import only_writer
from reid_data.costs import add_costs
from reid_data.files import AnyPath, make_folder, printable, require_space, sweep_temporary
from reid_data.parallel import default_workers
from reid_data.records import ReidDataset, relabel
from reid_train.arithmetic import Arithmetic, resolve_amp
from reid_train.model.weights import load_start
from reid_train.processes.group import barrier, num_processes, pick_device, process_group, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import MENDED, MODEL_FILE, STATE_FILE, is_whole_model, load_state
from reid_train.runs.folder import RunIdentity
from reid_train.runs.result import RunResult, write_result
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import identity_space
from reid_train.training.inputs import Inputs, resolve_inputs
from reid_train.training.parts import (
    check_net,
    make_batches,
    make_learner,
    make_net,
    make_values,
    start_classifier,
    steps_an_epoch,
)
from reid_train.training.schedules import warmup
from reid_train.training.training import Training

logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]


def fit(
    settings: TrainSettings,
    datasets: Sequence[ReidDataset],
    run_folder: AnyPath,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    data_root: AnyPath | None = None,
    allow_partial: bool = False,
) -> RunResult:
    """Train on the train splits of `datasets`; continue an interrupted run, return at once from a finished one.

    `device`: auto, cpu, cuda or cuda:N. `workers`: processes that decode (and, on CUDA, augment); they change no result.
    `progress(step, steps)`. `data_root`: where `--norm NAME` finds its set. `allow_partial`: a weight file may fill a part of
    the backbone. Raises ReidError: weights that are missing,
    settings that do not fit the data or the run that is already in `run_folder`, a loss that is not finite.
    """
    run_folder, data_root = Path(run_folder), None if data_root is None else Path(data_root)
    place = pick_device(device)
    workers = default_workers() if workers is None else workers
    inputs = resolve_inputs(settings, datasets, data_root)
    identity = inputs.identity(place.type, num_processes())
    _remark(settings)
    with process_group(place), only_writer(make_folder(run_folder)) if rank() == 0 else nullcontext():
        if rank() == 0:
            sweep_temporary(run_folder)
            runs.open_run(run_folder, settings, identity)
        barrier()
        done = runs.finished(run_folder, identity.train_key)
        whole = is_whole_model(run_folder / MODEL_FILE)
        barrier()  # all have looked before one mends it
        if done is not None and whole:
            logger.info("the training of %s is done already", printable(run_folder))
            return done
        if done is not None:
            logger.warning(MENDED, printable(run_folder), STATE_FILE)
        training = _make_training(inputs, identity, run_folder, place, workers, allow_partial)
        resumed = training.resume()
        if done is not None and resumed == settings.epochs:
            return done
        if resumed == 0:
            start_classifier(settings, training.learner.net, training.images, training.arithmetic, workers)
        training.run(workers, progress)
        result = training.result()
        if rank() == 0:
            training.draw()
            add_costs(run_folder, **training.costs())
            write_result(run_folder, result)
        barrier()
    return result


def _remark(settings: TrainSettings) -> None:
    """Say what can be meant, but hardly is."""
    if settings.warmup_epochs > settings.epochs and rank() == 0:
        reached = warmup(settings.epochs, settings.warmup_epochs, settings.warmup_factor)
        logger.warning(
            "the warm-up of %d epochs is not over when the training of %d ends: at most %.0f %% of --lr is reached. "
            "Lower --warmup-epochs, or raise --epochs.",
            settings.warmup_epochs,
            settings.epochs,
            100 * reached,
        )


def _make_training(
    inputs: Inputs, identity: RunIdentity, run_folder: Path, place: torch.device, workers: int, allow_partial: bool
) -> Training:
    """Images, network, what it learns by, batches and values: every component, in the order in which they are made."""
    settings = inputs.settings
    check_net(settings)
    images = inputs.training_set(workers)
    mean, std = inputs.norm(workers)
    net = make_net(settings, len(images.classes))
    require_space(run_folder, 8 * sum(tensor.nbytes for tensor in net.state_dict().values()))
    if inputs.weights is not None:
        load_start(net, inputs.weights, allow_partial=allow_partial)
    arithmetic = Arithmetic(place, resolve_amp(settings.amp, place), mean, std)
    learner = make_learner(settings, net.to(place), arithmetic)
    batches = make_batches(settings, images, arithmetic)
    values = make_values(settings, steps_an_epoch(settings, len(images.records)), inputs.temperatures)
    return Training(settings, run_folder, identity, images, learner, batches, values, arithmetic)


def plan(
    settings: TrainSettings,
    datasets: Sequence[ReidDataset],
    run_folder: Path,
    *,
    device: str = "auto",
    data_root: Path | None = None,
    processes: int | None = None,
) -> dict[str, Any]:
    """What `fit` would do, after the same checks of settings, weights and device; writes nothing."""
    identity = identify(settings, datasets, device=device, data_root=data_root, processes=processes)
    check_net(settings)
    _remark(settings)
    runs.check_run(run_folder, settings, identity)
    done = is_finished(run_folder, identity.train_key)
    state = load_state(run_folder / STATE_FILE)
    records = [record for dataset in datasets for record in dataset.train]
    return {
        "run": str(run_folder),
        "state": "done" if done else "new" if state is None else f"goes on after epoch {state['epoch']}",
        "train": identity.train_sets,
        "images": len(records),
        "identities": len({(identity_space(dataset), pid) for dataset in datasets for pid in relabel(dataset.train)}),
        "epochs": settings.epochs,
        "steps": settings.epochs * steps_an_epoch(settings, len(records)),
        "batch": settings.batch_size,
        "device": identity.device_type,
        "weights_sha256": identity.weights_sha256,
        "train_key": identity.train_key,
    }


def identify(
    settings: TrainSettings,
    datasets: Sequence[ReidDataset],
    *,
    device: str = "auto",
    data_root: Path | None = None,
    processes: int | None = None,
) -> RunIdentity:
    """What the training is a function of, and its key. Raises ReidError for weights, sets or a device that are not there.

    `processes`: how many train together (default: as many as were started).
    """
    inputs = resolve_inputs(settings, datasets, data_root)
    return inputs.identity(pick_device(device).type, processes or num_processes())


def is_finished(run_folder: Path, key: str) -> bool:
    """Whether `run_folder` holds the finished training of this key."""
    return runs.finished(run_folder, key) is not None
