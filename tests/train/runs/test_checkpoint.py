"""Files that hold a training: safe to read, whole or absent, and enough for a bit-identical resume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reid_data.errors import InputError
from reid_train.runs.checkpoint import load_model, load_state, read_metadata, save_model, save_state
from tests.train.conftest import write_tiny_set

CRASHES = Path(__file__).with_name("crash_runs.py")


def test_models_hold_weights_and_metadata_and_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(6.0).view(2, 3).T, "a": torch.tensor(3)}
    metadata = {"classes": [["märket", 1]], "epoch": 2, "norm": {"mean": [0.1]}}
    for name in ("x", "y"):
        save_model(tmp_path / name, tensors, metadata)
    found, told = load_model(tmp_path / "x")
    assert told == metadata == read_metadata(tmp_path / "x")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_states_load_without_running_code(tmp_path: Path) -> None:
    state = {"epoch": 3, "net": {"w": torch.ones(2)}, "rows": [{"loss": 0.5}]}
    save_state(tmp_path / "state.pt", state)
    found = torch.load(tmp_path / "state.pt", weights_only=True)
    assert found["rows"] == state["rows"]
    assert load_state(tmp_path / "absent.pt") is None


@pytest.mark.parametrize("content", [b"", b"junk", b"cos\nsystem\n(S'touch owned'\ntR."])
def test_damaged_files_are_input_errors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt' is damaged"):
        load_state(tmp_path / "state.pt")
    with pytest.raises(InputError, match="is no model of this tool"):
        load_model(tmp_path / "model.safetensors")


def test_a_foreign_safetensors_file_is_no_model(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="is no model of this tool"):
        read_metadata(tmp_path / "m.safetensors")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_every_write_and_at_random_times_a_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """The script forks children from one process that has imported torch: see crash_runs.py."""
    write_tiny_set(tmp_path / "data" / "tiny")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "REID_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(CRASHES), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.split()
    assert int(lines[0]) >= 20, "every write has at least three points at which it can be killed"
    assert int(lines[1]) == 5, "five kills at random times hit a running training"
