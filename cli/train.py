"""`reid-train`: from records to a model, features, metrics and a report."""

import click

from .ablate import ablate
from .errors import run
from .fit import fit
from .grid import matrix
from .judge import compare, rank
from .model import evaluate, extract, fetch_weights, temperatures
from .options import Commands
from .report import report
from .settings import options


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="person-reid-toolkit", prog_name="reid-train")
def app() -> None:
    """Train, evaluate, and benchmark every data set against every other.

    \b
    Example:
      reid-train fit --train market --name base
      reid-train evaluate base --test market,duke
      reid-train matrix --train composite --test market,duke
    """


app.add_command(fit)
app.add_command(evaluate)
app.add_command(extract)
app.add_command(compare)
app.add_command(rank)
app.add_command(matrix)
app.add_command(report)
app.add_command(ablate)
app.add_command(options)
app.add_command(fetch_weights)
app.add_command(temperatures)


def main() -> None:
    """Entry point."""
    run(app)
