"""The training page: data -> network -> training -> result, then the tests. Reads from top to bottom."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from reid_data.compose.in_training import TrainingSwap, prepare_swap, swap_digest
from reid_data.datasets import load_dataset
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import UsageError
from reid_data.files import make_folder, only_writer, printable, require_space, sha256_file, sweep_temporary
from reid_data.parallel import default_workers
from reid_data.records import Record, ReidDataset, relabel
from reid_data.segment import DEFAULT_SEGMENTER, build_segmenter
from reid_data.segment.base import Segmenter
from reid_data.segment.small_net import SmallSegmenter
from reid_train.arithmetic import Arithmetic, resolve_amp
from reid_train.model.weights import load_start, weights_path
from reid_train.processes.group import barrier, num_processes, pick_device, process_group, rank
from reid_train.runs import folder as runs
from reid_train.runs.checkpoint import STATE_FILE, load_state
from reid_train.runs.folder import RunIdentity, test_key, train_key
from reid_train.runs.result import RunResult, write_result
from reid_train.settings.train import TrainSettings
from reid_train.testing import TrainedModel, load_trained, test
from reid_train.training.batches import channel_norm, identity_space, load_training_set
from reid_train.training.parts import make_net
from reid_train.training.samplers import num_iterations
from reid_train.training.training import Training

__all__ = ["TrainedModel", "fit", "identify", "is_finished", "load_trained", "plan", "test", "test_key", "train_key"]
logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]


def fit(
    settings: TrainSettings,
    datasets: Sequence[ReidDataset],
    run_folder: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    data_root: Path | None = None,
) -> RunResult:
    """Train on the train splits of `datasets`; continue an interrupted run, return at once from a finished one.

    `device`: auto, cpu, cuda or cuda:N. `workers`: processes that decode (and, on CUDA, augment); they change no result.
    `progress(step, steps)`. `data_root`: where `--norm NAME` finds its set. Raises ReidError: weights that are missing,
    settings that do not fit the data or the run that is already in `run_folder`, a loss that is not finite.
    """
    place = pick_device(device)
    workers = default_workers() if workers is None else workers
    identity = identify(settings, datasets, device=device, data_root=data_root)
    with process_group(place), only_writer(make_folder(run_folder)) if rank() == 0 else nullcontext():
        if rank() == 0:
            sweep_temporary(run_folder)
            runs.open_run(run_folder, settings, identity)
        barrier()
        if (done := runs.finished(run_folder, identity.train_key)) is not None:
            logger.info("the training of %s is done already", printable(run_folder))
            return done
        images = load_training_set(datasets, settings.height_width, workers=workers)
        images = replace(images, swap=_swap(settings, datasets, data_root, images.records, workers))
        logger.info("%d images of %d identities to train on", len(images.records), len(images.classes))
        mean, std = settings.norm_numbers or _measured_norm(settings, datasets, data_root, workers)
        net = make_net(settings, len(images.classes))
        require_space(run_folder, 8 * sum(tensor.nbytes for tensor in net.state_dict().values()))
        if (start := weights_path(settings.weights, settings.backbone)) is not None:
            load_start(net, start)
        arithmetic = Arithmetic(place, resolve_amp(settings.amp, place), mean, std)
        training = Training(settings, run_folder, identity, images, net.to(place), arithmetic)
        training.run(workers, progress)
        result = training.result()
        if rank() == 0:
            training.draw()
            runs.add_costs(run_folder, **training.costs())
            write_result(run_folder, result)
        barrier()
    return result


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
        "steps": settings.epochs
        * num_iterations(settings.iterations, len(records), settings.batch_size * settings.accumulation),
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

    `processes`: how many train together (default: as many as were started); they are part of the device type, because
    batch normalisation sees each one's share of a batch.
    """
    names = [dataset.name for dataset in datasets]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"training sets must be named, and each once; got {', '.join(names) or 'none'}.")
    if (settings.background_swap > 0) != (settings.bg != "none"):
        raise UsageError("--background-swap P and --bg SET belong together: give both, or neither.")
    processes = processes or num_processes()
    device_type = pick_device(device).type + (f" x {processes}" if processes > 1 else "")
    start = weights_path(settings.weights, settings.backbone)
    weights_sha256 = None if start is None else sha256_file(start)
    norm_set = _norm_set(settings, datasets, data_root)
    swap = swap_digest(_named(settings.bg, datasets, data_root), _segmenter()) if settings.background_swap else None
    digests = [dataset_digest(dataset) for dataset in datasets]
    norm_digest = None if norm_set is None else dataset_digest(norm_set)
    key = train_key(settings, digests, weights_sha256, device_type, norm_digest=norm_digest, swap_digest=swap)
    return RunIdentity(key, names, dict(zip(names, digests)), weights_sha256, device_type)


def is_finished(run_folder: Path, key: str) -> bool:
    """Whether `run_folder` holds the finished training of this key."""
    return runs.finished(run_folder, key) is not None


def _norm_set(settings: TrainSettings, datasets: Sequence[ReidDataset], data_root: Path | None) -> ReidDataset | None:
    """The set whose channel statistics `--norm NAME` asks for: one of the training sets, else loaded; None for numbers."""
    if settings.norm_numbers is not None:
        return None
    return _named(settings.norm.removesuffix(":per-image"), datasets, data_root)


def _named(name: str, datasets: Sequence[ReidDataset], data_root: Path | None) -> ReidDataset:
    """One of the training sets, else loaded."""
    found = next((dataset for dataset in datasets if dataset.name == name), None)
    return found or load_dataset(name, data_root or Path("data"))


def _segmenter() -> Segmenter:
    """The default segmenter, on the processor: masks that loader processes may ask for, and the same on every machine."""
    segmenter = build_segmenter(DEFAULT_SEGMENTER)
    return replace(segmenter, device="cpu") if isinstance(segmenter, SmallSegmenter) else segmenter


def _swap(
    settings: TrainSettings,
    datasets: Sequence[ReidDataset],
    data_root: Path | None,
    records: Sequence[Record],
    workers: int,
) -> TrainingSwap | None:
    """Masks and plates for `--background-swap`; of several processes the first makes them, the others find them kept."""
    if not settings.background_swap:
        return None
    bg = _named(settings.bg, datasets, data_root)
    if rank() > 0:
        barrier()
    swap = prepare_swap(
        records, bg, _segmenter(), probability=settings.background_swap, seed=settings.seed, workers=workers
    )
    if rank() == 0:
        barrier()
    logger.info(
        "%d of %d images may get one of %d backgrounds of %s", swap.usable, swap.images, len(swap.swap.paths), bg.name
    )
    return swap


def _measured_norm(
    settings: TrainSettings, datasets: Sequence[ReidDataset], data_root: Path | None, workers: int
) -> tuple[Sequence[float], Sequence[float]]:
    norm_set = _norm_set(settings, datasets, data_root)
    assert norm_set is not None
    per_image = settings.norm.endswith(":per-image")
    return channel_norm(norm_set, settings.height_width, workers, per_image=per_image)
