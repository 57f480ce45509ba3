"""One epoch: what a step does, and what it records."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from reid_data.errors import InputError, UsageError
from reid_train.arithmetic import Arithmetic, resolve_amp
from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.processes.group import num_processes
from reid_train.training.batches import Batch
from reid_train.training.criterion import Objective, StepValues, Supervised
from reid_train.training.epoch import Learner, build_optimiser, fits, is_out_of_memory, train_epoch

pytestmark = pytest.mark.usefixtures("tiny_backbone")
CPU = torch.device("cpu")


def make_batches(count: int, size: int = 6, classes: int = 3, seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Batch(
            torch.randint(0, 256, (size, 32, 16, 3), generator=generator, dtype=torch.uint8),
            torch.arange(size) % classes,
            torch.arange(size) + size * number,
        )
        for number in range(count)
    ]


def make_net(classes: int = 3, **spec: object) -> ReidNet:
    return build_net(NetSpec(**spec), classes, 0)  # type: ignore[arg-type]


def train(
    net: ReidNet,
    batches: Sequence[Batch],
    *,
    lr: float = 0.01,
    temperature: float | None = 0.1,
    objective: Objective = Objective(),  # noqa: B008 - frozen
    accumulation: int = 1,
    kind: str = "sgd",
    lr_mult: float = 1.0,
) -> dict[str, float]:
    return train_epoch(
        make_learner(net, objective, kind=kind, lr_mult=lr_mult),
        batches,
        lambda step: StepValues(lr, temperature),
        accumulation=accumulation,
        names=lambda numbers: [f"{number}.jpg" for number in numbers.tolist()],
    )


def make_learner(
    net: ReidNet,
    objective: Objective = Objective(),  # noqa: B008 - frozen
    *,
    kind: str = "sgd",
    lr_mult: float = 1.0,
    amp: str = "none",
) -> Learner:
    arithmetic = Arithmetic(CPU, amp, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    criterion = Supervised(net, objective, arithmetic)
    optimiser = build_optimiser(net, criterion, kind, weight_decay=0, momentum=0, classifier_lr_mult=lr_mult)
    return Learner(net, criterion, optimiser, arithmetic.scaler)


def weights_of(net: ReidNet) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def test_images_are_normalised_once() -> None:
    images = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    images[0, 0, 1] = torch.tensor([255, 0, 51])
    found = Arithmetic(CPU, "none", (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)).to_input(images)
    assert found.shape == (1, 3, 2, 2)
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor([2.5, -2.0, -1.0]))


def test_a_step_moves_against_the_gradient() -> None:
    net, batches = make_net(), make_batches(1)
    first = train(net, batches, lr=0.05)["loss"]
    again = [train(net, batches, lr=0.05)["loss"] for _ in range(20)][-1]
    assert first == pytest.approx(math.log(3), abs=0.05), "small random weights start near chance"
    assert again < first / 2


def test_the_row_of_facts() -> None:
    net = make_net()
    row = train(net, make_batches(3), lr=1e-9, temperature=0.2)
    norms = net.classifier.weight.detach().norm(dim=1)
    assert row["temperature"] == pytest.approx(0.2)
    assert row["effective_temperature"] == pytest.approx(0.2 / float(norms.median()), rel=1e-3)
    assert row["class_norm_min"] == pytest.approx(float(norms.min()))
    assert row["class_norm_max"] == pytest.approx(float(norms.max()))
    assert 0 <= row["accuracy"] <= 1
    assert row["gradient_norm"] > 0
    assert row["feature_norm"] == pytest.approx(math.sqrt(12), rel=0.05), "12 features of unit variance after the neck"
    assert row["lr"] == pytest.approx(1e-9)


@pytest.mark.parametrize("norm", ["project", "cosine"])
def test_unit_classes_have_the_temperature_itself(norm: str) -> None:
    row = train(make_net(classifier_norm=norm), make_batches(2), temperature=0.2)
    assert row["effective_temperature"] == pytest.approx(0.2, rel=1e-5)


def test_the_gradient_norm_and_the_learning_rate_are_those_of_the_step() -> None:
    net = make_net()
    before = weights_of(net)
    row = train(net, make_batches(1), lr=0.03)
    assert float((weights_of(net) - before).norm()) == pytest.approx(0.03 * row["gradient_norm"], rel=1e-4)


def test_the_classifier_s_own_learning_rate() -> None:
    nets = [make_net(), make_net()]
    start = nets[0].classifier.weight.detach().clone()
    for net, factor in zip(nets, (1, 10)):
        train(net, make_batches(1), lr_mult=factor)
    moves = [net.classifier.weight.detach() - start for net in nets]
    torch.testing.assert_close(moves[1], 10 * moves[0], rtol=1e-4, atol=1e-9)
    assert torch.equal(nets[0].backbone.conv1.weight, nets[1].backbone.conv1.weight)


def test_accumulated_batches_are_one_large_batch() -> None:
    """Without batch normalisation in training mode the mean gradient of two halves is that of the whole."""
    halves = make_batches(2)
    whole = [Batch(*(torch.cat(parts) for parts in zip(*(half[:3] for half in halves))))]
    nets = [make_net(neck="none"), make_net(neck="none")]
    for net in nets:
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.0
                module.train = lambda mode=True, module=module: module  # type: ignore[method-assign,misc]
                module.training = False
    train(nets[0], halves, accumulation=2)
    train(nets[1], whole)
    torch.testing.assert_close(weights_of(nets[0]), weights_of(nets[1]), rtol=1e-5, atol=1e-7)


def test_batches_beyond_the_last_full_step_are_not_used() -> None:
    nets = [make_net(), make_net()]
    train(nets[0], make_batches(2), accumulation=2)
    train(nets[1], make_batches(3), accumulation=2)
    assert torch.equal(weights_of(nets[0]), weights_of(nets[1]))


def test_a_learned_temperature_moves_and_is_recorded() -> None:
    net = make_net(learned_temperature=0.3)
    row = train(net, make_batches(4), temperature=None, lr=0.5)
    assert row["temperature"] != pytest.approx(0.3, rel=1e-4)
    assert float(net.log_temperature.detach().exp()) != pytest.approx(0.3, rel=1e-4)  # type: ignore[union-attr]


def test_metric_losses_are_weighted_and_recorded() -> None:
    objective = Objective(triplet=2.0, triplet_margin=0.5, centre=0.1)
    net = make_net(centres=True)
    row = train(net, make_batches(1), objective=objective)
    assert row["loss"] == pytest.approx(row["loss_ce"] + row["loss_triplet"] + row["loss_centre"], rel=1e-5)
    assert net.centres is not None
    assert float(net.centres.norm()) > 0, "centres move towards the features"
    assert row["loss_triplet"] > 0


def test_a_loss_that_is_not_finite_stops_with_the_batch_s_names() -> None:
    net = make_net()
    with torch.no_grad():
        net.backbone.conv1.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"nan at step 1 .*learning rate 0.01, temperature 0.1.*0.jpg, 1.jpg, 2.jpg"):
        train(net, make_batches(2))


def test_of_a_large_batch_three_names_are_shown() -> None:
    net = make_net()
    with torch.no_grad():
        net.backbone.conv1.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"batch: 0.jpg, 1.jpg, 2.jpg and 61 more\.$"):
        train(net, make_batches(1, size=64))


def test_labels_out_of_range_are_an_error() -> None:
    with pytest.raises(InputError, match=r"2.jpg has the label 2, the classifier has 2 classes \(0 to 1\)"):
        train(make_net(classes=2), make_batches(1, classes=3))


def test_the_bias_of_the_neck_stays_zero() -> None:
    net = make_net()
    train(net, make_batches(3), kind="adam", lr=0.1)
    assert torch.equal(net.neck.bias, torch.zeros(12))


def test_autocast_choices() -> None:
    assert resolve_amp("auto", CPU) == "none"
    assert resolve_amp("auto", torch.device("cuda")) == "bf16"
    assert resolve_amp("bf16", CPU) == "bf16"
    with pytest.raises(UsageError, match="--amp fp16 needs a CUDA device"):
        Arithmetic(CPU, "fp16", (0, 0, 0), (1, 1, 1))


def test_autocast_on_a_cpu_trains() -> None:
    learner = make_learner(make_net(), kind="adamw", amp="bf16")
    row = train_epoch(learner, make_batches(2), lambda step: StepValues(0.01, 0.1))
    assert math.isfinite(row["loss"])


def test_what_fits_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_net()
    learner, batch = make_learner(net), make_batches(1, size=16)[0]
    real = net.backbone.forward

    def limited(images: Tensor) -> Tensor:
        if len(images) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(images)

    monkeypatch.setattr(net.backbone, "forward", limited)
    values = StepValues(0.01, 0.1)
    assert [fits(learner, batch, size, values) for size in (16, 9, 8, 2)] == [False, False, True, True]
    assert all(parameter.grad is None for parameter in net.parameters())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


def test_what_fits_does_not_wait_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there: to gather the triplets' candidates would fail."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    learner = make_learner(make_net(), Objective(triplet=1.0))
    assert fits(learner, make_batches(1)[0], 4, StepValues(0.01, 0.1))
    assert num_processes() == 2
