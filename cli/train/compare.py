"""`reid-train compare`: whether one result is better than another."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError

from ..options import json_option, names_list, seed_option
from ..runs import runs_option
from ..tables import points, print_table
from ..terminal import say, show

if TYPE_CHECKING:
    from reid_train.evaluation.compare import Comparison


@click.command()
@click.argument("first", metavar="A[,A2,...]")
@click.argument("second", metavar="B[,B2,...]")
@click.option("--test", "test_spec", metavar="SET,...", help="Test sets.  [default: all that both have]")
@runs_option
@click.option("--resamples", type=click.IntRange(min=100), default=10_000, show_default=True, help="Random resamples.")
@seed_option
@json_option
def compare(
    first: str, second: str, test_spec: str | None, runs: Path, resamples: int, seed: int, as_json: bool
) -> None:
    """Say whether A is better than B, by how much, how sure, and which settings differ.

    A and B are runs (names below --runs, or folders) or per_query.npz files; several with commas are runs that differ in
    their seed. The queries must be the same on both sides.

    \b
    Example:
      reid-train compare base with-swap
      reid-train compare base-0,base-1,base-2 swap-0,swap-1,swap-2 --test market --json
    """
    from reid_train.evaluation.compare import compare as compare_outcomes
    from reid_train.evaluation.compare import read_outcome

    sides = [[read_outcome(name, runs) for name in names_list(side)] for side in (first, second)]
    if not all(sides):
        raise UsageError("name at least one result on each side: reid-train compare A B.")
    found = compare_outcomes(sides[0], sides[1], tests=names_list(test_spec), resamples=resamples, seed=seed)
    if as_json:
        show(json.dumps({"A": names_list(first), "B": names_list(second), **found.as_dict()}, indent=2))
        return
    show(f"A = {first}, B = {second}")
    _print_comparison(found)


def _print_comparison(found: "Comparison") -> None:
    for test in found.tests:
        show(f"\n{test.words}")
        rows = []
        for metric, difference in test.differences.items():
            a, b = test.first[metric], test.second[metric]
            limits = f"{points(difference.low, '+')} to {points(difference.high, '+')}"
            p_value = "-" if difference.p_value != difference.p_value else f"{difference.p_value:.4f}"
            rows.append([metric, _with_limits(a), _with_limits(b), points(difference.value, "+"), limits, p_value])
        print_table(["", "A (95 %)", "B (95 %)", "A - B", "95 %", "p"], rows)
    if found.settings:
        show("\nSettings that differ (A, B):")
        for key, (a, b) in found.settings.items():
            show(f"  {key}: {a}, {b}")
    for warning in found.warnings:
        say(f"Note: {warning}")


def _with_limits(value: Any) -> str:
    deviation = "" if value.num_seeds == 1 else f" sd {points(value.deviation)}"
    return f"{points(value.mean)}{deviation} ({points(value.low)} to {points(value.high)})"
