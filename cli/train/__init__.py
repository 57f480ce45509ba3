"""`reid-train`: from records to a model, features, metrics and a report."""

import click

from ..commands import Commands, Table
from ..errors import run

COMMANDS = {
    "fit": "fit",
    "evaluate": "evaluate",
    "extract": "extract",
    "compare": "compare",
    "rank": "rank",
    "matrix": "matrix",
    "report": "report",
    "ablate": "ablate",
    "options": "options",
    "fetch-weights": "fetch_weights",
    "temperatures": "temperatures",
}


@click.group(cls=Commands, commands=Table(__name__, COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="person-reid-toolkit", prog_name="reid-train")
def app() -> None:
    """Train, evaluate, and benchmark every data set against every other.

    \b
    Example:
      reid-train fit --train market --name base
      reid-train evaluate base --test market,duke
      reid-train matrix --train composite --test market,duke
    """


def main() -> None:
    """Entry point."""
    run(app)


def cell_main() -> None:
    """`reid-train` as the process of one cell: it ends when the runner's end of its standard input closes."""
    import os
    import sys
    import threading

    def end_with_runner() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock a daemon thread may not hold when the process ends
            pass
        os._exit(1)

    threading.Thread(target=end_with_runner, daemon=True).start()
    sys.argv[0] = "reid-train"
    main()
