"""Would the tests notice? Changes a module in one place at a time, runs its tests, and lists the changes that survive.

    python benchmarks/mutate.py reid_data/compose/blend.py --tests tests/data/compose/test_picture.py
    python benchmarks/mutate.py reid_data/compose reid_train/training/losses.py --sample 25 --seed 0 --json DIR

PATH is a module or a folder of them. What is changed: see `mutations.py`. Without `--tests` the tests of a module are those of
`TESTS`. `--json DIR`: one document a module, written as soon as it is done; a module that has one is passed over.

No source file is written: a module is changed in memory, in a process that is forked from one which has imported the
libraries, and never the project. The tests run once without a change and must pass; of each test it is noted which lines of the module
it runs, and a change is tried on the tests that run its statement, quickest first. So a test counts only in its own process:
processes that a test starts see the module unchanged (or were not noted), and a line that only they run is listed as not reached.
A test that takes more than three times the time of the unchanged module and five seconds has noticed.

It works where `os.fork` does.
"""

import argparse
import ast
import gc
import importlib
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NoReturn

import pytest
from mutations import Mutation, mutations

TESTS = {
    "reid_data": "tests/data",
    **{
        f"reid_data/{room}": f"tests/data/{room}"
        for room in ("datasets", "quality", "segment", "synth", "train_segmenter")
    },
    "reid_data/compose": "tests/data/compose tests/data/quality/test_score.py tests/golden",
    "reid_data/plates": "tests/data/plates tests/data/compose/test_build.py tests/golden",
    "reid_data/written": "tests/data/written tests/data/compose/test_build.py tests/data/plates/test_build.py",
    "reid_data/export": "tests/cli/data/test_segment.py tests/data/segment/test_wiring.py",
    "reid_train": "tests/train",
    **{
        f"reid_train/{room}": f"tests/train/{room}"
        for room in ("features", "matrix", "processes", "report", "runs", "settings", "study")
    },
    "reid_train/evaluation": "tests/train/evaluation tests/train/report/test_showcase.py tests/golden",
    "reid_train/graph": "tests/train/evaluation",
    "reid_train/model": "tests/train/model tests/train/training/test_fit.py",
    "reid_train/training": "tests/train/training tests/train/processes tests/golden",
}
"""The tests of a module, or of all below a folder; the longest beginning of a path that is here counts."""

LIBRARIES = """
pytest hypothesis numpy cv2 PIL.Image scipy.io scipy.ndimage scipy.sparse scipy.stats torch torchvision albumentations
safetensors.torch click jinja2 platformdirs sklearn.linear_model timm segment_anything
"""
"""Imported once, before the first fork."""

PROJECT = ("reid_data", "reid_train", "reid_cli", "tests")
KILLED, SURVIVED, TIMEOUT, UNREACHED = "killed", "survived", "killed (time limit)", "survived (not reached by a test)"


