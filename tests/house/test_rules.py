"""The rules of the house, held by a test: size, no print, no pickle, no network, complete packaging, documented commands."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from reid_data.lazy import installed_command

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("reid_data", "reid_train", "cli") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN = [
    r"\bpickle\.loads?\b",
    r"allow_pickle=True",
    r"weights_only=False",
    r"\byaml\.load\b",
    r"(?<![\w.])eval\(",
    r"\bextractall\b",
    r"shell=True",
    r"torch\.hub\b",
    r"torchvision\.io",
    r"(?<![\w.])print\(",
    r"except:",
]


def commands() -> list[tuple[str, click.Command]]:
    """Every command of both applications, as (what a user types, command)."""
    from reid_cli.data import app as data
    from reid_cli.train import app as train

    return [
        (f"{name} {key}", command)
        for name, app in (("reid-data", data), ("reid-train", train))
        for key, command in app.commands.items()
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or node.lineno) - node.lineno < 60, f"{node.name} is over 60 lines"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_sizes_of_tests(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_import_circle():
    graph = grimp.build_graph("reid_data", "reid_train", "reid_cli", exclude_type_checking_imports=True)
    names = sorted(graph.modules)
    place = {name: number for number, name in enumerate(names)}
    pairs = [(place[name], place[other]) for name in names for other in graph.find_modules_directly_imported_by(name)]
    edges = coo_array((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(len(names), len(names)))
    _, parts = connected_components(edges, directed=True, connection="strong")
    circles = [[name for name in names if parts[place[name]] == part] for part in set(parts)]
    assert [circle for circle in circles if len(circle) > 1] == []


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_unsafe_or_noisy(pattern):
    found = [str(path.relative_to(ROOT)) for path in SOURCES if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert found == []


def test_public_functions_are_documented():
    missing = []
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert missing == []


def test_every_package_is_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {settings["package-dir"].get(package) or package.replace(".", "/") for package in settings["packages"]}
    there = {str(path.parent.relative_to(ROOT)) for path in SOURCES if path.name == "__init__.py"} | {"assets"}
    assert folders == there


@pytest.mark.parametrize(("typed", "command"), commands(), ids=[typed for typed, _ in commands()])
def test_every_command_has_help_with_an_example_and_is_documented(typed, command):
    assert f"Example:\n  {typed}" in inspect.cleandoc(command.help or "")
    pages = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert f"`{typed}" in pages or f"\n{typed}" in pages


@pytest.mark.parametrize("application", ["data", "train"])
def test_help_imports_nothing_heavy(application):
    script = (
        "import sys\nsys.argv = ['x', '--help']\n"
        f"from reid_cli.{application} import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'torchvision', 'cv2', 'albumentations', 'scipy', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("package", "command"), [("reid_data", "list"), ("reid_train", "fit")])
def test_the_packages_start_as_their_commands_do(package, command, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-m", package, *arguments]
        return subprocess.run(whole, capture_output=True, text=True, check=False, cwd=tmp_path)

    helped, wrong = run("--help"), run("nonsense")
    assert helped.returncode == 0
    assert helped.stdout.startswith(f"Usage: python -m {package} ")
    assert f"\n  {command} " in helped.stdout
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_a_command_that_is_not_installed_says_so():
    with pytest.raises(SystemExit, match="reid-paint is not installed"):
        installed_command("reid-paint")


def test_what_starts_the_commands_imports_none_of_them():
    for package in ("reid_data", "reid_train"):
        nodes = ast.walk(ast.parse((ROOT / package / "__main__.py").read_text(encoding="utf-8")))
        assert [node.module for node in nodes if isinstance(node, ast.ImportFrom)] == ["reid_data.lazy"]


def test_no_picture_of_a_person_is_tracked():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pictures = [name for name in names if name.lower().endswith((".jpg", ".jpeg", ".bmp"))]
    assert [name for name in pictures if not name.startswith("docs/images/synthetic")] == []


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_reading_order_names_files_that_exist():
    order = (ROOT / "README.md").read_text(encoding="utf-8").partition("New to the code?")[2].partition("\n## ")[0]
    named = re.findall(r"`(reid_(?:data|train)/[\w/]+\.py)`", order)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_room_says_what_belongs_in_it():
    silent = [
        str(path.parent.relative_to(ROOT)) for path in SOURCES if path.name == "__init__.py" and not _docstring(path)
    ]
    assert silent == []


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_one_place_writes_to_the_terminal():
    """There names are made printable; a raw echo elsewhere would let a folder's name move the cursor."""
    writers = {
        path.relative_to(ROOT / "cli").as_posix()
        for path in (ROOT / "cli").rglob("*.py")
        if "click.echo(" in path.read_text(encoding="utf-8") or "click.secho(" in path.read_text(encoding="utf-8")
    }
    assert writers == {"terminal.py", "tables.py"}
