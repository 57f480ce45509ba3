"""The seam between the loop and what is learned: a second criterion with two domains, parameters and a state of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_data.errors import EnvironmentFault, InputError
from reid_data.records import ReidDataset
from reid_train.arithmetic import Arithmetic
from reid_train.model import poolings
from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.runs.checkpoint import load_model, load_state
from reid_train.runs.folder import RunIdentity, read_log
from reid_train.training.batches import Batch, TrainingSet, load_training_set
from reid_train.training.criterion import Criterion, Objective, StepValues, Supervised
from reid_train.training.epoch import Learner, build_optimiser, train_epoch
from reid_train.training.facts import Means
from reid_train.training.parts import make_batches, make_net, make_values
from reid_train.training.training import Training
from tests.train.conftest import small

pytestmark = pytest.mark.usefixtures("tiny_backbone")
CPU = torch.device("cpu")
ARITHMETIC = Arithmetic(CPU, "none", (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
CLASSES = 8


class TwoDomains(nn.Module):
    """Domain 0 learns by the network's classifier, domain 1 by a head of its own and a memory that no gradient moves."""

    def __init__(self, net: ReidNet, num_classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.head = nn.Parameter(torch.randn(num_classes, net.num_features, generator=generator))
        self.register_buffer("memory", torch.zeros(num_classes, net.num_features))
        self.forwards: list[int] = []
        self.means, self.seen = Means(), (torch.zeros(0), torch.zeros(0))

    def check(self, batch: Batch) -> tuple[int, str] | None:
        wrong = (batch.labels >= len(self.head)).nonzero()
        return (int(wrong[0]), "is of no cluster") if len(wrong) else None

    def losses(self, net: ReidNet, batch: Batch, values: StepValues) -> dict[str, Tensor]:
        assert batch.domain is not None
        found = {}
        for number, name in enumerate(("source", "target")):
            part = batch.rows(batch.domain == number)
            self.forwards.append(len(part.images))
            features = net(ARITHMETIC.to_input(part.images)).classified
            weight = net.classifier.weight if number == 0 else self.head
            found[f"loss_{name}"] = F.cross_entropy(features @ weight.T / values.temperature, part.labels)
        self.seen = features.detach(), part.labels
        found["loss_memory"] = 0.1 * (features - self.memory[part.labels]).square().mean()
        self.means.add(target_images=len(part.images))
        return found

    @torch.no_grad()
    def after_step(self, batch: Batch) -> None:
        for feature, label in zip(*self.seen):
            self.memory[label] = F.normalize(0.5 * self.memory[label] + 0.5 * feature, dim=0)

    def facts(self) -> dict[str, float]:
        row, self.means = self.means.row(), Means()
        return row


def two_domains(batches: Callable[[int, int], Iterator[Batch]]) -> Callable[[int, int], Iterator[Batch]]:
    """The same batches, every second image called one of domain 1."""
    return lambda epoch, loaders: (
        batch._replace(domain=torch.arange(len(batch.images)) % 2) for batch in batches(epoch, loaders)
    )


def training(folder: Path, images: TrainingSet, **changes: Any) -> tuple[Training, TwoDomains]:
    settings = small(epochs=3, optimiser="adam", **changes)
    net = make_net(settings, CLASSES)
    criterion = TwoDomains(net, CLASSES)
    optimiser = build_optimiser(net, criterion, "adam", weight_decay=0, momentum=0, classifier_lr_mult=1)
    learner = Learner(net, criterion, optimiser, ARITHMETIC.scaler)
    batches = two_domains(make_batches(settings, images, ARITHMETIC))
    identity = RunIdentity("key", ["tiny"], {"tiny": "digest"}, None, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    run = Training(settings, folder, identity, images, learner, batches, make_values(settings, 3), ARITHMETIC)
    return run, criterion


def state_of(criterion: TwoDomains) -> np.ndarray:
    return torch.cat([criterion.head.detach().flatten(), criterion.memory.flatten()]).numpy()


def test_it_trains_through_the_same_loop(tiny: ReidDataset, tmp_path: Path) -> None:
    run, criterion = training(tmp_path, load_training_set([tiny], (32, 16)))
    start = state_of(criterion)
    assert run.resume() == 0
    run.run(1)
    assert criterion.forwards == [4, 4] * 9, "one forward for each domain, in 3 epochs of 3 steps"
    rows = [row for row in read_log(tmp_path) if row["event"] == "epoch"]
    for row in rows:
        assert row["loss"] == pytest.approx(row["loss_source"] + row["loss_target"] + row["loss_memory"], rel=1e-5)
        assert row["target_images"] == 4, "means begin anew in every epoch"
    assert rows[-1]["loss_target"] < rows[0]["loss_target"]
    assert not np.isclose(state_of(criterion), start).all()
    tensors, _ = load_model(tmp_path / "model.safetensors")
    assert set(tensors) == set(make_net(run.settings, CLASSES).state_dict()), "the model is the network alone"
    run.draw()
    assert run.result().training["epoch"] == 3


def test_a_run_stopped_between_epochs_ends_with_the_same_bytes(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load_training_set([tiny], (32, 16))
    whole, expected = training(tmp_path / "whole", images)
    whole.run(1)
    stopped, _ = training(tmp_path / "stopped", images)
    real = Training._epoch

    def stops(self: Training, epoch: int, *rest: Any) -> dict[str, float]:
        if epoch == 3:
            raise KeyboardInterrupt
        return real(self, epoch, *rest)

    monkeypatch.setattr(Training, "_epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(1)
    monkeypatch.setattr(Training, "_epoch", real)
    state = load_state(tmp_path / "stopped" / "state.pt")
    assert state is not None
    assert set(state["criterion"]) == {"head", "memory"}
    resumed, found = training(tmp_path / "stopped", images)
    assert resumed.resume() == 2
    resumed.run(1)
    for name in ("model.safetensors", "log.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(state_of(found), state_of(expected))


def test_the_probe_for_memory_asks_the_criterion(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both domains are in what is tried, and a limit that only the criterion's own forwards meet is found."""
    real = poolings.AveragePool.forward

    def limited(self: poolings.AveragePool, maps: Tensor) -> Tensor:
        if len(maps) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, maps)

    run, criterion = training(tmp_path, load_training_set([tiny], (32, 16)), batch_ids=8)
    monkeypatch.setattr(poolings.AveragePool, "forward", limited)
    with pytest.raises(EnvironmentFault, match=r"--batch-ids 2 fits"):
        run.run(1)
    assert criterion.forwards[-2:] == [2, 2]


def test_an_image_that_it_refuses_is_named(tiny: ReidDataset, tmp_path: Path) -> None:
    run, criterion = training(tmp_path, load_training_set([tiny], (32, 16)))
    criterion.head = nn.Parameter(criterion.head[:4].detach())
    with pytest.raises(InputError, match=r"bounding_box_train.000[5-8]_.*jpg is of no cluster\."):
        run.run(1)


def drawn(net: ReidNet, count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(
            torch.randint(0, 256, (6, 32, 16, 3), generator=generator, dtype=torch.uint8),
            torch.arange(6) % len(net.classifier.weight),
            torch.arange(6),
            torch.arange(6) % 2,
        )
        for _ in range(count)
    ]


def one_step(net: ReidNet, criterion: Criterion, lr_mult: float = 1.0) -> dict[str, float]:
    optimiser = build_optimiser(net, criterion, "sgd", weight_decay=0, momentum=0, classifier_lr_mult=lr_mult)
    learner = Learner(net, criterion, optimiser, ARITHMETIC.scaler)
    return train_epoch(learner, drawn(net, 1), lambda step: StepValues(0.01, 0.1))


def test_its_parameters_have_the_classifier_s_rate_and_count_in_the_gradient() -> None:
    moves, squares = [], []
    for factor in (1.0, 10.0):
        net = build_net(NetSpec(), 3, 0)
        criterion = TwoDomains(net, 3)
        before = [one.detach().clone() for one in (criterion.head, *net.parameters())]
        row = one_step(net, criterion, factor)
        after = [one.detach() for one in (criterion.head, *net.parameters())]
        moved = [(new - old) / 0.01 for new, old in zip(after, before)]
        moves.append(moved[0])
        squares.append((row["gradient_norm"] ** 2, sum(float(move.square().sum()) for move in moved)))
    torch.testing.assert_close(moves[1], 10 * moves[0], rtol=1e-3, atol=1e-4)
    assert squares[0][0] == pytest.approx(squares[0][1], rel=1e-3), "the gradient of all that moves"
    assert squares[1][0] == pytest.approx(squares[0][0], rel=1e-5)


def test_centres_move_once_a_batch_by_the_published_rule() -> None:
    """By hand: centres begin at 0 and every class has two images, so each centre becomes rate * sum / (1 + 2)."""
    net = build_net(NetSpec(centres=True), 3, 0)
    (batch,) = drawn(net, 1)
    with torch.no_grad():
        before = build_net(NetSpec(centres=True), 3, 0).train()(ARITHMETIC.to_input(batch.images)).before
    one_step(net, Supervised(net, Objective(centre=0.1, centre_rate=0.5), ARITHMETIC))
    expected = torch.stack([0.5 * (before[label] + before[label + 3]) / 3 for label in range(3)])
    assert net.centres is not None
    torch.testing.assert_close(net.centres, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "said"),
    [(3, "has the label 3, the classifier has 3 classes (0 to 2)"), (-1, "has the label -1, the classifier")],
)
def test_supervised_refuses_a_label_out_of_range(label: int, said: str) -> None:
    net = build_net(NetSpec(), 3, 0)
    (batch,) = drawn(net, 1)
    criterion = Supervised(net, Objective(), ARITHMETIC)
    assert criterion.check(batch) is None
    batch.labels[4] = label
    found = criterion.check(batch)
    assert found is not None
    assert found[0] == 4
    assert found[1].startswith(said)
