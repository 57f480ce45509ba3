"""Pictures that are seen through: refused, or composed over a colour, in every format that can hold alpha."""

import contextlib
import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reid_data.datasets import load_dataset
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import ImageError, UsageError
from reid_data.files import write_atomic
from reid_data.images import decode_image, encode_png, read_record
from reid_data.records import TRANSPARENT, Record, matte_row, over_matte, read_colour
from reid_data.segment.base import PlainSegmenter
from reid_data.segment.cache import MaskCache, Masked
from reid_data.transparency import over
from tests.conftest import random_image
from tests.data.people import person_picture, write_people_set

MATTE = (10, 200, 60)
COLOURS = [(255, 0, 0), (0, 100, 255)]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, kind: int, row: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row of two pixels."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(b"\0" + row)),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


def words(*values: int) -> bytes:
    """16-bit numbers."""
    return struct.pack(f">{len(values)}H", *values)


PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 100, 255]))
BY_HAND = {
    "grey and alpha": (png(8, 4, bytes([40, 0, 90, 255])), [MATTE, (90, 90, 90)]),
    "grey and alpha, 16 bit": (png(16, 4, words(0x2800, 0, 0x5AFF, 0xFFFF)), [MATTE, (90, 90, 90)]),
    "colour and alpha": (png(8, 6, bytes([255, 0, 0, 0, 0, 100, 255, 255])), [MATTE, COLOURS[1]]),
    "colour and alpha, 16 bit": (png(16, 6, words(0xFF00, 0, 0, 0, 0, 0x6400, 0xFF00, 0xFFFF)), [MATTE, COLOURS[1]]),
    "half": (png(8, 6, bytes([255, 0, 0, 51, 0, 100, 255, 255])), [(59, 160, 48), COLOURS[1]]),
    "palette": (png(8, 3, bytes([0, 1]), PALETTE, (b"tRNS", bytes([0]))), [MATTE, COLOURS[1]]),
    "palette, half, one bit": (png(1, 3, b"\x40", PALETTE, (b"tRNS", bytes([51]))), [(59, 160, 48), COLOURS[1]]),
    "one colour": (png(8, 2, bytes([255, 0, 0, 0, 100, 255]), (b"tRNS", words(255, 0, 0))), [MATTE, COLOURS[1]]),
    "one colour, 16 bit": (
        png(16, 2, words(0xFF01, 0, 0, 0xFF02, 0, 0), (b"tRNS", words(0xFF01, 0, 0))),
        [MATTE, COLOURS[0]],
    ),
    "one grey": (png(8, 0, bytes([40, 90]), (b"tRNS", words(40))), [MATTE, (90, 90, 90)]),
    "one grey, 16 bit": (png(16, 0, words(0x2801, 0x2802), (b"tRNS", words(0x2801))), [MATTE, (40, 40, 40)]),
    "one grey, four bit": (png(4, 0, b"\x3a", (b"tRNS", words(3))), [MATTE, (170, 170, 170)]),
    "one grey, one bit": (png(1, 0, b"\x40", (b"tRNS", words(0))), [MATTE, (255, 255, 255)]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_png_over_a_matte_is_what_it_comes_to_by_hand(name: str) -> None:
    data, expected = BY_HAND[name]
    assert decode_image(data, MATTE)[0].tolist() == [list(colour) for colour in expected]
    with pytest.raises(ImageError, match="--matte R,G,B") as error:
        decode_image(data)
    assert str(error.value) == TRANSPARENT


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Bytes of a Pillow image."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("alpha", [0, 51, 254])
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "LA", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    ],
)
def test_every_format_with_alpha(kind: str, mode: str, options: dict[str, object], alpha: int) -> None:
    picture = Image.fromarray(random_image(1)).convert(mode)
    opaque = decode_image(saved(picture, kind, **options))
    assert np.array_equal(opaque, np.asarray(picture.convert("RGB"))), "an alpha of 255 everywhere is no transparency"
    plane = np.full(opaque.shape[:2], 255, np.uint8)
    plane[3:9, 2:5] = alpha
    picture.putalpha(Image.fromarray(plane))
    data = saved(picture, kind, **options)
    assert np.array_equal(decode_image(data, "ignored"), opaque)
    share = plane[:, :, None] / 255
    exact = opaque * share + np.array(MATTE) * (1 - share)
    assert np.abs(decode_image(data, MATTE) - exact).max() <= 0.5 + 1e-9
    with pytest.raises(ImageError, match="transparent"):
        decode_image(data)


