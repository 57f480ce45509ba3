"""`reid-train matrix`: every training set against every test set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .errors import EXIT_FAILED_ITEMS
from .options import Progress, data_root_option, dry_run_option, json_option, names_list, say, workers_option
from .sets import notice


@click.command()
@click.option(
    "--train",
    required=True,
    help="Training sets, comma-separated; A+B trains on the union, A+B:0.3 on 30 % of B's images.",
)
@click.option("--test", "tests", required=True, help="Test sets, comma-separated.")
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
    help="A setting, or several values of it as an axis of the grid.",
)
@click.option("--weights", default=None, help="imagenet, none, or a file; as --set weights=...")
@click.option("--seeds", default=None, help="Seeds, comma-separated; the table shows mean and standard deviation.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@data_root_option
@workers_option
@dry_run_option
@json_option
def matrix(
    train: str, tests: str, name: str, runs: Path, data_root: Path, device: str, workers: int | None,
    dry_run: bool, as_json: bool, **options: Any,
) -> int:  # fmt: skip
    """Train once on every training set, test on every test set, and print one table.

    What is done already is not done again; stopped or killed, the same command goes on.

    \b
    Example:
      reid-train matrix --train composite --test market,duke
      reid-train matrix --train market,composite --test market,duke,composite --seeds 0,1,2
      reid-train matrix --train market --test market --set temperature=0.05,0.1
    """
    from reid_train.matrix.run import Machine, num_failed, prepare, run_matrix

    plan = _plan(train, tests, **options)
    machine = Machine(runs, data_root, device, workers)
    cells, sets = prepare(plan, machine)
    for dataset in (*sets.values(), *(dataset for cell in cells for dataset in cell.datasets)):
        notice(dataset)
    if dry_run:
        for cell in cells:
            click.echo(f"{'done ' if cell.done else 'train'}  {cell.training.label}  ->  {cell.folder}")
        say(f"{len(cells)} trainings ({sum(cell.done for cell in cells)} done), {len(cells) * len(sets)} tests.")
        return 0
    document = run_matrix(plan, runs / name, machine, announcer())
    _write_tables(document, runs / name)
    _print_results(document, runs / name, as_json=as_json)
    return EXIT_FAILED_ITEMS if num_failed(document) else 0


def _plan(train: str, tests: str, **options: Any) -> Any:
    from reid_data.errors import UsageError
    from reid_train.config import from_assignments
    from reid_train.matrix.plan import make_plan

    from .fit import collect_settings

    fixed: list[str] = [f"weights={options['weights']}"] if options["weights"] else []
    axes: dict[str, list[str]] = {}
    for text in options["assignments"]:
        for key, value in from_assignments([text]).items():
            values = names_list(value)
            if len(values) > 1 and "," in value:
                axes[key] = values
            else:
                fixed.append(text)
    try:
        seeds = [int(seed) for seed in names_list(options["seeds"])]
    except ValueError as error:
        raise UsageError(f"--seeds {options['seeds']}: expected whole numbers, as in --seeds 0,1,2.") from error
    base = collect_settings({}, recipe_path(options["recipe"]), tuple(fixed))
    return make_plan(names_list(train), names_list(tests), base, seeds, axes)


def recipe_path(value: str | None) -> Path | None:
    """A recipe given as a path, or by the name of a bundled one. Raises UsageError with the bundled names."""
    from importlib.resources import files

    from reid_data.errors import unknown_name

    if value is None or value.endswith(".toml"):
        return None if value is None else Path(value)
    bundled = {Path(entry.name).stem: Path(str(entry)) for entry in files("reid_assets").joinpath("recipes").iterdir()}
    if value not in bundled:
        raise unknown_name("recipe (a name, or a path that ends in .toml)", value, bundled)
    return bundled[value]


def announcer() -> Callable[[str], Progress]:
    """A line on stderr for each new task, and where its progress goes."""
    current: list[Progress] = []

    def announce(what: str) -> Progress:
        for progress in current:
            progress.__exit__()
        say(what)
        current[:] = [Progress("  ")]
        return current[0]

    return announce


def _write_tables(document: dict[str, Any], folder: Path) -> None:
    from reid_data.files import write_atomic
    from reid_train.report.html import render_matrix
    from reid_train.report.summary import as_csv, as_markdown, make_table

    write_atomic(folder / "results.csv", as_csv(document).encode("utf-8", "surrogateescape"))
    write_atomic(folder / "report.html", render_matrix(document).encode("utf-8", "backslashreplace"))
    text = "\n\n".join(as_markdown(make_table(document, metric)) for metric in ("mAP", "rank-1"))
    write_atomic(folder / "results.md", (text + "\n").encode("utf-8", "backslashreplace"))


def _print_results(document: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    from reid_train.report.summary import as_text, make_table

    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(as_text(make_table(document, "mAP")))
        click.echo()
        click.echo(as_text(make_table(document, "rank-1")))
    for cell in document["cells"]:
        if cell["status"] != "ok":
            say(f"failed: {cell['train']} (seed {cell['seed']}) on {cell['test']}: {cell['reason']}")
    say(f"Tables: {folder}/results.csv, results.json, results.md   Page: {folder}/report.html")
