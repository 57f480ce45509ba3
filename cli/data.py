"""`reid-data`: from folders of photos to records, masks, backgrounds and new data sets."""

import click

from .backgrounds import backgrounds
from .compose import composite
from .errors import run
from .inspection import check, doctor, env, import_command
from .keeping import forget, verify
from .looking import preview, quality
from .make import synth
from .options import Commands
from .segmenting import fetch_weights_command, segment, train_segmenter
from .sets import list_sets, stats


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="person-reid-toolkit", prog_name="reid-data")
def app() -> None:
    """Photos in, composite data sets out.

    \b
    Example:
      reid-data list
      reid-data stats market
      reid-data composite --fg market --bg duke
    """


app.add_command(list_sets)
app.add_command(stats)
app.add_command(check)
app.add_command(import_command)
app.add_command(env)
app.add_command(doctor)
app.add_command(synth)
app.add_command(segment)
app.add_command(backgrounds)
app.add_command(composite)
app.add_command(preview)
app.add_command(quality)
app.add_command(verify)
app.add_command(forget)
app.add_command(train_segmenter)
app.add_command(fetch_weights_command)


def main() -> None:
    """Entry point."""
    run(app)