def main() -> None:
    """Mutate and print."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    sys.dont_write_bytecode = True
    for name in LIBRARIES.split():
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the forks do not look through what the libraries hold
    sys.path.insert(0, str(Path.cwd()))  # as `python -m pytest` does
    done: list[dict[str, Any]] = []
    for path in _modules(options.paths):
        target = options.json / f"{path.with_suffix('').as_posix().replace('/', '.')}.json" if options.json else None
        if target is not None and target.exists():
            result = json.loads(target.read_text())
        else:
            result = mutate(path, options.tests or tests_of(path), options.sample, options.seed)
        done.append(result)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(result, indent=1) + "\n")
        print(
            f"{result['module']}: killed {result['killed']} of {result['tried']} ({result['possible']} possible)",
            flush=True,
        )
        for one in result["survivors"]:
            print(f"  {result['module']}:{one['line']}: {one['change']}  [{one['outcome']}]", flush=True)
    print(f"all: killed {sum(one['killed'] for one in done)} of {sum(one['tried'] for one in done)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--tests", nargs="+", default=None, metavar="FILE", help="instead of those of the table")
    parser.add_argument("--sample", type=int, default=None, metavar="N", help="at most N changes of a module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--json", type=Path, default=None, metavar="DIR")
    return parser.parse_args()


def _modules(paths: list[Path]) -> list[Path]:
    found = [one for path in paths for one in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return [path for path in found if path.read_text().strip()]


def tests_of(path: Path) -> list[str]:
    """The test files of a module."""
    fitting = [prefix for prefix in TESTS if path.as_posix() == prefix or path.as_posix().startswith(f"{prefix}/")]
    if not fitting:
        raise SystemExit(f"{path}: no tests are known for it. Give --tests.")
    patterns = TESTS[max(fitting, key=len)].split()
    return [str(found) for pattern in patterns for found in sorted(Path().glob(pattern))]


def mutate(path: Path, tests: list[str], sample: int | None, seed: int) -> dict[str, Any]:
    """Try the changes of one module; the counts and the survivors."""
    tree = ast.parse(path.read_text())
    every = mutations(tree)
    chosen = range(len(every))
    if sample is not None and sample < len(every):
        chosen = sorted(random.Random(f"{seed} {path}").sample(chosen, sample))
    began = time.monotonic()
    runs = record_lines(path, tests)
    print(f"{path}: {len(every)} changes, {len(runs)} tests run it ({time.monotonic() - began:.0f} s)", file=sys.stderr)
    outcomes = [(every[index], _try(path, tree, every[index], runs)) for index in chosen]
    survivors = [
        {"line": one.lines[0], "change": one.describe(), "outcome": outcome}
        for one, outcome in outcomes
        if outcome in (SURVIVED, UNREACHED)
    ]
    return {
        "module": path.as_posix(),
        "tests": tests,
        "possible": len(every),
        "tried": len(outcomes),
        "killed": len(outcomes) - len(survivors),
        "timeouts": sum(outcome == TIMEOUT for _, outcome in outcomes),
        "survivors": survivors,
    }


def _try(path: Path, tree: ast.Module, mutation: Mutation, runs: dict[str, dict[str, Any]]) -> str:
    """What becomes of one change."""
    first, last = mutation.lines
    touched = {
        test: run
        for test, run in runs.items()
        if mutation.imported or any(first <= line <= last for line in run["lines"])
    }
    if not touched:
        return UNREACHED
    limit = 5 + 3 * sum(run["seconds"] for run in touched.values()) + 3 * import_seconds(runs)

    def run(folder: Path) -> int:
        mutation.apply()
        _serve(path, compile(tree, str(path.resolve()), "exec"))
        return _pytest(sorted({test.partition("::")[0] for test in touched}), Chosen(touched), folder)

    status = forked(run, limit)
    assert status not in (4, 5), f"pytest found no test to run for {mutation.describe()}"
    return TIMEOUT if status is None else SURVIVED if status == 0 else KILLED


def import_seconds(runs: dict[str, dict[str, Any]]) -> float:
    """What the unchanged run took besides its tests."""
    return max((run["overhead"] for run in runs.values()), default=0.0)


def record_lines(path: Path, tests: list[str]) -> dict[str, dict[str, Any]]:
    """Run the tests on the unchanged module: {test: {"lines": of the module, "seconds", "overhead"}} of those that reach it."""
    with tempfile.TemporaryDirectory() as kept:
        note, output = Path(kept, "lines.json"), Path(kept, "output")

        def run(folder: Path) -> int:
            recorder, began = Recorder(str(path.resolve())), time.monotonic()
            status = _pytest(tests, recorder, folder)
            overhead = time.monotonic() - began - sum(one["seconds"] for one in recorder.runs.values())
            note.write_text(
                json.dumps({test: one | {"overhead": overhead} for test, one in recorder.reaching().items()})
            )
            return status

        if forked(run, 3600, output) != 0:
            raise SystemExit(output.read_text()[-5000:] + f"\nThe tests of {path} do not pass unchanged.")
        runs: dict[str, dict[str, Any]] = json.loads(note.read_text())
        return runs


def _pytest(files: list[str], plugin: object, folder: Path) -> int:
    import pytest

    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder)
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    return int(
        pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", f"--basetemp={folder}/pytest", *files],
            plugins=[plugin],
        )
    )


class Recorder:
    """A pytest plugin that notes which lines of a file each test runs, by itself or through its fixtures, and for how long."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.runs: dict[str, dict[str, Any]] = {}
        self._lines: set[int] = set()
        self._of_fixture: dict[str, set[int]] = defaultdict(set)

    def reaching(self) -> dict[str, dict[str, Any]]:
        """The tests that run a line of the file."""
        return {test: one | {"lines": sorted(one["lines"])} for test, one in self.runs.items() if one["lines"]}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != self.file:
            return None
        self._lines.add(frame.f_lineno)
        return self._trace

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """What a fixture runs counts for all tests that use it."""
        before, self._lines = self._lines, set()
        result = yield
        self._of_fixture[fixturedef.argname] |= self._lines
        self._lines |= before
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """One test, its fixtures included."""
        self._lines, began = set(), time.monotonic()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        result = yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        lines = self._lines.union(*(self._of_fixture[name] for name in item.fixturenames))
        self.runs[item.nodeid] = {"lines": lines, "seconds": time.monotonic() - began}
        return result


class Chosen:
    """A pytest plugin that keeps the chosen tests, the files with the quickest first."""

    def __init__(self, runs: dict[str, dict[str, Any]]) -> None:
        self.runs = runs

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep and sort."""
        kept = [item for item in items if item.nodeid in self.runs]
        seconds: dict[str, float] = defaultdict(float)
        for item in kept:
            seconds[item.nodeid.partition("::")[0]] += self.runs[item.nodeid]["seconds"]
        items[:] = sorted(
            kept, key=lambda item: (seconds[item.nodeid.partition("::")[0]], item.nodeid.partition("::")[0])
        )


class _Loader(SourceFileLoader):
    """Gives a module its changed code; text and place are those of the file."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        """The changed code."""
        return self.code


def _serve(path: Path, code: CodeType) -> None:
    """Let the import of the module at `path` find `code`."""
    parts = path.with_suffix("").parts
    parts = ("reid_cli", *parts[1:]) if parts[0] == "cli" else parts
    wanted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    class Finder(MetaPathFinder):
        def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
            if name != wanted:
                return None
            return importlib.util.spec_from_file_location(
                name, path.resolve(), loader=_Loader(name, str(path.resolve()), code)
            )

    sys.meta_path.insert(0, Finder())


def forked(run: Callable[[Path], int], limit: float, output: Path | None = None) -> int | None:
    """The exit status of `run` (which gets an empty folder) in a process of its own; None if it took more than `limit` seconds."""
    assert not any(name.partition(".")[0] in PROJECT for name in sys.modules), (
        "the project is imported in the forks only"
    )
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        child = os.fork()
        if child == 0:
            _run_and_exit(run, Path(folder), output, limit)
        end = time.monotonic() + limit
        while (finished := _has_ended(child)) is False and time.monotonic() < end:
            time.sleep(0.02)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # it, or what it left running
        _, state = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(state) if finished else None


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _run_and_exit(run: Callable[[Path], int], folder: Path, output: Path | None, limit: float) -> NoReturn:
    status = 70
    try:
        os.setpgid(0, 0)
        signal.alarm(int(limit) + 60)  # should the parent die
        sink = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        status = run(folder)
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
