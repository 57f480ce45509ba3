"""The commands that the project is known for, and every variant of every experiment, at toy size, as a user types them."""

import json
import shlex
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.train import app

from reid_train.study.experiments import experiments
from tests.train.conftest import build_tiny_backbone, write_tiny_set

SYNTHETIC = "reid-data synth market duke --train 24 --ids 4"
TINY_TRAINING = (
    " --weights none --set backbone=timm:test_resnet --set size=32x16 --set pad_crop=2 --set epochs=1 --set iterations=1"
    " --set batch_ids=2 --set batch_images=2"
)
HEADLINE = [
    ("reid-data stats", " market duke --size 32x16"),
    ("reid-data composite --fg market --bg duke", ""),
    ("reid-train matrix --train composite --test market,duke", TINY_TRAINING),
    ("reid-train matrix --study composite", TINY_TRAINING),
]
TOY = (
    " --train market --scale small --device cpu --workers 1 --set size=32x16 --set pad_crop=2 --set epochs=2"
    " --set iterations=1 --set batch_ids=2 --set batch_images=2"
)
EXPERIMENTS = [
    "reid-train ablate neck",
    "reid-train ablate embedding",
    "reid-train ablate normalisation",
    "reid-train ablate classifier-init",
    "reid-train ablate classifier-unit",
    "reid-train ablate temperature",
    "reid-train ablate temperature-schedule",
    "reid-train ablate effective-temperature",
    "reid-train ablate uda-joint",
    "reid-train ablate uda-classifier",
    "reid-train ablate uda-head",
    "reid-train ablate uda-bn-group",
]
TOY_ADAPTATION = (
    " --target duke --adapt rounds=2 --adapt iterations=2 --adapt batch_ids=3 --adapt bn_group=2 --adapt max_share=1"
    " --adapt k1=6 --adapt k2=2 --adapt min_samples=2"
)


def study_cells() -> list[str]:
    """The cells of the study's composite table."""
    table = tomllib.loads(files("reid_assets").joinpath("study.toml").read_text(encoding="utf-8"))
    return [variant["id"] for variant in table["composite"]["variants"]]


def run(command: str, cwd: Path) -> str:
    """Run an installed command as a process of its own; what it prints."""
    name, *arguments = shlex.split(command)
    script = Path(sys.executable).parent / name
    done = subprocess.run([script, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_statistics_composite_and_matrix(tmp_path: Path) -> None:
    run(SYNTHETIC, tmp_path)
    printed = [run(command + toy, tmp_path) for command, toy in HEADLINE]
    assert {line.split()[0] for line in printed[0].splitlines() if line.strip()} >= {"market", "duke"}
    card = json.loads((tmp_path / "data" / "composite" / "dataset.json").read_text())
    assert [parent["name"] for parent in card["parents"]] == ["market", "duke"]
    assert [line.split()[0] for line in printed[2].splitlines()[2:4]] == ["composite", "(chance)"]
    document = json.loads((tmp_path / "runs" / "matrix" / "results.json").read_text())  # of the last matrix
    squares = {f"{cell['train']}->{cell['test']}": cell["status"] for cell in document["cells"]}
    assert squares == dict.fromkeys(study_cells(), "ok")


def test_every_experiment_is_named_here() -> None:
    assert [command.split()[-1] for command in EXPERIMENTS] == list(experiments())


@pytest.mark.parametrize("command", EXPERIMENTS)
def test_every_variant_of_an_experiment(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid_train.model.reid_net.build_backbone", build_tiny_backbone)
    monkeypatch.chdir(tmp_path)
    write_tiny_set(tmp_path / "data" / "market", num_ids=6)
    adapted = " uda-" in command
    if adapted:
        write_tiny_set(tmp_path / "data" / "duke", 1, num_ids=6)
    arguments = shlex.split(command + TOY + (TOY_ADAPTATION if adapted else ""))[1:]
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)
    assert done.return_value == 0
    document = json.loads(done.stdout)
    wanted = [variant.id for variant in experiments()[arguments[1]].variants]
    assert [row["id"] for row in document["variants"]] == wanted
    scored = [row for row in document["variants"] if row["id"] != "target-only" or "refused" not in row]
    assert all(0 < row["ours"]["mAP"]["mean"] <= 1 for row in scored), (
        "a random network's clusters alone may be refused"
    )
