"""Train the small segmenter: bank -> samples -> steps -> averaged weights. Scheduled by steps, resumable, one thread is enough."""

import copy
import io
import json
import math
import pickle
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reid_data.claims import only_writer
from reid_data.costs import add_costs, read_costs
from reid_data.devices import choose_device
from reid_data.errors import EnvironmentFault, UsageError
from reid_data.files import make_folder, printable, sweep_temporary, write_atomic
from reid_data.manifest import Form, differences, raised
from reid_data.parallel import ordered_map
from reid_data.seals import require_intact, sealed
from reid_data.segment.network import PedestrianNet, fold_norms, load_weights, to_input
from reid_data.segment.small_net import BUNDLED, bundled_weights
from reid_data.train_segmenter.bank import Sources, bank_digest, build_bank, sources_digest
from reid_data.train_segmenter.optimizer import SegmenterOptimizer
from reid_data.train_segmenter.samples import VERSIONS as SAMPLE_VERSIONS
from reid_data.train_segmenter.samples import Bank, Mixture, make_batch

VERSIONS = {"segmenter-steps": 1}  # mask_loss, share_of_rate, averaging
TRAINING_VERSIONS = {**SAMPLE_VERSIONS, **VERSIONS}

BANK = "bank"
STATE = "state.pt"
LOG = "log.jsonl"
UNLABELLED = 0.10
"""In the later part of a run an empty sample in which so much is surely a person counts as a labelling fault: the photographs'
labels leave small and half-hidden people out."""


@dataclass(frozen=True)
class TrainSettings:
    """One training run.

    `rate` is AdamW's peak learning rate, `matrix_rate` Muon's for the inner convolutions (0: AdamW moves them, too), `warmup`
    the share of the steps until the peak, `weight_decay` that of all weights but biases and norms, `average` the decay of
    the averaged weights, `trust_after` the share of the steps after which UNLABELLED applies, `start` a bundled network's
    name or a weights file to fine-tune. `bf16`: passes in bfloat16 on a processor (a GPU always does): faster
    where it has avx512_bf16 or AMX, slower elsewhere.
    """

    steps: int = 6000
    batch: int = 32
    rate: float = 4e-3
    matrix_rate: float = 0.03
    warmup: float = 0.04
    weight_decay: float = 0.1
    average: float = 0.998
    trust_after: float = 0.35
    empty: float = 0.13
    drawn: float = 0.17
    seed: int = 0
    start: str = ""
    bf16: bool = False


FORM = Form("train-segmenter", 1, asdict(TrainSettings()))


@dataclass
class State:
    """Everything that a resumed run needs besides its settings."""

    net: PedestrianNet
    optimizer: SegmenterOptimizer
    averaged: PedestrianNet
    step: int


def share_of_rate(step: int, settings: TrainSettings) -> float:
    """What share of the peak learning rates step number `step` uses: linear warm-up, then half a cosine to zero at `steps`."""
    done = (step + 1) / settings.steps
    if done < settings.warmup:
        return done / settings.warmup
    return 0.5 * (1 + math.cos(math.pi * (done - settings.warmup) / (1 - settings.warmup)))


