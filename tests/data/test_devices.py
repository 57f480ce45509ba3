"""Which device computes, on machines with none, one and several GPUs (as torch tells it)."""

import subprocess
import sys

import pytest
import torch

from reid_data.devices import choose_device
from reid_data.errors import EnvironmentFault, UsageError


@pytest.fixture
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with so many CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    return int(request.param)


@pytest.mark.parametrize("gpus", [0, 1, 3], indirect=True)
def test_every_device_that_is_there_can_be_chosen(gpus: int) -> None:
    assert choose_device("auto") == ("cuda" if gpus else "cpu")
    assert choose_device("cpu") == "cpu"
    for number in range(gpus):
        assert choose_device("cuda") == "cuda"
        assert choose_device(f"cuda:{number}") == f"cuda:{number}"


@pytest.mark.parametrize(("gpus", "choices"), [(0, "auto, cpu"), (1, "auto, cpu, cuda:0")], indirect=["gpus"])
def test_a_gpu_that_is_not_there_is_refused(gpus: int, choices: str) -> None:
    message = f"--device cuda:{gpus}: .* has {gpus} usable CUDA devices. Choose --device {choices}\\.$"
    with pytest.raises(EnvironmentFault, match=message):
        choose_device(f"cuda:{gpus}")
    if gpus == 0:
        with pytest.raises(EnvironmentFault, match=r"--device cuda: .*--device auto"):
            choose_device("cuda")


def test_devices_that_torch_counts_but_cannot_use_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == "cpu"
    with pytest.raises(EnvironmentFault, match="has 0 usable"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "mps", "CUDA", "", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cuda:١", "cpu:0"])
@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_other_names_are_a_usage_error(name: str, gpus: int) -> None:
    with pytest.raises(UsageError, match=f"--device '{name}': expected auto, cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_each_process_of_a_training_takes_its_own(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from reid_train.processes.group import pick_device

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    for rank in range(gpus):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert [str(pick_device(name)) for name in ("auto", "cuda", "cuda:0")] == [*[f"cuda:{rank}"] * 2, "cuda:0"]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(EnvironmentFault, match=r"--device cuda:2: .* has 2 usable CUDA devices"):
        pick_device("auto")


def test_importing_imports_no_torch() -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys, reid_data.devices; assert 'torch' not in sys.modules"], check=True
    )
