"""Kinds of hostile files that end up in real data sets, written among good images."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from reid_data.images import encode_jpeg, encode_png
from tests.conftest import random_image

SIZE = (64, 32)


def pillow_bytes(image: Image.Image, kind: str, **options) -> bytes:
    """Bytes of a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_with_false_size() -> bytes:
    """A PNG whose header promises 16 times the rows that follow."""
    data = bytearray(encode_png(random_image(1, SIZE)))
    header = struct.pack(">II", SIZE[1], SIZE[0] * 16) + bytes(data[24:29])
    data[16:29] = header
    data[29:33] = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return bytes(data)


def animation() -> bytes:
    """An animated PNG of two frames."""
    frames = [Image.fromarray(random_image(seed, SIZE)) for seed in (1, 2)]
    return pillow_bytes(frames[0], "PNG", save_all=True, append_images=frames[1:])


def bad_contents() -> dict[str, bytes]:
    """Contents that cannot be used, by kind."""
    picture = Image.fromarray(random_image(3, SIZE))
    jpeg, png = encode_jpeg(random_image(4, SIZE)), encode_png(random_image(5, SIZE))
    return {
        "empty": b"",
        "truncated-jpeg": jpeg[: len(jpeg) // 2],
        "jpeg-without-tail": jpeg[:-60],
        "jpeg-head-only": jpeg[:20],
        "png-corrupt-pixels": png[:300] + bytes(64) + png[364:],
        "png-truncated": png[: len(png) // 2],
        "png-false-size": png_with_false_size(),
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "gif": pillow_bytes(picture, "GIF"),
        "bomb": pillow_bytes(Image.new("1", (16_000, 16_000)), "PNG"),
        "random-bytes": np.random.default_rng(0).bytes(4000),
    }


def odd_but_good_contents() -> dict[str, bytes]:
    """Unusual images that must be read."""
    picture = Image.fromarray(random_image(6, SIZE))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "cmyk": pillow_bytes(picture.convert("CMYK"), "JPEG"),
        "grey": pillow_bytes(picture.convert("L"), "JPEG"),
        "sixteen-bit": pillow_bytes(Image.fromarray(np.full(SIZE, 30_000, np.uint16)), "PNG"),
        "animated": animation(),
        "webp": pillow_bytes(picture, "WEBP"),
        "tiff": pillow_bytes(picture, "TIFF"),
        "exif-rotated": pillow_bytes(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=turned),
        "one-row": encode_png(random_image(7, (1, 50))),
        "one-column": encode_png(random_image(8, (50, 1))),
    }


def bad_entries(outside: Path) -> dict[str, Callable[[Path], None]]:
    """Folder entries that are no regular files inside the set, by kind: each makes itself at a path."""
    return {
        "folder": lambda path: path.mkdir(),
        "dangling-link": lambda path: path.symlink_to(path.parent / "nowhere.jpg"),
        "looping-link": lambda path: path.symlink_to(path),
        "link-out": lambda path: path.symlink_to(outside),
        "pipe": lambda path: os.mkfifo(path),
    }


def odd_names() -> list[bytes]:
    """Names of good images that are not UTF-8, or hold a newline."""
    return [b"0002_c1s1_9\xff\xfe_00.jpg", b"0002_c2s1_9\n_00.jpg"]


def poison(folder: Path, outside: Path) -> tuple[list[str], list[str]]:
    """Write every kind into a split folder in Market naming.

    Returns the names that must be reported, and those that must work.
    """
    bad, good = [], []
    outside.write_bytes(encode_jpeg(random_image(9, SIZE)))
    for number, (kind, data) in enumerate(bad_contents().items()):
        bad.append(f"0002_c{number % 2 + 1}s1_{kind}_00.jpg")
        (folder / bad[-1]).write_bytes(data)
    for kind, make in bad_entries(outside).items():
        bad.append(f"0002_c1s1_{kind}_00.jpg")
        make(folder / bad[-1])
    if os.geteuid() != 0:
        bad.append("0002_c1s1_unreadable_00.jpg")
        (folder / bad[-1]).write_bytes(encode_jpeg(random_image(1, SIZE)))
        (folder / bad[-1]).chmod(0)
    for kind, data in odd_but_good_contents().items():
        good.append(f"0002_c1s1_{kind}_00.jpg")
        (folder / good[-1]).write_bytes(data)
    for name in odd_names():
        good.append(os.fsdecode(name))
        (folder / good[-1]).write_bytes(encode_jpeg(random_image(2, SIZE)))
    return bad, good
