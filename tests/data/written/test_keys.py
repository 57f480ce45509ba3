"""Settings as they are compared and digested: defaults beside their schema number, versions of steps, sets of other versions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reid_data.compose.build import build_composite
from reid_data.compose.in_training import swap_digest
from reid_data.compose.settings import COMPOSITE_VERSIONS, CompositeSettings
from reid_data.compose.settings import FORM as COMPOSITE
from reid_data.datasets import load_dataset
from reid_data.errors import EnvironmentFault, ReidError, UsageError
from reid_data.export.masks import FORM as EXPORT
from reid_data.export.masks import ExportSettings, export_masks
from reid_data.manifest import MANIFEST_FILE, MASK_TABLE, Form, differences, raised
from reid_data.masks import VERSIONS as MASK_VERSIONS
from reid_data.plates.build import FORM as BACKGROUNDS
from reid_data.plates.build import BackgroundSettings, build_backgrounds
from reid_data.plates.crops import PLATE_VERSIONS, SCHEMA, PlateSettings
from reid_data.records import ReidDataset
from reid_data.segment.precomputed import PrecomputedSegmenter
from reid_data.synth.generate import FORM as SYNTH
from reid_data.synth.generate import SYNTH_VERSIONS, generate, is_made, settings_of
from reid_data.train_segmenter.run import FORM as SEGMENTER
from reid_data.train_segmenter.run import TRAINING_VERSIONS, TrainSettings, train
from tests.data.people import write_people_set

PLATES = {"plate_fill": "rows", "plate_dilation": 6.0, "plate_min_quality": 0.7, "plate_max_person": 0.02}
FORMS = {
    "composite": (
        COMPOSITE,
        2,
        {
            **{"min_quality": 0.7, "pairing": "random", "max_reuse": 6, "seed": 0, "limit": None, "jpeg_quality": 0},
            **{"blend": "feather", "decontaminate": True, "match_luminance": True},
            **{"match_sharpness": True, "contact_shadow": True},
            **PLATES,
        },
    ),
    "backgrounds": (BACKGROUNDS, 2, {"source_kind": "crops", "num": 1000, "seed": 0, **PLATES}),
    "kept plates": (
        Form("plates", SCHEMA, {f"plate_{name}": value for name, value in vars(PlateSettings()).items()}),
        2,
        PLATES,
    ),
    "segment": (EXPORT, 1, {"kind": "alpha", "min_quality": 0.7, "mirror": False, "keep_colour": False}),
    "synth": (SYNTH, 1, {"num_train": 700, "seed": 0}),
    "train-segmenter": (
        SEGMENTER,
        1,
        {
            **{"steps": 6000, "batch": 32, "rate": 4e-3, "matrix_rate": 0.03, "warmup": 0.04, "weight_decay": 0.1},
            **{
                "average": 0.998,
                "trust_after": 0.35,
                "empty": 0.13,
                "drawn": 0.17,
                "seed": 0,
                "start": "",
                "bf16": False,
            },
        },
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_defaults_stand_beside_their_schema(name: str) -> None:
    """A default that changes means other settings to every earlier set: raise the form's schema, then both numbers here."""
    form, schema, defaults = FORMS[name]
    assert (form.schema, form.defaults) == (schema, defaults)


def test_a_new_setting_at_its_default_changes_no_key() -> None:
    before, after = Form("x", 1, {"seed": 0}), Form("x", 1, {"seed": 0, "new": 5})
    assert after.key({"set": "a", "seed": 3, "new": 5}) == before.key({"set": "a", "seed": 3})
    assert after.differences({"set": "a", "seed": 0}, {"set": "a", "seed": 0, "new": 5}) == []
    assert after.differences({"seed": 0}, {"seed": 0, "new": 6}) == ["new: 5 there, 6 now"]
    assert after.key({"new": 6}) != after.key({"new": 5}) != Form("x", 2, after.defaults).key({"new": 5})


def test_versions_enter_only_when_they_were_raised() -> None:
    assert raised({"blend": 1, "fill": 1}) == {}
    assert raised({"fill": 3, "blend": 2, "rim": 1}) == {"versions": {"blend": 2, "fill": 3}}
    assert differences({"seed": 0}, {"seed": 0, **raised({"blend": 2})}) == ["blend: version 1 there, 2 now"]
    assert differences(raised({"a": 2}), raised({"a": 2, "b": 3})) == ["b: version 1 there, 3 now"]


