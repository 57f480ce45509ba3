"""stdout and stderr of a command: what cannot be written to them ends it with a reason, not with a traceback."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from reid_data.errors import EnvironmentFault

EXIT_READER_GONE = 141
"""128 + SIGPIPE, as a shell reports a tool whose reader has gone."""


class Stream(io.TextIOWrapper):
    """A text stream, of this `kind` in messages, whose failing writes raise EnvironmentFault, or SystemExit if its reader
    has gone (`| head -1`).

    What comes after the first failure is dropped. Names that are not UTF-8 are written with escapes.
    """

    kind = "standard output"

    def write(self, text: str, /) -> int:
        """As of any text stream."""
        return self._try(lambda: super(Stream, self).write(text))

    def flush(self) -> None:
        """As of any text stream."""
        self._try(super().flush)

    def _try(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno == errno.EPIPE:
                raise SystemExit(EXIT_READER_GONE) from error
            raise EnvironmentFault(
                f"cannot write to the {self.kind}: {error.strerror}. Free space, or send it elsewhere."
            ) from error


def guard_streams() -> None:
    """Make stdout and stderr such streams; one that was closed before the start goes nowhere.

    Streams that someone has put in their place are left alone.
    """
    for name, kind in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  it lives as long as the process
            continue
        encoding = "utf-8" if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding
        # by a descriptor of its own: libraries are kept from writing to the process's one
        buffer = stream.buffer if name == "stdout" else open(os.dup(stream.fileno()), "wb")  # noqa: SIM115
        guarded = Stream(buffer, encoding, "backslashreplace", line_buffering=stream.line_buffering)
        guarded.kind = kind
        setattr(sys, name, guarded)
