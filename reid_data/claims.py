"""A folder that one process writes at a time, whichever of the machines that see it: a claim beside the folder.

The claim of `out/` is the file `.out.claim`, made with O_EXCL and removed at the end, so that what is written is not changed by
it. It names its process and is touched every half minute. One of this host ends with its process; that of another host lapses
five minutes after its last sign of life, by the clock of whoever keeps the files.
"""

import json
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from reid_data.errors import EnvironmentFault
from reid_data.files import make_folder, printable, refuse_links, temporary_path
from reid_data.hosts import Process, this_process

BEAT_SECONDS = 30.0
LAPSE_SECONDS = 300.0
logger = logging.getLogger("reid_data")


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the output `folder` against a second process that would write it, on this machine or on another that sees it.

    Raises EnvironmentFault when one already does, where a link in it leads out of it (`refuse_links`), or when the claim was
    lost meanwhile: to another machine, after this one had stood still for longer than a claim lasts.
    """
    path = _claim_of(folder)
    made = [parent for parent in path.parents if not parent.exists()]
    held = _Held(path, folder)
    try:
        refuse_links(folder)
        yield
    except KeyboardInterrupt:
        if held.lost:
            raise _lost(folder) from None
        raise
    finally:
        held.release()
        for parent in made:
            with suppress(OSError):  # nothing came of it; or something did, and it stays
                parent.rmdir()
    if held.lost:
        raise _lost(folder)


def is_claimed(folder: Path) -> bool:
    """Whether some process holds `folder` now."""
    found = _read(_claim_of(folder))
    return found is not None and _lives(found)


def _claim_of(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.parent / f".{folder.name}.claim"


class _Held:
    """A claim of this process, with the thread that shows that it is alive."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.lost = path, False
        self.data = json.dumps({**asdict(this_process()), "random": secrets.token_hex(8)}).encode("ascii")
        while not _make(path, self.data):
            found = _read(path)
            if found is not None and (_lives(found) or not _set_aside(found)):
                raise _taken(folder, found)
        _sweep(path.parent)
        self._interrupts = threading.current_thread() is threading.main_thread()
        self._done = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"claim of {folder.name}", daemon=True)
        self._heart.start()

    def release(self) -> None:
        """Let go; the file goes, unless it is somebody else's by now."""
        self._done.set()
        self._heart.join()
        if self._is_ours():
            self.path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        found = _read(self.path)
        return found is not None and found.data == self.data

    def _beat(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            try:
                self.lost = not self._is_ours() and not self._done.wait(1) and not self._is_ours()
                if self.lost:
                    if self._interrupts and callable(signal.getsignal(signal.SIGINT)):
                        os.kill(os.getpid(), signal.SIGINT)
                    return
                os.utime(self.path)
            except OSError as error:
                logger.warning("the claim '%s' cannot be renewed just now: %s", printable(self.path), error.strerror)


class _Found(NamedTuple):
    """A claim as it was read: where, its bytes, its last sign of life in seconds of the file server's clock."""

    path: Path
    data: bytes
    beat: float


def _read(path: Path) -> _Found | None:
    try:
        with open(path, "rb") as file:
            return _Found(path, file.read(), os.fstat(file.fileno()).st_mtime)
    except FileNotFoundError:
        return None


def _make(path: Path, data: bytes) -> bool:
    """Whether there was no claim, and now there is ours."""
    make_folder(path.parent)
    try:
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, FileNotFoundError):
        return False
    except OSError as error:
        raise EnvironmentFault(
            f"the claim '{printable(path)}' cannot be made: {error.strerror}. Whoever writes a folder marks it as theirs with a file "
            "beside it: mend the rights there, or choose an output one folder deeper."
        ) from error
    with os.fdopen(number, "wb") as file:
        file.write(data)
    return True


def _set_aside(found: _Found) -> bool:
    """Remove the claim of a process that is no more. False: another was quicker, and a living claim is in its place."""
    aside = temporary_path(found.path)
    try:
        os.rename(found.path, aside)
    except FileNotFoundError:
        return True
    moved = _read(aside)
    if moved is None or moved.data != found.data:
        os.rename(aside, found.path)
        return False
    aside.unlink()
    return True


def _sweep(parent: Path) -> None:
    """Remove the claims that killed processes of this host left on other folders beside."""
    for path in parent.glob(".*.claim"):
        found = _read(path)
        owner = None if found is None else _owner(found)
        if found is not None and owner is not None and owner.lives() is False:
            _set_aside(found)


def _lives(found: _Found) -> bool:
    owner = _owner(found)
    lives = owner.lives() if owner is not None else None
    return _age(found) < LAPSE_SECONDS if lives is None else lives


def _owner(found: _Found) -> Process | None:
    """None: the claim is being written, or damaged."""
    try:
        fields = json.loads(found.data)
        return Process(**{name: fields[name] for name in Process.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def _age(found: _Found) -> float:
    """Seconds since the last sign of life, both by the clock of whoever keeps the files."""
    probe = temporary_path(found.path)
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now - found.beat


def _taken(folder: Path, found: _Found) -> EnvironmentFault:
    owner = _owner(found)
    who = "" if owner is None else f" (process {owner.pid} of {owner.host})"
    lapse = (
        ""
        if owner is not None and owner.lives()
        else f" If that machine is down, its claim lapses {LAPSE_SECONDS / 60:.0f} minutes after its last sign of life."
    )
    return EnvironmentFault(
        f"another process is writing '{printable(folder)}'{who}. Wait for it, or choose another folder.{lapse}"
    )


def _lost(folder: Path) -> EnvironmentFault:
    return EnvironmentFault(
        f"'{printable(folder)}' was taken over by another process, because this one had stood still for more than "
        f"{LAPSE_SECONDS / 60:.0f} minutes. Run the same command again when that one is done; what is finished is kept."
    )
