"""Is A better than B? By how much, how sure, and what else differs between them. numpy only."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.errors import InputError
from reid_data.files import AnyPath, printable
from reid_train.evaluation.bootstrap import RESAMPLES, Difference, OverSeeds, over_seeds, paired
from reid_train.evaluation.per_query import PER_QUERY_FILE, PerQuery, read_per_query

RESULT_FILE = "result.json"
LEVEL = 0.05


@dataclass(frozen=True)
class Outcome:
    """One run or result: its per-query rows by test set, and what it was made from (None where it has no result.json)."""

    name: str
    tests: dict[str, PerQuery]
    settings: dict[str, Any] | None


@dataclass(frozen=True)
class TestComparison:
    """A against B on one test set. `order` of queries is A's; `words` says it all in one or two sentences."""

    test: str
    queries: int
    identities: int
    first: dict[str, OverSeeds]
    second: dict[str, OverSeeds]
    differences: dict[str, Difference]
    verdict: str
    words: str


@dataclass(frozen=True)
class Comparison:
    """A against B on every test set that both have; `settings` maps each setting that differs to (A's, B's)."""

    tests: tuple[TestComparison, ...]
    settings: dict[str, tuple[Any, Any]]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN as null."""
        document = {
            "tests": {
                test.test: {key: value for key, value in asdict(test).items() if key != "test"} for test in self.tests
            },
            "settings": {key: list(pair) for key, pair in self.settings.items()},
            "warnings": list(self.warnings),
        }
        return _without_nan(document)


def read_outcome(where: AnyPath, runs: AnyPath) -> Outcome:
    """A run by name (below `runs`), a run or result folder, or one `per_query.npz`. Raises InputError if it is none."""
    path, runs = Path(where), Path(runs)
    if not path.exists() and (runs / path).exists():
        path = runs / path
    if path.is_file():
        name = path.parent.name if path.name == PER_QUERY_FILE else path.stem
        return Outcome(os.fspath(where), {name: read_per_query(path)}, _settings(path.parent))
    found = {file.parent.name: file for file in sorted(path.glob(f"tests/*/{PER_QUERY_FILE}"))}
    if (path / PER_QUERY_FILE).is_file():
        found.setdefault(path.name, path / PER_QUERY_FILE)
    if not found:
        raise InputError(
            f"'{printable(where)}' has no evaluated test set: neither a run below '{printable(runs)}', nor a folder with "
            f"tests/<set>/{PER_QUERY_FILE}, nor such a file. Evaluate it first: reid-train evaluate."
        )
    return Outcome(os.fspath(where), {name: read_per_query(file) for name, file in found.items()}, _settings(path))


def compare(
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    *,
    tests: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two sides, each one run or several that differ in their seed, on `tests` (default: all that both have).

    Raises InputError if a test set is missing on a side or its queries differ.
    """
    common = set.intersection(*(set(outcome.tests) for outcome in (*first, *second)))
    if not common and all(len(outcome.tests) == 1 for outcome in (*first, *second)) and not tests:
        first, second = (
            [Outcome(one.name, {"test": next(iter(one.tests.values()))}, one.settings) for one in side]
            for side in (first, second)
        )
        common = {"test"}
    missing = sorted(set(tests) - common)
    if missing or not common:
        have = "; ".join(f"{outcome.name}: {', '.join(sorted(outcome.tests))}" for outcome in (*first, *second))
        raise InputError(
            f"no common result on {', '.join(missing) or 'any test set'}. There are {have}. Evaluate the missing ones."
        )
    chosen = sorted(tests or common)
    settings, warnings = _settings_differences(first, second, chosen)
    compared = []
    for test in chosen:
        left, right = ([outcome.tests[test] for outcome in side] for side in (first, second))
        reference = left[0]
        aligned = [_aligned(reference, rows, test) for rows in (*left, *right)]
        compared.append(_compare_test(test, aligned[: len(left)], aligned[len(left) :], resamples, seed))
    if any(test.identities < 20 for test in compared):
        warnings.append("fewer than 20 people in a test set: the intervals are rough.")
    return Comparison(tuple(compared), settings, tuple(warnings))


def _compare_test(
    test: str, first: list[PerQuery], second: list[PerQuery], resamples: int, seed: int
) -> TestComparison:
    valid = first[0].num_matches > 0
    differences = paired(first, second, resamples=resamples, seed=seed)
    sides = [over_seeds(side, resamples=resamples, seed=seed) for side in (first, second)]
    identities = len(np.unique(first[0].pid[valid]))
    verdict = _verdict(differences["mAP"])
    words = _words(test, sides[0]["mAP"], sides[1]["mAP"], differences["mAP"], verdict, int(valid.sum()), identities)
    return TestComparison(test, int(valid.sum()), identities, sides[0], sides[1], differences, verdict, words)


def _verdict(difference: Difference) -> str:
    """`A`, `B`, `undecided` or, for a single person, `unknown`."""
    if math.isnan(difference.low):
        return "unknown"
    if difference.p_value >= LEVEL or difference.low <= 0 <= difference.high:
        return "undecided"
    return "A" if difference.value > 0 else "B"


