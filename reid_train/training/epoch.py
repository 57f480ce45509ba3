"""One epoch of training: batches in, weights moved, one row of facts out. No hooks."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from reid_data.errors import InputError
from reid_train.model.reid_net import ReidNet
from reid_train.processes.group import alone, average_gradients
from reid_train.training.batches import Batch
from reid_train.training.criterion import Criterion, StepValues
from reid_train.training.facts import Means, numbers
from reid_train.training.groups import parameter_groups

SHOWN_NAMES = 3


@dataclass
class Learner:
    """What a training moves: the network and what its criterion has of its own, by an optimiser, with fp16's scaler."""

    net: ReidNet
    criterion: Criterion
    optimiser: optim.Optimizer
    scaler: torch.amp.GradScaler

    def parameters(self) -> list[nn.Parameter]:
        """The network's parameters, then those that only the criterion has."""
        return list(dict.fromkeys([*self.net.parameters(), *self.criterion.parameters()]))

    def step(self, lr: float) -> float:
        """One step of the optimiser at `lr`; the norm of the whole gradient before it."""
        parameters = [parameter for parameter in self.parameters() if parameter.grad is not None]
        average_gradients(parameters)  # before the scaler looks for overflows, so that all processes find the same ones
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["lr_mult"]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs of it: tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.net.load_state_dict(state["net"])
        self.criterion.load_state_dict(state["criterion"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])


def build_optimiser(
    net: ReidNet,
    criterion: Criterion,
    kind: str,
    *,
    weight_decay: float,
    momentum: float,
    classifier_lr_mult: float,
    decay_on: str = "auto",
    layer_decay: float = 1.0,
) -> optim.Optimizer:
    """The optimiser over all trainable parameters; each group's `lr_mult` scales the learning rate that a step sets.

    The criterion's parameters have a rate of their own; a learned temperature is not decayed; of the others see
    `parameter_groups`. One pass over the weights (`fused`): 4 to 7 times as fast as the default on a CPU.
    """
    own = dict.fromkeys(criterion.parameters())
    groups = [
        *parameter_groups(net, own, weight_decay=weight_decay, decay_on=decay_on, layer_decay=layer_decay),
        {"params": list(own), "lr_mult": classifier_lr_mult, "weight_decay": weight_decay},
    ]
    if net.log_temperature is not None:
        groups.append({"params": [net.log_temperature], "lr_mult": 1.0, "weight_decay": 0.0})
    if kind == "sgd":
        return optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[kind](groups, lr=0.0, fused=True)


def _as_names(numbers: Tensor) -> list[str]:
    return [f"image {number}" for number in numbers.tolist()]


def train_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    values: Callable[[int], StepValues],
    *,
    accumulation: int = 1,
    names: Callable[[Tensor], Sequence[str]] = _as_names,
    watch: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Train over `batches`, `accumulation` of them to a step; `values(step)` gives learning rate and temperature of step 0, 1, ...

    Returns the epoch's means (loss and its parts, lr, gradient norm) and the facts of the criterion. `names` turns record
    numbers into file names for the errors (InputError) on an image that cannot be learned from and on a loss that is not
    finite; `watch(step)` is called after each step. Batches beyond the last full step are not used.
    """
    criterion = learner.criterion
    learner.net.train()
    means = Means()
    learner.optimiser.zero_grad(set_to_none=True)
    for number, batch in enumerate(batches):
        step = number // accumulation
        now = values(step)
        if (wrong := criterion.check(batch)) is not None:
            row, reason = wrong
            raise InputError(f"{names(batch.numbers[row : row + 1])[0]} {reason}.")
        parts = criterion.losses(learner.net, batch, now)
        loss = torch.stack(list(parts.values())).sum()
        found = numbers({"loss": loss, **parts})
        if not math.isfinite(found["loss"]):
            raise InputError(_not_finite(found["loss"], step, now, names(batch.numbers)))
        means.add(**found)
        learner.scaler.scale(loss / accumulation).backward()
        last = (number + 1) % accumulation == 0
        if last:
            means.add(gradient_norm=learner.step(now.lr), lr=now.lr)
        criterion.after_step(batch)
        if last and watch is not None:
            watch(step)
    return {**means.row(), **criterion.facts()}


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch could not get memory, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def fits(learner: Learner, batch: Batch, num_images: int, values: StepValues) -> bool:
    """Whether forward and backward of `num_images` images of `batch`, of each domain its share, get the memory they need.

    Other processes are not waited for: they may have had enough.
    """
    size = len(batch.images)
    by_domain = torch.arange(size) if batch.domain is None else batch.domain.argsort(stable=True)
    part = batch.rows(by_domain[torch.arange(num_images) * size // num_images])
    try:
        with alone():
            losses = learner.criterion.losses(learner.net, part, values)
            torch.stack(list(losses.values())).sum().backward()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        learner.optimiser.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return True


def _not_finite(loss: float, step: int, now: StepValues, names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES]) + (
        f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    )
    temperature = "learned" if now.temperature is None else f"{now.temperature:g}"
    return (
        f"the loss became {loss} at step {step + 1} of the epoch (learning rate {now.lr:g}, temperature {temperature}). "
        f"Lower --lr, raise --temperature, or look at the images of the batch: {shown}."
    )
