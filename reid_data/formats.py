"""Which picture formats are read, and what a file's first bytes say that it is."""

import os
import stat

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
READ = "JPEG, PNG, BMP, WebP or TIFF"
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Endings that are taken for a picture's without a look into the file."""

SNIFFED = 32
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WebP": ".webp", "TIFF": ".tif"}
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "Windows icon"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF"}
_OTHERS = (
    (b"<!doc", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML text"),
    (b"<svg", "an SVG drawing"),
    (b"%pdf", "a PDF document"),
    (b"pk\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself"),
)


def picture_kind(data: bytes) -> str | None:
    """The name of the picture format that bytes begin like, read by us or not; None where they are no picture that we know."""
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return "BMP"
    return _BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None


def described(data: bytes) -> str:
    """What bytes that are no picture of ours seem to be, for a message: `a GIF picture`, `an HTML page`, or how they begin."""
    kind = picture_kind(data)
    if kind is not None:
        return f"{'an' if kind[0] in 'AH' else 'a'} {kind} picture"
    for start, words in _OTHERS:
        if data[:64].lstrip().lower().startswith(start):
            return words
    return f"something that begins with {data[:12]!r}"


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The ending of a picture's name, in small letters; of one without a usual ending that of what its first bytes say."""
    ending = os.path.splitext(path)[1].lower()
    if ending in SUFFIXES:
        return ending
    try:
        with open(path, "rb", buffering=0) as file:
            return _ENDINGS.get(picture_kind(file.read(SNIFFED)) or "", ".jpg")
    except OSError:
        return ".jpg"


def names_a_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file is taken for a picture: by its ending, else by its first bytes (also a picture that we do not read, so
    that it is reported and not passed over). Hidden files are none."""
    name = os.path.basename(os.fspath(path))
    if name.startswith("."):
        return False
    return name.lower().endswith(SUFFIXES) or _begins_like_a_picture(path)


def _begins_like_a_picture(path: str | os.PathLike[str]) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb", buffering=0) as file:
            return picture_kind(file.read(SNIFFED)) is not None
    except OSError:
        return False
