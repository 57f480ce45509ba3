"""The click application of `reid-data`, and the table of its commands."""

import click

from ..commands import Commands, Table

COMMANDS = {
    "list": "list_sets",
    "stats": "stats",
    "check": "check",
    "import": "import_set",
    "subset": "subset",
    "env": "env",
    "doctor": "doctor",
    "synth": "synth",
    "segment": "segment",
    "backgrounds": "backgrounds",
    "composite": "composite",
    "preview": "preview",
    "quality": "quality",
    "verify": "verify",
    "forget": "forget",
    "train-segmenter": "train_segmenter",
    "fetch-weights": "fetch_weights",
}


@click.group(
    cls=Commands, commands=Table("reid_cli.data", COMMANDS), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="person-reid-toolkit", prog_name="reid-data")
def app() -> None:
    """Photos in, composite data sets out.

    \b
    Example:
      reid-data list
      reid-data stats market
      reid-data composite --fg market --bg duke
    """
