"""The first moments of a command: from here on Ctrl-C and SIGTERM end it with a sentence, also while modules load."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


def start(application: str) -> None:
    """Run the click application `data` or `train`.

    Names are UTF-8 under every locale: where Python would take them for something else, it is started anew.

    Both signals become a KeyboardInterrupt that holds the signal's number, so that all that is cleaned up after Ctrl-C is
    cleaned up after SIGTERM, too.
    """
    if sys.getfilesystemencoding() != "utf-8":
        again = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONUTF8": "1"})
    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        from .errors import run

        app = import_module(f"reid_cli.{application}").app
    except KeyboardInterrupt as stop:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"Stopped before anything was begun.\n")
        sys.exit(128 + stop.args[0])
    try:
        run(app)
    finally:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)  # all is said; what is left is the interpreter's own end


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)
