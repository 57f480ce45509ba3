"""`reid-train options`: every setting."""

import json

import click

from reid_train.settings.setting import default_text, flag, value_form
from reid_train.settings.train import fields

from ..terminal import show


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def options(as_json: bool) -> None:
    """List every setting: flag, values, default, meaning, source.

    \b
    Example:
      reid-train options
    """
    rows = [
        {
            "setting": name,
            "flag": flag(name),
            "values": "yes|no" if isinstance(field.default, bool) else value_form(field),
            "default": default_text(name, field),
            "meaning": field.metadata["help"],
            "source": field.metadata["source"],
            "changes": {"train": "the training", "test": "tests only", "run": "no result"}[field.metadata["stage"]],
        }
        for name, field in fields().items()
    ]
    if as_json:
        show(json.dumps(rows, indent=2))
        return
    for row in rows:
        show(f"{row['flag']}  {row['values']}  [{row['default']}]")
        show(f"    {row['meaning']} (source: {row['source']}; changes {row['changes']})")
