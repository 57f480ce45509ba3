"""The click application of `reid-train`, and the table of its commands."""

import click

from ..commands import Commands, Table

COMMANDS = {
    "fit": "fit",
    "adapt": "adapt",
    "evaluate": "evaluate",
    "extract": "extract",
    "export": "export",
    "compare": "compare",
    "rank": "rank",
    "matrix": "matrix",
    "report": "report",
    "ablate": "ablate",
    "options": "options",
    "fetch-weights": "fetch_weights",
    "temperatures": "temperatures",
}


@click.group(
    cls=Commands, commands=Table("reid_cli.train", COMMANDS), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="person-reid-toolkit", prog_name="reid-train")
def app() -> None:
    """Train, evaluate, and benchmark every data set against every other.

    \b
    Example:
      reid-train fit --train market --name base
      reid-train evaluate base --test market,duke
      reid-train matrix --train composite --test market,duke
    """
