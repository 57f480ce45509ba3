"""Real data sets, opt-in: REID_REAL_<NAME> names the folder of a copy (REID_REAL_MARKET, REID_REAL_DUKE, REID_REAL_PKU, ...)."""

import os
from pathlib import Path

import numpy as np
import pytest

from reid_data.datasets import DATASETS
from reid_data.datasets.channel_stats import channel_stats
from reid_data.datasets.check import check
from reid_data.records import JUNK_PID, ReidDataset, count_split, relabel


def real(name: str) -> ReidDataset:
    """The copy that the environment names; skips without one."""
    folder = os.environ.get(f"REID_REAL_{name.upper().replace('-', '_')}")
    if not folder:
        pytest.skip(f"REID_REAL_{name.upper().replace('-', '_')} is not set")
    spec = DATASETS[name]
    splits, ignored = spec.reader(Path(folder), spec)
    return ReidDataset(spec.card(), Path(folder), splits["train"], splits["query"], splits["gallery"], ignored)


@pytest.mark.parametrize("name", DATASETS)
def test_published_counts(name):
    dataset = real(name)
    for split, expected in DATASETS[name].expected.items():
        got = count_split(dataset.split(split))
        if name == "pku" and got["images"] < expected["images"]:
            assert got["images"] == got["ids"] * expected["images"] // expected["ids"], (
                "a part of the set must be whole people"
            )
            continue
        assert {key: got[key] for key in expected} == expected


@pytest.mark.parametrize("name", DATASETS)
def test_no_fault_but_the_counts_of_a_part(name):
    findings, failed = check(real(name), workers=2)
    assert failed == []
    assert {finding.kind for finding in findings if finding.severity == "fault"} <= (
        {"wrong_counts"} if name == "pku" else set()
    )


def test_statistics_of_market_are_the_studys_by_one_definition():
    train = real("market").train
    at_size = channel_stats(train, (256, 128), workers=2)
    native = channel_stats(train, workers=2)
    study_mean, study_std = (0.415, 0.389, 0.384), (0.196, 0.190, 0.188)
    for mean in (at_size.mean, native.mean, at_size.mean_per_image, native.mean_per_image):
        assert np.abs(np.subtract(mean, study_mean)).max() < 0.001
    assert tuple(round(value, 3) for value in at_size.std_per_image) == study_std
    for other in (at_size.std, native.std, native.std_per_image):
        assert tuple(round(value, 3) for value in other) != study_std


def test_protocol_of_market():
    dataset = real("market")
    assert sum(record.pid == JUNK_PID for record in dataset.gallery) == 3_819
    assert len(dataset.gallery) - 3_819 == 15_913
    assert list(relabel(dataset.train).values()) == list(range(751))
    cameras: dict[int, set[int]] = {}
    for record in dataset.gallery:
        cameras.setdefault(record.pid, set()).add(record.camid)
    assert all(cameras[record.pid] - {record.camid} for record in dataset.query)