def mask_loss(logits: Tensor, target: Tensor, *, forgive: bool = False) -> Tensor:
    """Cross entropy, 2.5-fold within 2 pixels of the outline, plus half the soft Dice loss; (N, 1, H, W) each, target 0..1.

    With `forgive`, empty samples in which more than UNLABELLED of the pixels are surely a person do not count.
    """
    solid = (target > 0.5).float()
    band = functional.max_pool2d(solid, 5, 1, 2) + functional.max_pool2d(1 - solid, 5, 1, 2) - 1
    weight = 1 + 1.5 * band
    cross = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = torch.sigmoid(logits)
    cross = (cross * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    common = (chance * target).sum((1, 2, 3))
    dice = 1 - (2 * common + 40) / (chance.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 40)
    loss = cross + 0.5 * dice
    if forgive:
        sure = (chance.detach() > 0.7).float().mean((1, 2, 3))
        loss = loss * ~((target.amax((1, 2, 3)) == 0) & (sure > UNLABELLED))
    return loss.mean()


def train_segmenter(
    work: Path,
    sources: Sources,
    settings: TrainSettings,
    *,
    workers: int = 1,
    device: str = "cpu",
    gathered: Callable[[Bank], None] = lambda bank: None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PedestrianNet, Bank]:
    """Gather the sources in `work`/bank, call `gathered`, then `train` in `work`; the folded average and the bank.

    The same call goes on where a stopped one was. Raises EnvironmentFault, before anything is touched, when `work` holds a run
    with other settings or other pictures, InputError for sources that cannot be used.
    """
    choose_device(device)
    _network(settings)  # a bad start file shows now
    make_folder(work)
    with only_writer(work):
        _refuse_other(_read_state(work / STATE), settings, sources_digest(sources), work)
        sweep_temporary(work)
        bank = build_bank(work / BANK, sources, workers)
        gathered(bank)
        return train(work / BANK, work, settings, workers=workers, device=device, progress=progress), bank


def train(
    bank: Path,
    folder: Path,
    settings: TrainSettings,
    *,
    workers: int = 1,
    device: str = "cpu",
    checkpoint_every: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> PedestrianNet:
    """Train on the bank in `bank`; state and log go to `folder`, from which a stopped run continues. Returns the folded average.

    The caller sees to it that nobody else trains in `folder` (`only_writer`), as `train_segmenter` does. The result depends
    on `settings`, the bank, the kind of device and torch's number of threads, not on `workers`; on a
    processor not on interruptions either (a GPU's sums may round differently from run to run). Of the settings only
    `steps` may differ from the stopped run's (then the schedule bends at that step), and not be less than it has done.
    Raises EnvironmentFault when others do, UsageError when the loss is no longer a number.
    """
    make_folder(folder)
    digest = bank_digest(bank)
    state = _resume(folder, settings, digest, device)
    began, first, before = time.monotonic(), state.step, read_costs(folder).get("train_seconds", 0.0)
    for images, masks in _batches(bank, settings, state.step, workers):
        loss = _step(state, images, masks, settings, device)
        if not math.isfinite(loss):
            raise UsageError(
                f"the loss is not a number after {state.step} steps. Lower --rate and --matrix-rate, in another --work folder."
            )
        state.step += 1
        if state.step % checkpoint_every == 0 or state.step == settings.steps:
            _save(folder, state, settings, digest)
            _log(folder, {"step": state.step, "steps": settings.steps, "loss": round(loss, 4)})
            seconds = time.monotonic() - began
            speed = (state.step - first) * settings.batch / seconds
            add_costs(folder, train_seconds=round(before + seconds, 3), train_images_per_second=round(speed, 1))
        if progress is not None:
            progress(state.step, settings.steps)
    return fold_norms(copy.deepcopy(state.averaged).cpu().float())


def _batches(bank: Path, settings: TrainSettings, first: int, workers: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    maker = _BatchMaker(bank, Mixture(settings.empty, settings.drawn), settings.seed, settings.batch)
    yield from ordered_map(maker, range(first, settings.steps), workers, chunk=1)


@dataclass(frozen=True)
class _BatchMaker:
    """The batch of a step, out of the bank in `folder`."""

    folder: Path
    mixture: Mixture
    seed: int
    size: int

    @cached_property
    def bank(self) -> Bank:
        """The bank; memory-mapped."""
        return Bank.open(self.folder)

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return make_batch(self.bank, self.mixture, self.seed, step, self.size)


def _step(state: State, images: np.ndarray, masks: np.ndarray, settings: TrainSettings, device: str) -> float:
    x = to_input(images).to(device, memory_format=torch.channels_last)
    target = torch.from_numpy(masks).to(device).float().div_(255)[:, None]
    state.net.train()
    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=settings.bf16 or device.startswith("cuda")):
        logits = state.net(x)
    loss = mask_loss(logits.float(), target, forgive=state.step > settings.trust_after * settings.steps)
    state.net.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 2.0)
    state.optimizer.step(share_of_rate(state.step, settings))
    _average(state, min(settings.average, (1 + state.step) / (10 + state.step)))
    return float(loss.detach())


@torch.no_grad()
def _average(state: State, decay: float) -> None:
    for kept, new in zip(state.averaged.state_dict().values(), state.net.state_dict().values()):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _network(settings: TrainSettings) -> PedestrianNet:
    """A new network, or the one to fine-tune (which has no batch norms left)."""
    if settings.start:
        return load_weights(start_path(settings.start)).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return PedestrianNet()


def start_path(start: str) -> Path:
    """The weights file that `TrainSettings.start` names: a bundled network's name, or a path."""
    return bundled_weights(start) if start in BUNDLED else Path(start).expanduser()


def _resume(folder: Path, settings: TrainSettings, bank: str, device: str) -> State:
    net = _network(settings).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = SegmenterOptimizer(
        net, rate=settings.rate, matrix_rate=settings.matrix_rate, weight_decay=settings.weight_decay
    )
    state = State(net, optimizer, copy.deepcopy(net).requires_grad_(False), 0)
    saved = _read_state(folder / STATE)
    if saved is None:
        return state
    _refuse_other(saved, settings, bank, folder)
    try:
        net.load_state_dict(saved["net"])
        state.averaged.load_state_dict(saved["averaged"])
        optimizer.load_state_dict(saved["optimizer"])
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder / STATE) from error
    state.step = saved["step"]
    return state


