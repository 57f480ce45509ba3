"""No step changes what it gives without a higher version.

Every step that decides bytes has a number in a literal `VERSIONS` beside its code,
and an entry in `table.json`: what it gave on a drawn input when that number was set.
"""

from pathlib import Path

import pytest

from tests.golden.digest import describe, same
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
