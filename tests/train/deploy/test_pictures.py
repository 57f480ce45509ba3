"""What a program holds becomes RGB by the same rules as a file; boxes are cut by hand-worked cases."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid_data.errors import ImageError
from reid_data.images import encode_png, read_image
from reid_train.deploy.pictures import cut, to_rgb
from tests.conftest import random_image

SOLID = np.full((4, 3, 1), 255, np.uint8)


def test_arrays_of_every_kind_are_one_picture() -> None:
    image = random_image(0, (4, 3))
    grey = image[:, :, 0]
    for held in (image, np.dstack([image, SOLID]), image.astype(np.uint16) * 257, image[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(to_rgb(held, "refused"), image)
    for held in (grey, grey[:, :, None], grey.astype(np.uint16) << 8):
        np.testing.assert_array_equal(to_rgb(held, "refused"), np.dstack([grey] * 3))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16"])
def test_what_pillow_holds_is_read_as_the_file_that_it_would_write(mode: str, tmp_path: Path) -> None:
    image = random_image(1, (4, 3))
    picture = Image.fromarray(image[:, :, 0].astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(image)
    picture = picture if mode == "I;16" else picture.convert(mode)
    written = picture.convert("RGB") if mode in ("CMYK", "YCbCr") else picture
    written.save(tmp_path / "x.png")
    np.testing.assert_array_equal(to_rgb(picture, "refused"), read_image(str(tmp_path / "x.png")))
    with Image.open(tmp_path / "x.png") as opened:  # not loaded yet
        np.testing.assert_array_equal(to_rgb(opened, "refused"), to_rgb(picture, "refused"))


def test_bytes_and_orientation() -> None:
    image = random_image(2, (4, 3))
    np.testing.assert_array_equal(to_rgb(encode_png(image), "refused"), image)
    lying = Image.fromarray(np.rot90(image))
    lying.getexif()[0x0112] = 6  # turn by 90 degrees clockwise
    np.testing.assert_array_equal(to_rgb(lying, "refused"), image)


def test_transparent_pictures_are_refused_or_read_over_the_matte() -> None:
    image = random_image(3, (4, 3))
    alpha = SOLID.copy()
    alpha[0] = 0
    held = np.dstack([image, alpha])
    for one in (held, Image.fromarray(held), encode_png(held)):
        with pytest.raises(ImageError, match="has transparent pixels"):
            to_rgb(one, "refused")
        found = to_rgb(one, (1, 2, 3))
        assert (found[0] == (1, 2, 3)).all()
        np.testing.assert_array_equal(found[1:], image[1:])


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\): expected \(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "array of float32: expected uint8 from 0 to 255"),
        (np.zeros((4, 4), bool), "array of bool"),
        (Image.new("F", (2, 2)), "32 bits a pixel"),
        (None, "is a NoneType: expected a path"),
        (7, "is a int"),
        (b"no picture", "is not a JPEG, PNG"),
    ],
)
def test_what_is_no_picture(held: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_rgb(held, "refused")


def test_a_cut_off_file_opened_by_pillow() -> None:
    data = encode_png(random_image(4, (40, 30)))
    with pytest.raises(ImageError, match="cannot be read as RGB"):
        to_rgb(Image.open(io.BytesIO(data[: len(data) // 2])), "refused")


FRAME = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((1, 2, 4, 5), slice(2, 5), slice(1, 4)),
        ([0.6, 1.5, 3.4, 2.5001], slice(2, 3), slice(1, 3)),  # halves go to the even number
        ((-3, -100, 2, 1), slice(0, 1), slice(0, 2)),
        (np.array([3, 4, 900, 7], np.float32), slice(4, 6), slice(3, 5)),
        ((-1e300, -1e300, 1e300, 1e300), slice(0, 6), slice(0, 5)),
    ],
)
def test_boxes_are_rounded_and_drawn_in(box: object, rows: slice, columns: slice) -> None:
    np.testing.assert_array_equal(cut(FRAME, box), FRAME[rows, columns])


@pytest.mark.parametrize(
    "box", [(1, 2, 1, 5), (4, 2, 1, 5), (5, 0, 9, 6), (-4, 0, 0, 6), (0, -2, 5, -1), (1.1, 1.1, 1.4, 3)]
)
def test_boxes_without_a_pixel(box: object) -> None:
    with pytest.raises(ImageError, match="it holds no pixel of a frame of 5x6"):
        cut(FRAME, box)


@pytest.mark.parametrize(
    "box", [(0, 0, 1), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1), "abcd", None, [[0], [1, 2]]]
)
def test_what_is_no_box(box: object) -> None:
    with pytest.raises(ImageError, match="expected four finite numbers"):
        cut(FRAME, box)
