"""One epoch of training: batches in, weights moved, one row of facts out. No hooks."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn, optim

from reid_data.errors import InputError
from reid_train.arithmetic import Arithmetic
from reid_train.model.reid_net import Embedded, ReidNet
from reid_train.processes.group import average_gradients, gather_rows, mean_over_processes
from reid_train.training import losses


class StepValues(NamedTuple):
    """What the schedules give one step: the learning rate and the temperature (None: the learned one is in force)."""

    lr: float
    temperature: float | None


class Images(Protocol):
    """A batch as the engine needs it: images (N, H, W, 3) uint8, labels (N,), record numbers (N,)."""

    @property
    def images(self) -> Tensor: ...

    @property
    def labels(self) -> Tensor: ...

    @property
    def numbers(self) -> Tensor: ...


@dataclass(frozen=True)
class Objective:
    """Cross-entropy with `smoothing`, plus weighted triplet (margin None: soft) and centre losses before the neck."""

    smoothing: float = 0.0
    triplet: float = 0.0
    triplet_margin: float | None = 0.3
    centre: float = 0.0
    centre_rate: float = 0.5


def build_optimiser(
    net: ReidNet, kind: str, *, weight_decay: float, momentum: float, classifier_lr_mult: float
) -> optim.Optimizer:
    """The optimiser over all trainable parameters; each group's `lr_mult` scales the learning rate that a step sets.

    A learned temperature is not decayed. One pass over the weights (`fused`): 4 to 7 times as fast as the default on a CPU.
    """
    classifier = set(net.classifier.parameters())
    rest = [
        parameter
        for parameter in net.parameters()
        if parameter.requires_grad and parameter not in classifier and parameter is not net.log_temperature
    ]
    groups = [
        {"params": rest, "lr_mult": 1.0, "weight_decay": weight_decay},
        {"params": list(net.classifier.parameters()), "lr_mult": classifier_lr_mult, "weight_decay": weight_decay},
    ]
    if net.log_temperature is not None:
        groups.append({"params": [net.log_temperature], "lr_mult": 1.0, "weight_decay": 0.0})
    if kind == "sgd":
        return optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[kind](groups, lr=0.0, fused=True)


class Means:
    """Running means of named values; values that are not finite (a skipped fp16 step's gradient) are left out."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, **values: float) -> None:
        """Take in one value for each name."""
        for name, value in values.items():
            if math.isfinite(value):
                self.sums.setdefault(name, []).append(value)

    def row(self) -> dict[str, float]:
        """The mean of each name."""
        return {name: math.fsum(values) / len(values) for name, values in self.sums.items()}


def _as_names(numbers: Tensor) -> list[str]:
    return [f"image {number}" for number in numbers.tolist()]


def train_epoch(
    net: ReidNet,
    batches: Iterable[Images],
    optimiser: optim.Optimizer,
    values: Callable[[int], StepValues],
    *,
    objective: Objective,
    arithmetic: Arithmetic,
    accumulation: int = 1,
    names: Callable[[Tensor], Sequence[str]] = _as_names,
    watch: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Train over `batches`, `accumulation` of them to a step; `values(step)` gives learning rate and temperature of step 0, 1, ...

    Returns the epoch's means (loss and its parts, accuracy 0..1, lr, temperature, effective temperature = T / median
    class-weight norm, feature norm after the neck, gradient norm) and the class-weight norms at its end. `names` turns
    record numbers into file names for the error on a loss that is not finite (InputError); `watch(step)` is called after
    each step. Batches beyond the last full step are not used.
    """
    net.train()
    means = Means()
    optimiser.zero_grad(set_to_none=True)
    for number, batch in enumerate(batches):
        step = number // accumulation
        now = values(step)
        _check_labels(net, batch, names)
        loss, facts = _forward(net, batch, now, objective, arithmetic)
        if not math.isfinite(facts["loss"]):
            raise InputError(_not_finite(facts["loss"], step, now, names(batch.numbers)))
        means.add(**facts)
        arithmetic.scaler.scale(loss / accumulation).backward()
        if (number + 1) % accumulation == 0:
            means.add(gradient_norm=_update(net, optimiser, now.lr, arithmetic.scaler), lr=now.lr)
            if watch is not None:
                watch(step)
    norms = net.classifier.weight.detach().norm(dim=1)
    last = {"min": norms.min(), "median": norms.median(), "max": norms.max()}
    return {**mean_over_processes(means.row()), **{f"class_norm_{name}": float(value) for name, value in last.items()}}


def _forward(
    net: ReidNet, batch: Images, now: StepValues, objective: Objective, arithmetic: Arithmetic
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch, and its facts, which come from the device all at once."""
    labels = batch.labels.to(arithmetic.device, non_blocking=True)
    temperature = now.temperature if net.log_temperature is None else net.log_temperature.exp()
    assert temperature is not None, "a step without a temperature needs a network that learns it"
    with arithmetic.autocast():
        features = net(arithmetic.to_input(batch.images))
    logits, scores = net.classifier(features.classified, labels, temperature)
    metric = _metric_losses(net, features, labels, objective)
    entropy = losses.cross_entropy(logits, labels, objective.smoothing)
    loss = torch.stack([entropy, *metric.values()]).sum()
    with torch.no_grad():
        tensors = {
            "loss": loss,
            "loss_ce": entropy,
            **metric,
            "accuracy": (scores.argmax(1) == labels).float().mean(),
            "feature_norm": features.after.norm(dim=1).mean(),
            "class_norm": net.classifier.effective_norms().median(),
        }
        if isinstance(temperature, Tensor):
            tensors["temperature"] = temperature
        facts = dict(zip(tensors, torch.stack([value.float() for value in tensors.values()]).tolist()))
    facts.setdefault("temperature", temperature)
    facts["effective_temperature"] = facts["temperature"] / max(facts.pop("class_norm"), 1e-12)
    return loss, facts


def _metric_losses(net: ReidNet, features: Embedded, labels: Tensor, objective: Objective) -> dict[str, Tensor]:
    """The weighted losses beside cross-entropy; with several processes their candidates come from all of them."""
    parts = {}
    if objective.triplet:
        pool, pool_labels = gather_rows(features.before), gather_rows(labels)
        loss = losses.batch_hard_triplet(
            features.before, labels, objective.triplet_margin, others_MD=pool, other_labels_M=pool_labels
        )
        parts["loss_triplet"] = objective.triplet * loss
    if objective.centre:
        assert net.centres is not None
        parts["loss_centre"] = objective.centre * losses.centre_loss(features.before, labels, net.centres)
        moved = losses.moved_centres(
            net.centres, gather_rows(features.before.detach()), gather_rows(labels), objective.centre_rate
        )
        net.centres = moved
    return parts


def _update(net: nn.Module, optimiser: optim.Optimizer, lr: float, scaler: torch.amp.GradScaler) -> float:
    """One step of the optimiser at `lr`; the norm of the whole gradient before it."""
    parameters = [parameter for parameter in net.parameters() if parameter.grad is not None]
    average_gradients(parameters)  # before the scaler looks for overflows, so that all processes find the same ones
    scaler.unscale_(optimiser)
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_mult"]
    scaler.step(optimiser)
    scaler.update()
    optimiser.zero_grad(set_to_none=True)
    return float(norm)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch could not get memory, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def fits(net: ReidNet, num_images: int, size: tuple[int, int], arithmetic: Arithmetic) -> bool:
    """Whether a forward and backward of `num_images` images of `size` = (height, width) get the memory they need."""
    images = torch.zeros((num_images, *size, 3), dtype=torch.uint8)
    labels = torch.arange(num_images, device=arithmetic.device) % len(net.classifier.weight)
    try:
        with arithmetic.autocast():
            features = net(arithmetic.to_input(images))
        net.classifier(features.classified, labels, 1.0)[0].sum().backward()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        net.zero_grad(set_to_none=True)
        if arithmetic.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def _check_labels(net: ReidNet, batch: Images, names: Callable[[Tensor], Sequence[str]]) -> None:
    """Raise InputError on a label that the classifier does not have (on a GPU it would stop the whole process)."""
    num_classes = len(net.classifier.weight)
    wrong = (batch.labels < 0) | (batch.labels >= num_classes)
    if bool(wrong.any()):
        label, name = int(batch.labels[wrong][0]), names(batch.numbers[wrong])[0]
        raise InputError(
            f"{name} has the label {label}, the classifier has {num_classes} classes (0 to {num_classes - 1})."
        )


def _not_finite(loss: float, step: int, now: StepValues, names: Sequence[str]) -> str:
    shown = ", ".join(names[:64]) + (f" and {len(names) - 64} more" if len(names) > 64 else "")
    temperature = "learned" if now.temperature is None else f"{now.temperature:g}"
    return (
        f"the loss became {loss} at step {step + 1} of the epoch (learning rate {now.lr:g}, temperature {temperature}). "
        f"Lower --lr, raise --temperature, or look at the images of the batch: {shown}."
    )
