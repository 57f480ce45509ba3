"""What the keys of trainings and features take of the steps' versions."""

import pytest

from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.transforms import VERSIONS as TRANSFORM_VERSIONS
from reid_train.training.versions import feature_versions, training_versions


def test_nothing_while_no_version_was_raised() -> None:
    assert training_versions() == feature_versions() == {}


def test_a_raised_step_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORM_VERSIONS, "augmentation", 2)
    assert (training_versions(), feature_versions()) == ({"versions": {"augmentation": 2}}, {})
    monkeypatch.setitem(IMAGE_VERSIONS, "resize", 3)
    assert training_versions() == {"versions": {"augmentation": 2, "resize": 3}}
    assert feature_versions() == {"versions": {"resize": 3}}
