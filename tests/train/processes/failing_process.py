"""A process that fails while the other waits, for test_distributed.py. Imports no torch, so that it starts at once."""

import os
import time

from reid_data.errors import InputError


def failing_process(kind: str) -> None:
    """The second process raises (`error`) or dies (`death`); the first would go on for a minute."""
    if os.environ["RANK"] == "0":
        time.sleep(60)
    if kind == "error":
        raise InputError("no such image")
    os._exit(9)
