"""`reid-train matrix`: every training set against every test set."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError

from ..errors import EXIT_FAILED_ITEMS
from ..matrix_output import FORMATS, print_outlook, print_results, write_tables
from ..options import data_root_option, dry_run_option, json_option, names_list, set_names, workers_option
from ..sets import notice
from ..settings import (
    collect_settings,
    recipe_path,
    setting_values,
)
from ..terminal import say

if TYPE_CHECKING:
    from reid_train.matrix.cells import Cell, Column, Machine
    from reid_train.matrix.children import Children

STUDIES = ("composite",)
SELF = "from reid_cli.train import cell_main; cell_main()"


@click.command()
@click.option(
    "--train",
    help="Training sets, comma-separated; A+B is the union, A+B:0.3 has 30 % of B; run:NAME: a run that is done.",
)
@click.option(
    "--test", "tests", help="Test sets, comma-separated; also SET@foreground, SET@background, SET@swap:OTHER."
)
@click.option("--grid", type=click.Path(path_type=Path), metavar="FILE", help="The grid as a TOML file; flags win.")
@click.option(
    "--study", type=click.Choice(STUDIES), help="The grid of a table of the reference study, beside its figures."
)
@click.option("--name", default="matrix", show_default=True, help="Folder of the tables and the page, below --runs.")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of all runs."
)
@click.option(
    "--recipe", default=None, help="A TOML file, or the name of a bundled recipe, that lists settings that differ."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=A,B",
    help="A setting, or several values of it as an axis of the grid; repeat it for values with a comma.",
)
@click.option("--weights", default=None, help="imagenet, none, or a file; as --set weights=...")
@click.option("--matte", metavar="R,G,B", help="The colour behind transparent pictures; as --set matte=...")
@click.option("--seeds", default=None, help="Seeds, comma-separated; the table shows mean and standard deviation.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once, a GPU for each in turn."
)
@click.option("--retry-failed", is_flag=True, help="Try again what failed in an earlier run.")
@click.option("--collect", is_flag=True, help="Run nothing: make the tables from what is there.")
@click.option(
    "--export-commands",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run nothing: write a command per missing cell, for any scheduler.",
)
@click.option("--no-thumbs", is_flag=True, help="Leave pictures of people out of the report.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Of what is printed."
)
@data_root_option
@workers_option
@dry_run_option
@json_option
def matrix(
    name: str, runs: Path, data_root: Path, device: str, workers: int | None, jobs: int, retry_failed: bool,
    collect: bool, export_commands: Path | None, no_thumbs: bool, form: str, dry_run: bool, as_json: bool, **options: Any,
) -> int:  # fmt: skip
    """Train once on every training set, test on every test set, and print one table.

    What is done already is not done again; stopped or killed, the same command goes on.

    \b
    Example:
      reid-train matrix --train composite --test market,duke
      reid-train matrix --train market,composite --test market,duke,composite --seeds 0,1,2
      reid-train matrix --train market --test market,market@background --set temperature=0.05,0.1
      reid-train matrix --train market,run:market-to-duke-joint --test market,duke
      reid-train matrix --study composite --jobs 4
    """
    from reid_train.matrix.cells import Machine
    from reid_train.matrix.document import num_failed, require_results
    from reid_train.matrix.run import invalidated, prepare, run_prepared

    plan = _plan(**options)
    machine = Machine(runs, data_root, device, workers)
    folder = runs / name
    form = "json" if as_json else form
    cells, tests = prepare(plan, machine, need_space=not (collect or dry_run or export_commands))
    for dataset in (*(test.dataset for test in tests), *(dataset for cell in cells for dataset in cell.datasets)):
        notice(dataset)
    for line in invalidated(folder, cells, tests):
        say(line)
    if dry_run:
        return print_outlook(cells, tests, folder, machine, jobs, as_json=form == "json")
    if export_commands is not None:
        return _export(cells, tests, machine, export_commands)
    runner = None if collect else cell_processes(folder, machine, jobs)
    document = run_prepared(cells, tests, folder, runner=runner, retry_failed=retry_failed)
    if collect:
        require_results(document)
    write_tables(document, folder, data_root, thumbs=not no_thumbs)
    print_results(document, folder, form)
    return EXIT_FAILED_ITEMS if num_failed(document) else 0


def _plan(train: str | None, tests: str | None, grid: Path | None, study: str | None, **options: Any) -> Any:
    """The plan of the flags, the grid file and the study's grid, in falling precedence."""
    from reid_train.matrix.grid_file import Grid, read_grid
    from reid_train.matrix.plan import make_plan
    from reid_train.matrix.study import STUDIES

    file = read_grid(grid) if grid is not None else Grid()
    usual = STUDIES[study] if study else ((), ())
    values = dict(file.settings)
    values |= {name: (options[name],) for name in ("weights", "matte") if options[name]}
    values |= setting_values(options["assignments"])
    fixed = tuple(f"{key}={found[0]}" for key, found in values.items() if len(found) == 1)
    axes = {key: found for key, found in values.items() if len(found) != 1}
    try:
        seeds = [int(seed) for seed in names_list(options["seeds"])] or file.seeds
    except ValueError as error:
        raise UsageError(f"--seeds {options['seeds']}: expected whole numbers, as in --seeds 0,1,2.") from error
    base = collect_settings({}, recipe_path(options["recipe"] or file.recipe), fixed)
    return make_plan(
        names_list(train) or file.train or usual[0], set_names(tests) or file.test or usual[1], base, seeds, axes
    )


def cell_processes(folder: Path, machine: "Machine", jobs: int) -> "Children":
    """The runner of this command: each cell is a `reid-train fit` of its own."""
    from reid_train.matrix.children import Children

    return Children([sys.executable, "-c", SELF], folder, machine, jobs, say)


def _export(cells: "Sequence[Cell]", tests: "Sequence[Column]", machine: "Machine", target: Path) -> int:
    from reid_data.files import write_atomic
    from reid_train.matrix.command import export_commands

    lines = export_commands(cells, tests, machine)
    write_atomic(target, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    say(f"{target}: {len(lines)} commands, in any order, on any machine that sees the same folders.")
    say("Afterwards run this matrix again with --collect in place of --export-commands.")
    return 0
