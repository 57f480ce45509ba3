"""Several processes against one: the same batches, the same gradients."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid_data.errors import EnvironmentFault, InputError
from reid_train.arithmetic import Arithmetic
from reid_train.model import reid_net
from reid_train.model.reid_net import NetSpec, build_net
from reid_train.processes.group import average_gradients, barrier, gather_rows, mean_over_processes, process_group, rank
from reid_train.processes.launch import launch
from reid_train.training import losses
from reid_train.training.batches import Batch
from reid_train.training.criterion import Objective, StepValues, Supervised
from reid_train.training.epoch import Learner, build_optimiser, train_epoch
from reid_train.training.samplers import pk_plan, shard
from tests.train.conftest import build_tiny_backbone, small, write_tiny_set
from tests.train.processes.failing_process import failing_process

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _restore_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `gradients` and `epoch` replace in this process comes back after each test."""
    monkeypatch.setattr(reid_net, "build_backbone", reid_net.build_backbone)


def gradients(num_processes: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Gradients of cross-entropy, and of it plus triplet, with batch normalisation in eval mode; and gathered facts."""
    torch.set_num_threads(1)
    reid_net.build_backbone = build_tiny_backbone
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 32, 16, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(16) // 4
    plan = pk_plan(labels.tolist(), [0] * 16, num_ids=4, num_images=2, iterations=1, seed=0, epoch=1)
    with process_group(CPU):
        numbers = torch.from_numpy(shard(plan, rank(), num_processes)[0][0])
        found = []
        for weight in (0.0, 1.0):
            net = build_net(NetSpec(), 4, 0).eval()
            features = net(Arithmetic(CPU, "none", (0.5,) * 3, (0.2,) * 3).to_input(images[numbers]))
            logits, _ = net.classifier(features.classified, labels[numbers], 0.1)
            loss = losses.cross_entropy(logits, labels[numbers])
            pool, pool_labels = gather_rows(features.before), gather_rows(labels[numbers])
            loss = loss + weight * losses.batch_hard_triplet(
                features.before, labels[numbers], 0.3, others_MD=pool, other_labels_M=pool_labels
            )
            loss.backward()
            average_gradients(net.parameters())
            found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        facts = mean_over_processes({"rank": float(rank())})
        barrier()
    return found[0].numpy(), found[1].numpy(), facts


def epoch(num_processes: int) -> tuple[np.ndarray, float]:
    """Weights and recorded loss after two steps in training mode without batch normalisation's statistics."""
    torch.set_num_threads(1)
    reid_net.build_backbone = build_tiny_backbone
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 32, 16, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(16) // 4
    plan = pk_plan(labels.tolist(), [0] * 16, num_ids=4, num_images=2, iterations=2, seed=0, epoch=1)
    with process_group(CPU):
        net = build_net(NetSpec(neck="none", centres=True), 4, 0)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.forward = lambda x: x  # type: ignore[method-assign]
        rows = [torch.from_numpy(row) for row in shard(plan, rank(), num_processes)[0]]
        arithmetic = Arithmetic(CPU, "none", (0.5,) * 3, (0.2,) * 3)
        criterion = Supervised(net, Objective(triplet=1.0, centre=0.1), arithmetic)
        optimiser = build_optimiser(net, criterion, "sgd", weight_decay=0, momentum=0.9, classifier_lr_mult=1)
        row = train_epoch(
            Learner(net, criterion, optimiser, arithmetic.scaler),
            [Batch(images[numbers], labels[numbers], numbers) for numbers in rows],
            lambda step: StepValues(0.01, 0.1),
        )
        barrier()
    values = [net.centres, *net.parameters()]
    return torch.cat([value.detach().flatten() for value in values if value is not None]).numpy(), row["loss"]


def whole_run(root: str) -> dict[str, Any]:
    """A training as the command line starts it in each process."""
    from reid_data.datasets import load_dataset
    from reid_train.training.fit import fit

    settings = small(epochs=2, classifier_init="centroid")
    result = fit(settings, [load_dataset("tiny", Path(root))], Path(root, "run"), device="cpu", workers=1)
    return {"device_type": result.device_type, "files": sorted(os.listdir(Path(root, "run")))}


def everything(root: str) -> list[Any]:
    """All that two processes are asked for: they are slow to start."""
    return [gradients(2), epoch(2), whole_run(root)]


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    write_tiny_set(tmp_path / "tiny")
    (entropy, with_triplet, facts), (weights, loss), run = launch(everything, (str(tmp_path),), 2)
    one_entropy, one_triplet, _ = gradients(1)
    np.testing.assert_allclose(entropy, one_entropy, atol=1e-6, rtol=0)
    np.testing.assert_allclose(with_triplet, one_triplet, atol=1e-6, rtol=0)
    assert not np.allclose(entropy, with_triplet)
    assert facts == {"rank": 0.5}
    one_weights, one_loss = epoch(1)
    np.testing.assert_allclose(weights, one_weights, atol=1e-5, rtol=1e-5)
    assert loss == pytest.approx(one_loss, abs=1e-5)
    assert run["device_type"] == "cpu x 2"
    assert run["files"] == [
        "costs.json",
        "curves.png",
        "log.jsonl",
        "model.safetensors",
        "result.json",
        "settings.toml",
        "state.pt",
    ]


def test_the_failure_of_one_process_ends_all() -> None:
    with pytest.raises(InputError, match="no such image"):
        launch(failing_process, ("error",), 2)
    with pytest.raises(EnvironmentFault, match="process 1 of the training died"):
        launch(failing_process, ("death",), 2)
