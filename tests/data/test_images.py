"""Reading and writing: round trips, hostile bytes, orientation, whole-or-nothing files."""

import contextlib
import errno
import io
import os
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reid_data import images
from reid_data.errors import EnvironmentFault, ImageError
from reid_data.files import TEMPORARY_PREFIX, replacing, sweep_temporary, write_atomic
from reid_data.formats import names_a_picture
from reid_data.images import (
    MAX_PIXELS,
    decode_image,
    encode_jpeg,
    encode_mask,
    encode_png,
    read_image,
    read_mask,
    resize,
)
from tests.conftest import random_image


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """Bytes of a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_round_trip_keeps_every_pixel_and_the_channel_order():
    image = random_image(1)
    np.testing.assert_array_equal(decode_image(encode_png(image)), image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": b"x" * 300}, {"exif": b"Exif\0\0" + bytes(40)}]
)
def test_the_quick_jpeg_header_is_pillows(options):
    data = saved(Image.fromarray(random_image(1, (40, 23))), "JPEG", **options)
    assert images._jpeg_header(data) == ("JPEG", 23, 40, False) == images._any_header(data)


@given(st.data())
def test_the_quick_jpeg_header_never_says_other_than_pillow(data):
    good = saved(Image.fromarray(random_image(1, (40, 23))), "JPEG")
    start = data.draw(st.integers(0, 200))
    hostile = good[:start] + data.draw(st.binary(max_size=12)) + good[start + data.draw(st.integers(0, 12)) :]
    quick = images._jpeg_header(hostile)
    with contextlib.suppress(ImageError):
        assert quick is None or quick[1:] == images._any_header(hostile)[1:]


def test_an_enormous_jpeg_is_refused_by_its_header():
    data = bytearray(saved(Image.fromarray(random_image(1, (40, 23))), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(ImageError, match="60000x60000"):
        decode_image(bytes(data))


def test_jpeg_decodes_as_pillow_does():
    data = encode_jpeg(random_image(2), 90)
    np.testing.assert_array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "I;16"])
def test_every_pixel_kind_becomes_rgb(mode):
    source = Image.fromarray(random_image(3))
    picture = Image.fromarray(np.full((32, 16), 40_000, np.uint16)) if mode == "I;16" else source.convert(mode)
    decoded = decode_image(saved(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert decoded.shape == (32, 16, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_webp_and_tiff_decode_as_pillow_does(kind, mode):
    data = saved(Image.fromarray(random_image(5)).convert(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


def test_sixteen_bit_tiff_is_scaled():
    data = saved(Image.fromarray(np.full((4, 3), 40_000, np.uint16)), "TIFF")
    np.testing.assert_array_equal(decode_image(data), np.full((4, 3, 3), 40_000 >> 8, np.uint8))


@pytest.mark.parametrize("kind", ["MPO", "TIFF", "WEBP"])
def test_the_first_of_several_pictures_is_read(kind):
    first, second = (Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 20))
    data = saved(first, kind, save_all=True, append_images=[second])
    assert abs(int(decode_image(data).mean()) - 200) <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_a_picture_is_known_by_its_content(tmp_path, kind):
    for name in ("0001_c1", "picture.dat"):
        (tmp_path / name).write_bytes(saved(Image.fromarray(random_image(5)), kind))
        assert names_a_picture(tmp_path / name)
    (tmp_path / ".hidden").write_bytes((tmp_path / "0001_c1").read_bytes())
    (tmp_path / "readme.txt").write_text("BM, GIF and JPEG")
    assert not names_a_picture(tmp_path / ".hidden")
    assert not names_a_picture(tmp_path / "readme.txt")
    assert not names_a_picture(tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(random_image(4, (4, 2)), np.ones((16, 16, 1), np.uint8))
    data = saved(
        Image.fromarray(blocks), kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {})
    )
    from PIL import ImageOps

    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    decoded = decode_image(data)
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright.astype(int)).max() <= 2


def bomb() -> bytes:
    """A small PNG file of 16000 x 16000 pixels."""
    return saved(Image.new("1", (16_000, 16_000)), "PNG", compress_level=9)


HOSTILE = {
    "empty": (b"", "empty"),
    "html": (b"<html><body>404</body></html>", "is not a JPEG"),
    "gif": (saved(Image.fromarray(random_image(5)), "GIF"), "is not a JPEG.*it is a GIF picture"),
    "avif": (b"\0\0\0\x20ftypavif" + bytes(40), "is not a JPEG.*it is an AVIF picture"),
    "webp without its tail": (
        saved(Image.fromarray(random_image(5)), "WEBP")[:80],
        "damaged header: it is a WebP picture",
    ),
    "tiff without its tail": (b"II*\0\x08\0\0\0" + bytes(4), "is not a JPEG.*it is a TIFF picture"),
    "float tiff": (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "32 bits a pixel"),
    "webp bomb": (saved(Image.new("RGB", (16_000, 2_100)), "WEBP"), "16000x2100 pixels"),
    "truncated jpeg": (encode_jpeg(random_image(6), 95)[:300], "damaged|not a JPEG"),
    "jpeg without its tail": (encode_jpeg(random_image(6, (128, 64)), 95)[:-60], "truncated or damaged JPEG"),
    "png with damaged pixels": (
        encode_png(random_image(7))[:200] + b"\0" * 80 + encode_png(random_image(7))[280:],
        "damaged PNG",
    ),
    "bomb": (bomb(), "too large"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_give_a_reason(name):
    data, reason = HOSTILE[name]
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


def test_pixel_cap_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    side = int(MAX_PIXELS**0.5) + 2
    with pytest.raises(ImageError, match=f"{side}x{side} pixels"):
        decode_image(saved(Image.new("1", (side, side)), "PNG"))


def test_paths_that_are_no_images(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "missing.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in [
        ("folder", "folder"),
        ("nowhere", "link to nothing"),
        ("loop", "cannot be read"),
        ("pipe", "not a regular"),
        ("x", "not exist"),
    ]:
        with pytest.raises(ImageError, match=reason):
            read_image(str(tmp_path / f"{name}.jpg"))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "x.jpg").write_bytes(encode_jpeg(random_image(1)))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        read_image(str(tmp_path / "x.jpg"))


def test_links_may_not_leave_the_set(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "outside.png").write_bytes(encode_png(random_image(8)))
    (tmp_path / "set" / "inside.png").write_bytes(encode_png(random_image(8)))
    (tmp_path / "set" / "good.png").symlink_to("inside.png")
    (tmp_path / "set" / "bad.png").symlink_to("../outside.png")
    root = str(tmp_path / "set")
    assert read_image(f"{root}/good.png", root).shape == (32, 16, 3)
    with pytest.raises(ImageError, match="leads out"):
        read_image(f"{root}/bad.png", root)


def test_masks_keep_their_256_levels(tmp_path):
    alpha = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    write_atomic(tmp_path / "mask.png", encode_mask(alpha))
    np.testing.assert_allclose(read_mask(str(tmp_path / "mask.png")), alpha, atol=1e-6)


def test_masks_are_transparency_or_eight_bit_grey(tmp_path):
    alpha = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    plane = np.rint(alpha * 255).astype(np.uint8)
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(np.dstack([random_image(1, (16, 16)), plane])))
    np.testing.assert_allclose(read_mask(str(path)), alpha, atol=1e-6)
    path.write_bytes(encode_png(np.dstack([plane] * 3 + [np.full_like(plane, 255)])))
    np.testing.assert_allclose(read_mask(str(path)), alpha, atol=1e-6)
    path.write_bytes(encode_png(np.dstack([plane] * 3)))
    np.testing.assert_allclose(read_mask(str(path)), alpha, atol=1e-6)
    path.write_bytes(saved(Image.fromarray(plane.astype(np.uint16) * 257), "PNG"))
    with pytest.raises(ImageError, match="8-bit PNG"):
        read_mask(str(path))


def test_resize_is_pillows_bicubic_and_leaves_the_right_size_alone():
    image = random_image(9, (40, 20))
    expected = np.asarray(Image.fromarray(image).resize((10, 30), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize(image, (30, 10)), expected)
    assert resize(image, (40, 20)) is image


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "file"
    write_atomic(target, b"old")

    def fail_half_way() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def test_a_full_disk_is_named(tmp_path):
    target = tmp_path / "absent" / "file"
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_atomic(target, b"data")


def test_leftovers_of_a_killed_run_are_swept(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"{TEMPORARY_PREFIX}123-1").write_bytes(b"half")
    (tmp_path / "deep" / "kept.jpg").write_bytes(b"whole")
    assert sweep_temporary(tmp_path) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["kept.jpg"]
