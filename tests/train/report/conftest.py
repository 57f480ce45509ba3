"""A matrix with its report, for the tests that only read it."""

from pathlib import Path

import pytest

from reid_train.report.html import write_report
from tests.train.report.case import Case, write_case

FAST = 200


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A matrix of two rows, four columns, two seeds, with sets and pictures."""
    root = tmp_path_factory.mktemp("report")
    folder = write_case(Case(seeds=(0, 1), gain={("composite", "market"): -0.2}), root / "runs", root / "data")
    write_report(folder, data_root=root / "data", resamples=FAST)
    return folder
