"""Schedules by their definitions."""

import itertools
import math
from pathlib import Path

import pytest

from reid_data.errors import InputError
from reid_train.training.schedules import DECAYS, read_temperatures, temperature_at, warmup


def test_learning_rate_decays() -> None:
    step = [DECAYS["step"](progress, 50, (20, 40), 0.1) for progress in (0, 19.99, 20, 39.99, 40, 49)]
    assert step == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = [DECAYS["cosine"](progress, 10, (), 0.1) for progress in (0, 5, 10)]
    assert cosine == pytest.approx([1, 0.5, 0], abs=1e-12)
    assert DECAYS["constant"](7, 10, (), 0.1) == 1


def test_warmup_is_a_straight_line() -> None:
    assert [warmup(progress, 10, 0.01) for progress in (0, 5, 10, 20)] == pytest.approx([0.01, 0.505, 1, 1])
    assert warmup(0, 0, 0.01) == 1


def test_temperatures_of_the_study() -> None:
    for epoch in (1, 2, 7, 50):
        assert temperature_at("log-up", epoch, 50, 0.1, 9) == pytest.approx(0.1 * (1 + math.log(epoch)))
        assert temperature_at("log-down", epoch, 50, 0.1, 9) == pytest.approx(0.1 / (1 + math.log(epoch)))
        assert temperature_at("constant", epoch, 50, 0.1, 9) == 0.1


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_temperatures_that_run_to_an_end(kind: str) -> None:
    values = [temperature_at(kind, epoch, 11, 0.2, 0.05) for epoch in range(1, 12)]
    assert (values[0], values[5], values[-1]) == pytest.approx((0.2, 0.125, 0.05))
    assert all(a > b for a, b in itertools.pairwise(values))
    assert temperature_at(kind, 1, 1, 0.2, 0.05) == 0.2


def test_a_schedule_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("epoch,temperature\n1,0.5\n2,0.25\n3,0.1\n")
    assert read_temperatures(path, 2)[2] == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,temperature\n1,0.5\n", "epoch 2 is missing"),
        ("epoch,temperature\n1,0.5\n2,0.5\n2,0.4\n", "twice"),
        ("epoch,temperature\n1,0.5\n2,0\n", "epoch 2 is 0"),
        ("a,b\n1,0.5\n", "lacks the columns epoch, temperature"),
        ("epoch,temperature\n1,hot\n", "line 2: expected an epoch and a temperature"),
    ],
)
def test_wrong_schedule_files(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_temperatures(tmp_path / "t.csv", 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_schedule_as_spreadsheets_save_it(tmp_path: Path, encoding: str, mark: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"Temperature{mark} Epoch \r\n0.5{mark}1\r\n0.25{mark}2\r\n".encode(encoding))
    assert dict(read_temperatures(path, 2)) == {1: 0.5, 2: 0.25}
    path.write_bytes(f"epoch{mark}temperature\r\n1{mark}0.5\r\n2{mark}warm\r\n".encode(encoding))
    with pytest.raises(InputError, match=r"line 3.*warm"):
        read_temperatures(path, 2)
