"""From an error to one message and an exit code; the whole difference between a traceback and an answer."""

import json
import os
import signal
import sys
from contextlib import suppress

import click

from reid_data.errors import EnvironmentFault, ReidError
from reid_data.files import printable

from .streams import guard_streams
from .terminal import say, show, show_error

EXIT_FAILED_ITEMS = 1
EXIT_SIGNAL = 128


def run(group: click.Group) -> None:
    """Run a click application.

    Exit codes: 0 complete, 1 failed items, 2 usage, 3 input, 4 environment, 130 Ctrl-C, 143 SIGTERM, 141 nobody reads the output.
    """
    guard_streams()
    try:
        code = group.main(standalone_mode=False)
        sys.stdout.flush()
    except click.Abort as abort:
        number = next(iter(abort.__cause__.args if abort.__cause__ else ()), signal.SIGINT)
        _stop(
            "interrupted",
            f"Stopped. What is finished is kept; the same command goes on from there:\n  {_this_command()}",
            EXIT_SIGNAL + number,
        )
    except click.ClickException as error:
        with suppress(EnvironmentFault):
            _show_usage(error)
        sys.exit(error.exit_code)
    except ReidError as error:
        _stop(type(error).__name__, str(error), error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _stop(kind: str, message: str, code: int) -> None:
    """Say it, and end; where a stream cannot take the words, the code has to do."""
    if "--json" in sys.argv:
        with suppress(EnvironmentFault):
            show(json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}, indent=2))
    with suppress(EnvironmentFault):
        (say if kind == "interrupted" else show_error)(message)
    sys.exit(code)


def _show_usage(error: click.ClickException) -> None:
    """As click does, with names made printable, on a terminal between rules."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"Try '{context.command_path} --help' for help." if context is not None else ""
    if context is not None:
        say(context.get_usage())
    show_error(error.format_message(), hint)


def _this_command() -> str:
    import shlex

    folder, program = os.path.split(sys.argv[0])
    started = ["python", "-m", os.path.basename(folder)] if program == "__main__.py" else [program]
    return shlex.join([*started, *map(printable, sys.argv[1:])])
