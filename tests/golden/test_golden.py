"""No step changes what it gives without a higher version.

Every step that decides bytes has a number in a literal `VERSIONS` beside its code,
and an entry in `table.json`: what it gave on a drawn input when that number was set.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.golden import renew as renewal
from tests.golden.digest import Near, describe, same
from tests.golden.table import STEPS, read_table, versions_in_packages

TABLE = read_table()
VERSIONS = versions_in_packages()


def test_every_step_has_a_version_an_input_and_an_entry():
    assert set(VERSIONS) == set(STEPS) == set(TABLE)


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_step_gives_what_its_version_promises(step: str, tmp_path: Path):
    version, file = VERSIONS[step]
    kept = TABLE[step]
    renewed = "python -m tests.golden.renew"
    assert version == kept["version"], (
        f"{step}: {file} says {version}, the table {kept['version']}. Renew it: {renewed}"
    )
    assert same(kept, describe(STEPS[step](tmp_path / "pictures"))), (
        f"{step} gives other bytes than version {version} of it gave. If that is meant, raise '{step}' in VERSIONS of {file}, "
        f"then: {renewed}"
    )


@pytest.fixture
def small_table(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """One step, `plan` in version 1 that gives [1, 2]; what is written is appended to the list."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(renewal, "read_table", lambda: {"plan": {"version": 1, **describe([1, 2])}})
    monkeypatch.setattr(renewal, "write_table", written.append)
    monkeypatch.setattr(renewal, "STEPS", {"plan": lambda folder: [1, 2], "paint": lambda folder: [3]})
    monkeypatch.setattr(renewal, "versions_in_packages", lambda: {"plan": (1, "plan.py")})
    return written


def test_an_output_is_not_renewed_without_a_higher_version(small_table, monkeypatch):
    assert renewal.renew() == []
    monkeypatch.setattr(renewal, "STEPS", {"plan": lambda folder: [1, 3]})
    with pytest.raises(SystemExit, match=r"plan changed but its version did not. Raise it in VERSIONS of plan.py"):
        renewal.renew()
    monkeypatch.setattr(renewal, "versions_in_packages", lambda: {"plan": (2, "plan.py")})
    assert renewal.renew() == ["plan"]
    assert small_table[-1] == {"plan": {"version": 2, **describe([1, 3])}}
    monkeypatch.setattr(renewal, "versions_in_packages", lambda: {"plan": (0, "plan.py")})
    with pytest.raises(SystemExit, match="Versions only rise"):
        renewal.renew()


def test_a_new_step_is_added_on_request_only(small_table, monkeypatch):
    monkeypatch.setattr(renewal, "versions_in_packages", lambda: {"paint": (1, "paint.py")})
    with pytest.raises(SystemExit, match="--new paint"):
        renewal.renew()
    assert renewal.renew(["paint"], gone=True) == ["paint"]
    assert small_table[-1] == {"paint": {"version": 1, **describe([3])}}


def test_a_sketch_forgives_the_last_bit_and_nothing_more():
    picture = np.arange(128 * 64 * 3, dtype=np.uint8).reshape(128, 64, 3)
    kept = describe(Near((picture,), [1]))
    other = picture.copy()
    other[5, 5] ^= 1
    assert same(kept, describe(Near((other,), [1])))
    assert not same(kept, describe(Near((picture,), [2])))
    assert not same(kept, describe(Near((np.roll(picture, 1, 0),), [1])))
    assert not same(kept, describe(Near((cv2.GaussianBlur(picture, (0, 0), 0.4),), [1])))
    assert not same(kept, describe([1]))
