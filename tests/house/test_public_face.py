"""The public face: lazy, typed, documented, and every example of the documentation runs."""

import ast
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from tests.house.python_page import PACKAGES, entry, public_names

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"


def python_blocks(page: Path) -> str:
    """The Python examples of a page, in order."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL))


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_it_imports_nothing_heavy(package):
    script = f"import sys, {package}\nprint({{'torch', 'numpy', 'cv2', 'PIL', 'albumentations'}} & set(sys.modules), dir({package}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("set() ")
    assert done.stdout.count("'") == 2 * len(__import__(package).__all__), "dir() shows the public names alone"


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package):
    body = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")).body
    guarded = next(node for node in body if isinstance(node, ast.If)).body
    imports = [node for node in guarded if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: f"{node.module}:{alias.name}" for node in imports for alias in node.names}
    calls = [node.value for node in body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    lazy = ast.literal_eval(calls[0].args[1])
    assert seen == lazy
    assert sorted(lazy) == __import__(package).__all__


def test_a_room_never_hides_a_public_name():
    script = (
        "import importlib, pkgutil, reid_data, reid_train\n"
        "for package in (reid_data, reid_train):\n"
        "    rooms = {room.name for room in pkgutil.iter_modules(package.__path__)}\n"
        "    assert not rooms & set(package.__all__), rooms & set(package.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_an_attribute_error():
    import reid_data

    with pytest.raises(AttributeError, match="no attribute 'compositor'"):
        reid_data.compositor  # noqa: B018


@pytest.mark.parametrize(("package", "name"), public_names(), ids=lambda part: part)
def test_the_page_says_what_each_name_is(package, name):
    assert entry(package, name) in PAGE.read_text(encoding="utf-8"), "print it anew: python -m tests.house.python_page"


def test_the_page_has_nothing_else():
    named = re.findall(r"^### `(\w+)\.(\w+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(named) == sorted(public_names())


@pytest.mark.parametrize(("package", "name"), public_names(), ids=lambda part: part)
def test_no_path_must_be_a_path_object(package, name):
    """The examples below give every path as text; a function that is added later shall take text, too."""
    thing = getattr(__import__(package), name)
    if name in ("ReidDataset", "ReidError"):  # made by `load_dataset`, and by whatever goes wrong
        return
    for parameter in inspect.signature(thing).parameters.values():
        kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
        assert Path not in kinds or str in kinds, parameter


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_examples_run_on_public_names_alone(page, tmp_path):
    code = python_blocks(ROOT / page)
    assert code
    assert not re.search(r"(from|import) reid_(data|train)\.", code)
    body = re.sub("^", "    ", code, flags=re.MULTILINE)
    (tmp_path / "example.py").write_text(f"if __name__ == '__main__':\n{body}", encoding="utf-8")
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