def _words(
    test: str, first: OverSeeds, second: OverSeeds, difference: Difference, verdict: str, queries: int, identities: int
) -> str:
    seeds = "" if first.num_seeds == second.num_seeds == 1 else f", {first.num_seeds} against {second.num_seeds} seeds"
    numbers = f"mAP {100 * first.mean:.2f} against {100 * second.mean:.2f}: {100 * difference.value:+.2f} points"
    scope = f"On {test} ({queries:,} queries of {identities:,} people{seeds})"
    if verdict == "unknown":
        return f"{scope}: {numbers}. One person alone gives no error bar, so nothing can be said about others."
    sure = f"95 % interval {100 * difference.low:+.2f} to {100 * difference.high:+.2f}, p {_p(difference.p_value)}"
    if verdict == "undecided":
        if difference.value == difference.low == difference.high == 0:
            return f"{scope}, A and B are the same: mAP {100 * first.mean:.2f}, no query differs."
        return f"{scope}, no difference can be claimed: {numbers} ({sure})."
    return f"{scope}, {verdict} is better: {numbers} ({sure})."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _aligned(reference: PerQuery, rows: PerQuery, test: str) -> PerQuery:
    """`rows` in the order of `reference`: by path where both name their queries, else as they stand."""
    named = all(bool(part.path.size) and bool((part.path != "").all()) for part in (reference, rows))
    order = np.arange(len(rows.pid))
    if named and not np.array_equal(reference.path, rows.path):
        only_first, only_second = (
            set(a.path.tolist()) - set(b.path.tolist()) for a, b in ((reference, rows), (rows, reference))
        )
        if only_first or only_second:
            raise InputError(
                f"the queries on {test} are not the same: {len(only_first)} only on one side, {len(only_second)} only on the other, "
                f"for instance '{printable(min(only_first | only_second))}'. Evaluate both on the same set."
            )
        order = np.argsort(rows.path)[np.argsort(np.argsort(reference.path))]
    if len(order) != len(reference.pid) or not np.array_equal(reference.pid, rows.pid[order]):
        raise InputError(
            f"the queries on {test} are not the same: {len(reference.pid)} and {len(rows.pid)} queries, or other identities. "
            "Evaluate both on the same set."
        )
    chosen = {
        key: getattr(rows, key)[order] for key in ("path", "pid", "camid", "ap", "inp", "first_match", "num_matches")
    }
    aligned = PerQuery(**chosen, hit_ranks=rows.hit_ranks, hits=rows.hits[order] if rows.hit_ranks else rows.hits)
    if not np.array_equal(reference.num_matches, aligned.num_matches):
        raise InputError(
            f"the results on {test} have other numbers of matches: another gallery or protocol. Evaluate both alike."
        )
    return aligned


def _settings(folder: Path) -> dict[str, Any] | None:
    """What the result.json of `folder`, or of the run that it belongs to, says it is a result of: see `_made_from`."""
    for place in (folder, folder.parent.parent):
        path = place / RESULT_FILE
        if path.is_file():
            try:
                return _made_from(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, AttributeError, TypeError) as error:
                raise InputError(
                    f"'{printable(path)}' is not readable as a result: {error}. Evaluate again to write it."
                ) from error
    return None


def _made_from(document: dict[str, Any]) -> dict[str, Any]:
    """Settings, flat, with the training sets, their content, the weights; and as `test/<set>/...` how each test was made."""
    flat = _flat(document.get("settings", {}))
    flat |= {key: document[key] for key in ("train_sets", "weights_sha256", "device_type") if key in document}
    flat |= {f"content of {name}": digest for name, digest in document.get("digests", {}).items()}
    for test, entry in document.get("tests", {}).items():
        flat |= {f"test/{test}/{key}": value for key, value in _flat(entry.get("settings", {})).items()}
        flat |= {f"test/{test}/content of {test} (test)": entry.get("digest")}
    return flat


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _settings_differences(
    first: Sequence[Outcome], second: Sequence[Outcome], tests: Sequence[str]
) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """What differs, (A's, B's) with a list where a side's runs differ among themselves; and warnings about it."""
    unknown = sorted({outcome.name for outcome in (*first, *second) if outcome.settings is None})
    if unknown:
        names = ", ".join(map(printable, unknown))
        return {}, [f"no {RESULT_FILE} beside {names}: which settings differ is not known."]
    sides = [_texts(side, tests) for side in (first, second)]
    differences = {}
    for key in sorted(set(sides[0]) | set(sides[1])):
        left, right = (side.get(key, ["null"]) for side in sides)
        only_here = key.startswith("content of ") and not (key in sides[0] and key in sides[1])
        if left != right and not only_here:
            differences[key] = (_values_of(left), _values_of(right))
    if "weights" in differences:
        differences.pop("weights_sha256", None)
    return differences, _settings_warnings(differences, one_each=len(first) == len(second) == 1)


def _texts(side: Sequence[Outcome], tests: Sequence[str]) -> dict[str, list[str]]:
    """Setting -> its values, as JSON, over the runs of a side; what a test says goes before what the training says."""
    values: dict[str, set[str]] = {}
    for outcome in side:
        settings = outcome.settings or {}
        flat = {key: value for key, value in settings.items() if not key.startswith("test/") and key != "name"}
        for test in tests:
            prefix = f"test/{test}/"
            here = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
            for key, value in {**flat, **here}.items():
                values.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return {key: sorted(texts) for key, texts in values.items()}


def _settings_warnings(differences: dict[str, tuple[Any, Any]], *, one_each: bool) -> list[str]:
    warnings = []
    others = [key for key in differences if not _is_seed(key)]
    if len(others) > 1:
        warnings.append(
            f"{len(others)} settings differ ({', '.join(others)}): the difference cannot be put down to one of them."
        )
    if differences and not others:
        warnings.append("only the seed differs: this is what chance alone does.")
    if others and one_each:
        warnings.append(
            "one seed on each side: the interval speaks of other people, not of other seeds. "
            "Give several: A1,A2,A3 B1,B2,B3."
        )
    return warnings


def _is_seed(key: str) -> bool:
    return key.rsplit(".", 1)[-1] == "seed"


def _values_of(texts: list[str]) -> Any:
    values = [json.loads(text) for text in texts]
    return values[0] if len(values) == 1 else values


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
