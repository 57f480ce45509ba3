"""From an error to one message and an exit code; the whole difference between a traceback and an answer."""

import json
import os
import sys

import click

from reid_data.errors import ReidError
from reid_data.files import printable

EXIT_FAILED_ITEMS = 1
EXIT_INTERRUPTED = 130


def run(group: click.Group) -> None:
    """Run a click application; exit codes: 0 complete, 1 failed items, 2 usage, 3 input, 4 environment, 130 interrupted."""
    try:
        code = group.main(standalone_mode=False)
    except click.Abort:
        _stop(
            "interrupted",
            f"Stopped. What is finished is kept; the same command goes on from there:\n  {_this_command()}",
            EXIT_INTERRUPTED,
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ReidError as error:
        _stop(type(error).__name__, str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _stop(kind: str, message: str, code: int) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}, indent=2))
    click.echo(message if kind == "interrupted" else f"Error: {message}", err=True)
    sys.exit(code)


def _this_command() -> str:
    import shlex

    return shlex.join([os.path.basename(sys.argv[0]), *map(printable, sys.argv[1:])])
