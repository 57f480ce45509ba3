"""Train the small segmenter: bank -> samples -> steps -> averaged weights. Scheduled by steps, resumable, one thread is enough."""

import copy
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import make_folder, only_writer, printable, write_atomic
from reid_data.parallel import ordered_map
from reid_data.segment.network import PedestrianNet, fold_norms, load_weights, to_input
from reid_data.segment.train_samples import Bank, Mixture, make_batch
from reid_data.segmenter_optimizer import SegmenterOptimizer

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
    the averaged weights, `trust_after` the share of the steps after which UNLABELLED applies, `start` a weights file to
    fine-tune. `bf16`: passes in bfloat16 on a processor (a GPU always does): 1.6 times as fast where it has avx512_bf16
    or AMX, slower elsewhere.
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

    The result depends on `settings`, the bank and the device's arithmetic alone, not on `workers` or interruptions. Only
    `steps` may differ from the stopped run's (then the schedule bends at that step). Raises EnvironmentFault when other
    settings do.
    """
    make_folder(folder)
    with only_writer(folder):
        state = _resume(folder, settings, device)
        began, first = time.monotonic(), state.step
        for images, masks in _batches(bank, settings, state.step, workers):
            loss = _step(state, images, masks, settings, device)
            state.step += 1
            if state.step % checkpoint_every == 0 or state.step == settings.steps:
                _save(folder, state, settings)
                speed = (state.step - first) * settings.batch / (time.monotonic() - began)
                _log(
                    folder,
                    {
                        "step": state.step,
                        "steps": settings.steps,
                        "loss": round(loss, 4),
                        "samples_per_s": round(speed, 1),
                    },
                )
            if progress is not None:
                progress(state.step, settings.steps)
    return fold_norms(copy.deepcopy(state.averaged).cpu().float())


def averaged_so_far(folder: Path) -> PedestrianNet:
    """The folded averaged network of a run that may still be under way. Raises InputError when there is none."""
    saved = _read_state(folder / STATE)
    if saved is None:
        raise InputError(f"'{printable(folder)}' holds no training state yet.")
    settings = TrainSettings(**saved["settings"])
    net = _network(settings)
    net.load_state_dict(saved["averaged"])
    return fold_norms(net)


def _batches(bank: Path, settings: TrainSettings, first: int, workers: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    mixture = Mixture(settings.empty, settings.drawn)
    function = partial(_make, mixture, settings.seed, settings.batch)
    yield from ordered_map(
        function, range(first, settings.steps), workers, chunk=1, initializer=_open_bank, initargs=(str(bank),)
    )


_opened: list[Bank] = []


def _open_bank(folder: str) -> None:
    _opened[:] = [Bank.open(Path(folder))]


def _make(mixture: Mixture, seed: int, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    return make_batch(_opened[0], mixture, seed, step, size)


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
        return load_weights(Path(settings.start)).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return PedestrianNet()


def _resume(folder: Path, settings: TrainSettings, device: str) -> State:
    net = _network(settings).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = SegmenterOptimizer(
        net, rate=settings.rate, matrix_rate=settings.matrix_rate, weight_decay=settings.weight_decay
    )
    state = State(net, optimizer, copy.deepcopy(net).requires_grad_(False), 0)
    saved = _read_state(folder / STATE)
    if saved is None:
        return state
    _refuse_other(saved["settings"], asdict(settings), folder)
    net.load_state_dict(saved["net"])
    state.averaged.load_state_dict(saved["averaged"])
    optimizer.load_state_dict(saved["optimizer"])
    state.step = saved["step"]
    return state


def _refuse_other(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    different = sorted(key for key in wanted if key != "steps" and found.get(key) != wanted[key])
    if different:
        listed = ", ".join(f"{key} {found.get(key)!r} (now {wanted[key]!r})" for key in different)
        raise EnvironmentFault(
            f"'{printable(folder)}' holds a run with other settings: {listed}. Give the same, or another --work folder."
        )


def _read_state(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)


def _save(folder: Path, state: State, settings: TrainSettings) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "net": state.net.state_dict(),
            "averaged": state.averaged.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "settings": asdict(settings),
        },
        buffer,
    )
    write_atomic(folder / STATE, buffer.getvalue())


def _log(folder: Path, row: dict[str, Any]) -> None:
    with open(folder / LOG, "a", encoding="ascii") as file:
        file.write(json.dumps(row) + "\n")
