"""Fetching published files, in one place: whole and with the right content, or not at all."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from reid_data.errors import EnvironmentFault
from reid_data.files import printable, replacing, require_space, sha256_file

TIMEOUT = 60
"""Seconds without a byte after which a server is given up."""

Progress = Callable[[int, int], None]
"""Called after each piece with the bytes so far and in all (0 = the server does not say)."""


def download(
    url: str, target: Path, *, sha256: str, num_bytes: int, otherwise: str, progress: Progress | None = None
) -> None:
    """Fetch `url` as `target`, which appears (or is replaced) only if its content has that sha256.

    `num_bytes` is what to make room for, and at most to accept; `otherwise` ends the message of a network that fails: what
    to choose instead. Raises EnvironmentFault when the network, the disk or the content fails.
    """
    require_space(target.parent, num_bytes)
    with replacing(target) as temporary:
        try:
            _receive(url, temporary, num_bytes, progress)
        except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            raise EnvironmentFault(
                f"cannot fetch {url}: {error}. Copy the file to '{printable(target)}' from elsewhere, or {otherwise}."
            ) from error
        got = sha256_file(temporary)
        if got != sha256:
            raise EnvironmentFault(
                f"{url} gave a file with sha256 {got}, expected sha256 {sha256}; it was discarded. Try again."
            )


def _receive(url: str, target: Path, limit: int, progress: Progress | None) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(target, "wb") as file:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while piece := answer.read(1 << 20):
            file.write(piece)
            done += len(piece)
            if done > limit:
                raise EnvironmentFault(f"{url} sends more than {limit / 1e6:.0f} MB; stopped.")
            if progress is not None:
                progress(done, total)
    if done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")
