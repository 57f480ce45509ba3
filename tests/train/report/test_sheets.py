"""The contact sheets that the page shows: drawn once for each content, and never outside their folder."""

import json

import numpy as np
import pytest
from reid_cli import report_page

from reid_data.errors import InputError
from reid_train.report.pictures import SHEETS_FOLDER, sheet_path
from tests.train.report.case import Case, write_case


@pytest.fixture
def drawn(monkeypatch):
    """What was asked for, with plain pictures in the place of sheets."""
    asked = []

    def draw(*arguments):
        asked.append(arguments[0])
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(report_page, "_composite", draw)
    monkeypatch.setattr(report_page, "_views", draw)
    return asked


def test_one_sheet_for_each_composite_and_each_set_with_diagnostics(drawn, tmp_path):
    folder = write_case(Case(), tmp_path / "runs")
    document = json.loads((folder / "results.json").read_text())
    for _ in range(2):
        report_page.write_sheets(document, folder, tmp_path)
    assert drawn == ["composite", "market"]
    assert len(list((folder / SHEETS_FOLDER).iterdir())) == 2
    document["digests"] = {"composite": "changed"}
    report_page.write_sheets(document, folder, tmp_path)
    assert drawn == ["composite", "market", "composite"]


def test_a_sheet_that_cannot_be_drawn_is_said_and_left_out(drawn, monkeypatch, tmp_path, capsys):
    def fail(*_):
        raise InputError("its sources are gone")

    monkeypatch.setattr(report_page, "_composite", fail)
    monkeypatch.setattr(report_page, "_views", lambda *_: None)
    folder = write_case(Case(), tmp_path / "runs")
    report_page.write_sheets(json.loads((folder / "results.json").read_text()), folder, tmp_path)
    assert "its sources are gone" in capsys.readouterr().err
    assert not (folder / SHEETS_FOLDER).exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "a\0b", "\udcff", "x" * 5000, "c:\\x"])
def test_a_name_cannot_lead_out_of_the_folder(name, tmp_path):
    path = sheet_path(tmp_path, {"digests": {}}, name, (name,))
    assert path.parent == tmp_path / SHEETS_FOLDER
    assert path.resolve().parent == (tmp_path / SHEETS_FOLDER).resolve()
    assert len(path.name) < 120
