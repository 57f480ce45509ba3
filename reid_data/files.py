"""Files that appear whole or not at all, caches, hashes, free space; the only place that renames.

Every write goes through `write_atomic`, and every write and rename passes a `failpoint`, so that a test can kill the
process at each of them in turn (set REID_FAILPOINT=N: the process kills itself at the N-th one).
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from reid_data.errors import EnvironmentFault
from reid_data.errors import printable as printable
from reid_data.hosts import running_since, this_host

TEMPORARY_PREFIX = ".tmp-"
_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + r"(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{16}", re.ASCII)
ABANDONED_SECONDS = {True: 3600, False: 86400}
"""After how long without a write a half-written file counts as left by a killed run: one of this host, one of another."""
AnyPath = str | os.PathLike[str]
"""A path as people give it: the public functions take text, too."""

_hits = 0


def failpoint() -> None:
    """Die by SIGKILL at the N-th call when REID_FAILPOINT=N; otherwise nothing. For crash tests only."""
    wanted = os.environ.get("REID_FAILPOINT")
    if wanted is None:
        return
    global _hits
    _hits += 1
    if _hits == int(wanted):
        os.kill(os.getpid(), signal.SIGKILL)


def temporary_path(target: Path) -> Path:
    """A new name beside `target` that no reader takes for data and that no other thread, process or host uses."""
    return target.parent / f"{TEMPORARY_PREFIX}{this_host()}-{os.getpid()}-{secrets.token_hex(8)}"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success rename it to `target`, on failure remove it."""
    temporary = temporary_path(target)
    try:
        yield temporary
        failpoint()
        os.replace(temporary, target)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write '{printable(target)}': {error.strerror}. Free space or mend the rights."
        ) from error
    finally:
        with suppress(OSError):  # a disk that takes no writes removes nothing either; `sweep_temporary` comes by later
            temporary.unlink(missing_ok=True)
    failpoint()


@contextmanager
def writing(target: Path, *, sync: bool = False) -> Iterator[BinaryIO]:
    """Yield an open binary file that becomes `target` on success. `sync` also forces it to the disk."""
    with replacing(target) as temporary, open(temporary, "wb") as file:
        failpoint()
        yield file
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_atomic(target: str | os.PathLike[str], data: bytes, *, sync: bool = False) -> None:
    """Write `data` to `target` through a temporary file and a rename. `sync` also forces it to the disk."""
    with writing(Path(target), sync=sync) as file:
        file.write(data)


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as stable, ASCII-only JSON (names that are not UTF-8 survive as escapes), forced to the disk."""
    write_atomic(
        target, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii"), sync=True
    )


def sweep_temporary(folder: Path) -> int:
    """Remove what killed runs left half-written below `folder`; the number of files removed.

    Others may write there meanwhile: what a process that runs here has touched within an hour stays, and what another host
    has touched within a day.
    """
    removed = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if name.startswith(TEMPORARY_PREFIX) and _is_abandoned(path):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _is_abandoned(path: Path) -> bool:
    made = _TEMPORARY.fullmatch(path.name)
    if made is None:
        return True  # by a version of this tool that shared nothing
    ours = made["host"] == this_host()
    if ours and running_since(int(made["pid"])) is None:
        return True
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS[ours]
    except FileNotFoundError:
        return True


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal sha256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settings_digest(settings: Any) -> str:
    """Hexadecimal sha256 of a JSON-able value, independent of the order of its keys."""
    return sha256_bytes(json.dumps(settings, sort_keys=True, ensure_ascii=True).encode("ascii"))


def cache_folder(*parts: str) -> Path:
    """The folder `parts` below REID_CACHE, else below the platform's cache folder; created if missing."""
    root = os.environ.get("REID_CACHE") or platformdirs.user_cache_dir("reid", appauthor=False)
    return make_folder(Path(root, *parts).absolute())


def make_folder(path: Path) -> Path:
    """Create `path` with its parents; an error that names the path and the reason if that is refused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"cannot create the folder '{printable(path)}': {error.strerror}.") from error
    return path


def empty_folder(path: Path) -> Path:
    """Create the folder `path` anew, without what was in it."""
    remove_tree(path)
    make_folder(path.parent)
    try:
        path.mkdir()
    except OSError as error:
        raise EnvironmentFault(f"cannot create the folder '{printable(path)}': {error.strerror}.") from error
    return path


def remove_tree(path: Path) -> None:
    """Remove a folder with all that lies in it; of a link, only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def refuse_links(folder: Path) -> None:
    """Raise EnvironmentFault for a symbolic link anywhere below `folder`, which may be one itself: what is written or removed
    behind it would lie outside."""
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        refuse_link(Path(entry.path))
                    elif entry.is_dir():
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # nothing is there yet; or another process took it away meanwhile
        except PermissionError as error:
            raise EnvironmentFault(f"cannot look into '{printable(error.filename)}': {error.strerror}.") from error


def refuse_link(path: Path) -> None:
    """Raise EnvironmentFault if `path`, in an output, is a symbolic link."""
    if path.is_symlink():
        raise EnvironmentFault(
            f"'{printable(path)}' is a symbolic link. Nothing is written or removed through a link in an output: put its target "
            "in its place, or choose another output."
        )


def require_space(folder: Path, num_bytes: int) -> None:
    """Raise unless the disk that holds `folder` (or its nearest existing parent) has `num_bytes` free."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < num_bytes:
        raise EnvironmentFault(
            f"not enough space for '{printable(folder)}': about {num_bytes / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free. "
            "Free some, or write elsewhere with --data-root or --out."
        )