@pytest.fixture
def people(tmp_path: Path) -> ReidDataset:
    return load_dataset(str(write_people_set(tmp_path / "fg")), tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> ReidDataset:
    return load_dataset(str(write_people_set(tmp_path / "bg", 3, (4, 5), seed=100, extras=False)), tmp_path)


Write = Callable[[], object]


def _writers(people: ReidDataset, other: ReidDataset, out: Path) -> dict[str, tuple[Write, dict[str, int], str]]:
    """Command -> (writes or continues `out`, the versions it depends on, one of them)."""
    looks = PrecomputedSegmenter()
    return {
        "composite": (
            lambda: build_composite(people, other, out, looks, CompositeSettings()),
            COMPOSITE_VERSIONS,
            "shadow",
        ),
        "backgrounds": (
            lambda: build_backgrounds(other, out, looks, BackgroundSettings(num=4)),
            PLATE_VERSIONS,
            "fill-rows",
        ),
        "segment": (lambda: export_masks(people.train, out, looks, ExportSettings()), MASK_VERSIONS, "mask-quality"),
    }


@pytest.mark.parametrize("command", ["composite", "backgrounds", "segment"])
def test_a_set_is_not_continued_with_another_version_of_a_step(
    command: str, people: ReidDataset, other: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, versions, step = _writers(people, other, tmp_path / "out")[command]
    write()
    write()
    monkeypatch.setitem(versions, step, 2)
    with pytest.raises(ReidError, match=f"{step}: version 1 there, 2 now"):
        write()


@pytest.mark.parametrize("command", ["composite", "backgrounds"])
def test_a_set_of_earlier_keys_is_told_and_stays_readable(
    command: str, people: ReidDataset, other: ReidDataset, tmp_path: Path
) -> None:
    write, _, _ = _writers(people, other, tmp_path / "out")[command]
    write()
    path = tmp_path / "out" / MANIFEST_FILE
    header, rest = path.read_text("ascii").split("\n", 1)
    old = {key: value for key, value in json.loads(header).items() if key != "settings_schema"}
    path.write_text(json.dumps(old) + "\n" + rest, "ascii")
    with pytest.raises(UsageError, match=r"another version of this tool.*--overwrite, or choose another --out"):
        write()
    assert len(load_dataset("out", tmp_path).records) > 0


def test_masks_of_another_schema_are_left_alone(people: ReidDataset, other: ReidDataset, tmp_path: Path) -> None:
    write, _, _ = _writers(people, other, tmp_path / "out")["segment"]
    write()
    table = tmp_path / "out" / MASK_TABLE
    text = table.read_text("ascii")
    table.write_text(text.replace('"settings_schema": 1, ', ""), "ascii")
    write()
    table.write_text(text.replace('"settings_schema": 1', '"settings_schema": 7'), "ascii")
    with pytest.raises(EnvironmentFault, match="settings_schema"):
        write()


def test_a_synthetic_set_is_made_anew_when_a_step_was_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path / "market", "market", num_train=4, num_ids=2)
    assert is_made(tmp_path / "market", settings_of("market", 4, 2, 0))
    assert not is_made(tmp_path / "market", settings_of("market", 4, 2, 1))
    monkeypatch.setitem(SYNTH_VERSIONS, "synth-place", 2)
    assert not is_made(tmp_path / "market", settings_of("market", 4, 2, 0))


def test_a_segmenter_training_is_not_continued_with_another_version(
    bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainSettings(steps=1, batch=2)
    train(bank, tmp_path / "work", settings)
    monkeypatch.setitem(TRAINING_VERSIONS, "segmenter-samples", 2)
    with pytest.raises(EnvironmentFault, match="segmenter-samples: version 1 there, 2 now"):
        train(bank, tmp_path / "work", settings)


@pytest.fixture
def bank(people: ReidDataset, tmp_path: Path) -> Path:
    from reid_data.train_segmenter.bank import Sources, build_bank

    build_bank(tmp_path / "bank", Sources(drawn=4), 1)
    return tmp_path / "bank"


@pytest.mark.parametrize("step", ["blend", "rim", "sharpness", "fill-rows", "plate-fit", "plan"])
def test_training_with_new_backgrounds_depends_on_every_step(
    step: str, other: ReidDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = swap_digest(other, PrecomputedSegmenter())
    monkeypatch.setitem(COMPOSITE_VERSIONS, step, 2)
    assert swap_digest(other, PrecomputedSegmenter()) != before
