"""The wheel, installed alone into an empty folder, runs from there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that the wheel was installed into."""
    base = tmp_path_factory.mktemp("wheel")
    sources = base / "source"
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(base), str(sources)], check=True)
    wheel = next(base.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(base / "empty"), str(wheel)], check=True)
    return base / "empty"


def run(installed: Path, script: str, *arguments: str, cwd: Path) -> str:
    """Run an installed command with nothing of the checkout in reach."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(installed / "bin" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_versions(installed, tmp_path):
    for script in ("reid-data", "reid-train"):
        assert "0.1.0" in run(installed, script, "--version", cwd=tmp_path)


def test_the_modules_come_from_the_wheel(installed, tmp_path):
    script = "import reid_data, reid_train, reid_cli, reid_assets; print(reid_data.__file__, reid_assets.__path__[0])"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert done.stdout.count(str(installed)) == 2


def test_the_synthetic_generator_runs(installed, tmp_path):
    run(
        installed,
        "reid-data",
        "synth",
        "market",
        "--train",
        "8",
        "--ids",
        "4",
        "--workers",
        "1",
        "--data-root",
        "data",
        cwd=tmp_path,
    )
    assert (tmp_path / "data" / "market" / "dataset.json").is_file()


def test_typing_marker_template_and_recipe_are_packed(installed):
    for name in (
        "reid_data/py.typed",
        "reid_train/py.typed",
        "reid_assets/templates/report.html.j2",
        "reid_assets/recipes/demo.toml",
    ):
        assert (installed / name).is_file()
