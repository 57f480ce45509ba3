"""A trained model on a set: what is tested, what is not tested again, what cannot be tested."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid_data.datasets import load_dataset
from reid_data.errors import InputError, UsageError
from reid_data.records import ReidDataset
from reid_train.testing import test as run_test
from reid_train.trained import load_trained
from reid_train.training.fit import fit
from tests.train.conftest import small, write_tiny_set

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def run(folder: Path, *sets: ReidDataset, workers: int = 1, **changes: Any) -> Any:
    return fit(small(**changes), sets, folder, device="cpu", workers=workers)


def test_tests_are_not_repeated_and_test_settings_can_change(
    tiny: ReidDataset, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "a", tiny, normalize=False, epochs=1)
    other = load_dataset("other", tiny_root)
    first = run_test(tmp_path / "a", tiny, device="cpu", workers=1)
    both = run_test(tmp_path / "a", other, device="cpu", workers=1)
    assert set(both.metrics) == {"tiny", "other"}
    changed = run_test(
        tmp_path / "a", tiny, device="cpu", workers=1, changes={"test_feature": "before", "metric": "euclidean"}
    )
    assert changed.tests["tiny"]["settings"]["test_feature"] == "before"
    assert changed.tests["tiny"]["test_key"] != first.tests["tiny"]["test_key"]
    with pytest.raises(UsageError, match="lr belongs to the training"):
        run_test(tmp_path / "a", tiny, device="cpu", workers=1, changes={"lr": 1})
    monkeypatch.setattr("reid_train.scoring.evaluate", lambda *_, **__: pytest.fail("tested again"))
    assert run_test(tmp_path / "a", other, device="cpu", workers=1) == changed


def test_other_test_settings_reuse_the_features(
    tiny: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reid_train.features import extract as features

    run(tmp_path / "r", tiny)
    run_test(tmp_path / "r", tiny, device="cpu", workers=1)
    forwards = []
    real = features._features
    monkeypatch.setattr(features, "_features", lambda *args: forwards.append(1) or real(*args))
    run_test(tmp_path / "r", tiny, device="cpu", workers=1, changes={"metric": "euclidean"})
    assert not forwards, "a metric is no reason to compute features again"
    run_test(tmp_path / "r", tiny, device="cpu", workers=1, changes={"flip_test": True})
    assert forwards, "flip averaging is"


def test_junk_is_not_looked_at(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "data" / "tiny")
    (root / "bounding_box_test" / "-1_c1s1_000001_00.jpg").write_bytes(b"no image, and nobody notices")
    dataset = load_dataset("tiny", tmp_path / "data")
    run(tmp_path / "a", dataset, epochs=1)
    result = run_test(tmp_path / "a", dataset, device="cpu", workers=1)
    assert result.tests["tiny"]["num_gallery"] == len(dataset.gallery) - 1 == 48
    assert result.num_failed == 0


def test_testing_a_folder_that_is_no_finished_run(tiny: ReidDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no finished training"):
        run_test(tmp_path, tiny, device="cpu")
    with pytest.raises(InputError, match="is no run"):
        load_trained(tmp_path, device="cpu")


def test_a_run_may_be_named_by_its_model(tiny: ReidDataset, tmp_path: Path) -> None:
    run(tmp_path / "a", tiny, epochs=1)
    model = str(tmp_path / "a" / "model.safetensors")
    assert load_trained(model, device="cpu").sha256 == load_trained(tmp_path / "a", device="cpu").sha256
    assert run_test(model, tiny, device="cpu", workers=1).metrics.keys() == {"tiny"}
    assert (tmp_path / "a" / "tests" / "tiny" / "per_query.npz").is_file()


def test_a_test_set_without_usable_queries(tmp_path: Path) -> None:
    root = write_tiny_set(tmp_path / "data" / "tiny")
    dataset = load_dataset("tiny", tmp_path / "data")
    run(tmp_path / "a", dataset, epochs=1)
    for path in (root / "query").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="tiny has no usable query image"):
        run_test(tmp_path / "a", load_dataset("tiny", tmp_path / "data"), device="cpu", workers=1)


def test_per_query_file(tiny: ReidDataset, tmp_path: Path) -> None:
    run(tmp_path / "a", tiny)
    result = run_test(tmp_path / "a", tiny, device="cpu", workers=1)
    with np.load(tmp_path / "a" / "tests" / "tiny" / "per_query.npz", allow_pickle=False) as rows:
        assert rows["path"].tolist() == [record.name for record in tiny.query]
        assert rows["pid"].tolist() == [record.pid for record in tiny.query]
        assert rows["camid"].tolist() == [record.camid for record in tiny.query]
        assert float(np.mean(rows["ap"])) == pytest.approx(result.metrics["tiny"]["mAP"])
        assert (rows["num_matches"] == 3).all()
