"""`reid-train`: from records to a model, features, metrics and a report."""

from typing import TYPE_CHECKING

from reid_data.lazy import attach

if TYPE_CHECKING:
    from .application import app as app

__getattr__, __dir__ = attach(__name__, {"app": "reid_cli.train.application:app"})


def main() -> None:
    """Entry point."""
    from ..starting import start

    start("train")


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