def _refuse_other(saved: dict[str, Any] | None, settings: TrainSettings, bank: str, folder: Path) -> None:
    """Raise unless the run whose state was saved may go on with these settings and the bank of this digest."""
    if saved is None:
        return
    if saved.get("settings_schema", 1) != FORM.schema:
        raise EnvironmentFault(
            f"'{printable(folder)}' holds a run that another version of this tool began, whose settings cannot be compared with "
            "these. Give another --work folder."
        )
    found, wanted = FORM.defaults | saved["settings"], asdict(settings)
    different = [
        f"{key} {found.get(key)!r} (now {wanted[key]!r})"
        for key in sorted(wanted)
        if key != "steps" and found.get(key) != wanted[key]
    ]
    different += differences({"versions": saved.get("versions", {})}, raised(TRAINING_VERSIONS))
    if saved["bank"] != bank:
        different.append("the pictures, their masks or the number of synthetic crops (now others)")
    if settings.steps < saved["step"]:
        different.append(f"{saved['step']} steps done (now {settings.steps} wanted)")
    if different:
        raise EnvironmentFault(
            f"'{printable(folder)}' holds a run with other settings: {', '.join(different)}. Give the same, or another --work "
            "folder."
        )


def _read_state(path: Path) -> dict[str, Any] | None:
    """A saved state, None when there is none. Raises EnvironmentFault for a file that is no such state."""
    if not path.exists():
        return None
    try:
        require_intact(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        good = {"net", "averaged", "optimizer", "step", "settings", "bank"} <= set(saved)
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, struct.error, pickle.UnpicklingError) as error:
        raise _damaged(path) from error
    if not good:
        raise _damaged(path)
    return dict(saved)


def _damaged(path: Path) -> EnvironmentFault:
    return EnvironmentFault(
        f"'{printable(path)}' is not the state of such a training. Remove it to begin anew, or choose another --work folder."
    )


def _save(folder: Path, state: State, settings: TrainSettings, bank: str) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "net": state.net.state_dict(),
            "averaged": state.averaged.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "settings": asdict(settings),
            "settings_schema": FORM.schema,
            "bank": bank,
            **raised(TRAINING_VERSIONS),
        },
        buffer,
    )
    write_atomic(folder / STATE, sealed(buffer.getvalue()), sync=True)


def _log(folder: Path, row: dict[str, Any]) -> None:
    with open(folder / LOG, "a", encoding="ascii") as file:
        file.write(json.dumps(row) + "\n")
