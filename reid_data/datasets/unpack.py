"""Zip archives that people bring: unpacked with bounds, and nothing outside the folder."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from reid_data.errors import InputError
from reid_data.files import make_folder, printable, require_space

MAX_FILES = 2_000_000
MAX_FILE_BYTES = 1 << 28
_PIECE = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the regular files of a zip archive below `folder`, which is made; hidden ones and `__MACOSX/` are left out.

    Raises InputError, before anything is written, for names that lead out of the folder, links, encrypted files, over
    `MAX_FILES` files and one of over `MAX_FILE_BYTES`; for damaged content; EnvironmentFault if the disk has no room for it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [(entry, _inner(entry.filename)) for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > MAX_FILES:
                raise _refused(archive, f"holds {len(entries):,} files, over {MAX_FILES:,}")
            for entry, inner in entries:
                _require_plain(archive, entry, inner)
            require_space(folder.parent, sum(entry.file_size for entry, _ in entries))
            make_folder(folder)
            for entry, inner in entries:
                if inner is not None and not any(part.startswith(".") or part == "__MACOSX" for part in inner.parts):
                    _write(opened, entry, folder / inner)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise _refused(archive, f"is damaged or of a kind that we do not read: {error}") from error


def _refused(archive: Path, reason: str) -> InputError:
    return InputError(f"'{printable(archive)}' {reason}. Unpack it by hand, look at it, and import the folder.")


def _inner(name: str) -> PurePosixPath | None:
    """The relative path of an entry; None if it leads out of the folder, or is no name for a file."""
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":"))
    return None if outside or not path.parts or any(len(os.fsencode(part)) > 255 for part in path.parts) else path


def _require_plain(archive: Path, entry: zipfile.ZipInfo, inner: PurePosixPath | None) -> None:
    shown = printable(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if inner is None:
        raise _refused(archive, f"holds the name '{shown}', which leads out of it")
    if kind not in (0, stat.S_IFREG):
        raise _refused(archive, f"holds '{shown}', which is a link or no regular file")
    if entry.flag_bits & 1:
        raise _refused(archive, f"holds '{shown}' encrypted")
    if entry.file_size > MAX_FILE_BYTES:
        raise _refused(archive, f"holds '{shown}' of {entry.file_size:,} bytes, over {MAX_FILE_BYTES:,}")


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Write one file, never more than the size stated for it (`zipfile` stops there, and checks the sum)."""
    make_folder(target.parent)
    try:
        with opened.open(entry) as source, open(target, "xb") as file:
            shutil.copyfileobj(source, file, _PIECE)
    except FileExistsError as error:
        raise ValueError(f"the name '{printable(entry.filename)}' stands there twice") from error