def bmp_with_alpha() -> bytes:
    """A BMP of version 4 whose masks name alpha: two pixels, the first transparent."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0) + masks + b"BGRs" + bytes(48)
    pixels = bytes([0, 0, 255, 0, 255, 100, 0, 255])
    return b"BM" + struct.pack("<IHHI", 14 + 108 + 8, 0, 0, 122) + header + pixels


def test_a_bitmap_with_alpha() -> None:
    assert decode_image(bmp_with_alpha(), MATTE)[0].tolist() == [list(MATTE), list(COLOURS[1])]
    with pytest.raises(ImageError, match="transparent"):
        decode_image(bmp_with_alpha())


def test_alpha_turns_with_the_picture() -> None:
    picture = Image.fromarray(random_image(2)).convert("RGBA")
    plane = np.full((picture.height, picture.width), 255, np.uint8)
    plane[0, :] = 0
    picture.putalpha(Image.fromarray(plane))
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    found = decode_image(saved(picture, "PNG", exif=exif.tobytes()), MATTE)
    assert found.shape == (picture.width, picture.height, 3)
    assert (found[:, -1] == MATTE).all()
    assert not (found[:, 0] == MATTE).all()


@pytest.mark.parametrize("options", [{"loop": 0}, {"default_image": True}])
def test_of_an_animation_the_first_frame_counts(options: dict[str, object]) -> None:
    frames = [Image.new("RGBA", (16, 32), (*colour, alpha)) for colour, alpha in zip(COLOURS, (255, 0))]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], **options)
    assert (decode_image(data) == COLOURS[0]).all(), "the second frame is transparent, the first is not"
    data = saved(frames[1], "PNG", save_all=True, append_images=frames[:1], **options)
    assert (decode_image(data, MATTE) == MATTE).all()


def test_a_single_pixel_and_a_picture_with_nothing_to_see() -> None:
    assert decode_image(encode_png(np.zeros((1, 1, 4), np.uint8)), MATTE).tolist() == [[list(MATTE)]]
    assert decode_image(encode_png(np.full((1, 1, 4), 255, np.uint8))).tolist() == [[[255, 255, 255]]]


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=40), st.integers(8, 120), st.sampled_from(sorted(BY_HAND)))
def test_damage_is_an_image_error_or_nothing(noise: bytes, place: int, name: str) -> None:
    data = BY_HAND[name][0]
    with contextlib.suppress(ImageError):
        image = decode_image(data[:place] + noise + data[place + len(noise) :], MATTE)
        assert (image.ndim, image.dtype) == (3, np.uint8)


def test_composing_is_rounded_to_the_nearest() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    for alpha in (0, 1, 127, 128, 254, 255):
        exact = (image.astype(int) * alpha + np.array(MATTE) * (255 - alpha)) / 255
        assert np.array_equal(over(image, np.full((1, 256), alpha, np.uint8), MATTE), np.floor(exact + 0.5))


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "256,0,0", "-1,0,0", "a,b,c", "1.5,0,0", "white", "1,2,\u00b2"])
def test_a_matte_is_three_numbers_of_a_byte(text: str) -> None:
    with pytest.raises(UsageError, match="--matte"):
        read_colour(text)
    assert read_colour(" 0, 128,255") == (0, 128, 255)


def cut_out_set(root: Path) -> Path:
    """The people's set as cut-outs: PNG files with what was cut out still below the alpha of 0."""
    write_people_set(root)
    for number, path in enumerate(sorted(root.glob("[bq]*/*.jpg"))):
        image, mask = person_picture(number)
        write_atomic(path.with_suffix(".png"), encode_png(np.dstack([image, np.where(mask, 255, 0).astype(np.uint8)])))
        path.unlink()
    return root


def test_the_digest_changes_with_the_matte_and_only_then(tmp_path: Path) -> None:
    cut_out_set(tmp_path / "cut")
    plain, white, black = (
        load_dataset("cut", tmp_path, matte) for matte in (None, (255, 255, 255), (0, 0, 0))
    )  # the same files
    assert len({dataset_digest(dataset) for dataset in (plain, white, black)}) == 3
    assert dataset_digest(over_matte(plain, (0, 0, 0))) == dataset_digest(black)
    assert dataset_digest(over_matte(plain, None)) == dataset_digest(plain)
    assert over_matte(black, (255, 255, 255)) == black, "the matte that was given first"
    assert matte_row(plain) == {}
    assert matte_row(white) == {"matte": "255,255,255"}


@dataclass(frozen=True)
class Reddish(PlainSegmenter):
    """Takes what is rather red for a person."""

    name: str = "reddish"
    cached: bool = True
    max_workers: int | None = None
    batch: int = 4

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`."""
        return "ed" * 32

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`."""
        return [(image[:, :, 1] < 50).astype(np.float32) for image in images], [1.0] * len(images)


def test_masks_are_kept_for_each_matte(tmp_path: Path) -> None:
    cut_out_set(tmp_path / "cut")
    cache = MaskCache(Reddish())
    records = {matte: load_dataset("cut", tmp_path, matte).train[0] for matte in ((255, 255, 255), (190, 10, 10))}
    made = {matte: cache.masked([record])[0] for matte, record in records.items()}
    again = {matte: MaskCache(Reddish()).masked([record])[0] for matte, record in records.items()}
    for matte, record in records.items():
        one, other = made[matte], again[matte]
        assert isinstance(one, Masked)
        assert isinstance(other, Masked)
        assert np.array_equal(one.image, read_record(record))
        assert np.array_equal(one.alpha, other.alpha)
    assert not np.array_equal(made[255, 255, 255].alpha, made[190, 10, 10].alpha)  # type: ignore[union-attr]


def test_a_record_says_nothing_of_a_matte_that_it_has_not() -> None:
    record = Record("data", "a.png", 1, 1, "train")
    assert (record.matte, record.matte_mark) == (None, "")
    assert Record("data", "a.png", 1, 1, "train", "ignored").matte is None
    assert Record("data", "a.png", 1, 1, "train", MATTE).matte_mark == "-over-10-200-60"
