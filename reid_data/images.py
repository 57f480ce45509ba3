"""Reading and writing images; the only place where BGR exists.

Inside the project an image is (height, width, 3) uint8 RGB and a size is (height, width).
"""

import io
import os
import stat

import cv2
import numpy as np
from PIL import Image, ImageOps

from reid_data.errors import ImageError
from reid_data.files import write_atomic
from reid_data.formats import FORMATS, READ, described
from reid_data.records import Record, Transparency
from reid_data.silenced import silenced
from reid_data.transparency import may_be_transparent, png_alpha, seen

VERSIONS = {"resize": 1, "encoding": 1}  # resize; encode_jpeg, encode_mask, encode_png

MAX_PIXELS = 32_000_000
LEAST_MAXIMUM = 64
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: what libjpeg decodes
_BY_PILLOW = frozenset({"WEBP", "TIFF"})  # OpenCV reads them with other rules (alpha, orientation, 16 bits)
_SKIPPED_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # tables, comment, application data

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_bytes(path: str, root: str | None = None) -> bytes:
    """The bytes of a regular file.

    With `root`, a link may not lead out of that folder. Raises ImageError with the reason in the user's words.
    """
    try:
        if root is not None and os.path.islink(path):
            target = os.path.realpath(path, strict=True)
            if os.path.commonpath([target, os.path.realpath(root)]) != os.path.realpath(root):
                raise ImageError(
                    "is a link that leads out of the data set's folder; copy or hard-link the file instead"
                )
        with open(path, "rb", buffering=0, opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError("is not a regular file")
            return file.readall()
    except IsADirectoryError as error:
        raise ImageError("is a folder, not an image") from error
    except FileNotFoundError as error:
        raise ImageError("is a link to nothing" if os.path.islink(path) else "does not exist") from error
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@silenced()
def decode_image(data: bytes, transparency: Transparency = "refused") -> np.ndarray:
    """Decode JPEG, PNG, BMP, WebP or TIFF bytes to (H, W, 3) uint8 RGB, EXIF orientation applied.

    The format is judged by content. Grey, palette, CMYK and 16-bit images become 8-bit RGB; an animation gives its first
    frame, an MPO its first picture, a TIFF its first page. `transparency`: what becomes of transparent pixels (see there).
    Raises ImageError for other formats, more than MAX_PIXELS, damaged data, or a transparent picture that is refused.
    """
    if not data:
        raise ImageError("is empty (0 bytes)")
    kind, width, height, see_through = _jpeg_header(data) or _any_header(data)
    if width * height > MAX_PIXELS:
        raise ImageError(f"is too large: {width}x{height} pixels, at most {MAX_PIXELS} are read")
    if kind in _BY_PILLOW:
        picture = _pillow_picture(data, kind)
        image = np.ascontiguousarray(np.asarray(picture.convert("RGB")))
        return seen(image, np.asarray(picture.convert("RGBA"))[:, :, 3], transparency) if see_through else image
    image = _by_opencv(data, kind)
    if not see_through or transparency == "ignored":
        return image
    return seen(image, png_alpha(data) if kind == "PNG" else _bmp_alpha(data), transparency)


def _by_opencv(data: bytes, kind: str | None) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(f"is damaged {kind} data") from error
    if image is None:
        raise ImageError(f"is truncated or damaged {kind} data")
    return image


def _bmp_alpha(data: bytes) -> np.ndarray:
    return np.asarray(_pillow_picture(data, "BMP").getchannel("A"))


def _jpeg_header(data: bytes) -> tuple[str, int, int, bool] | None:
    """("JPEG", width, height, False) from the frame header (ITU-T T.81, B.2.2), without opening the image.

    None for whatever is not an unbroken chain of segments up to that header: `_any_header` judges those.
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            return ("JPEG", width, height, False) if width and height else None
        if marker not in _SKIPPED_SEGMENTS:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _any_header(data: bytes) -> tuple[str | None, int, int, bool]:
    """Format, width and height, and whether it may be transparent."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            return header.format, *header.size, may_be_transparent(header)
    except Image.DecompressionBombError as error:
        raise ImageError(f"is too large: {error}") from error
    except Exception as error:  # Pillow's header parsers raise many kinds on hostile bytes
        raise ImageError(f"is not a {READ} image, or one with a damaged header: it is {described(data)}") from error


def _pillow_picture(data: bytes, kind: str | None) -> Image.Image:
    """The first frame or page, upright, of bytes whose header was accepted; 16-bit grey comes as 8-bit."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            return _upright(file, kind)
    except ImageError:
        raise
    except Exception as error:  # as in _any_header
        raise ImageError(f"is truncated or damaged {kind} data") from error


def _upright(picture: Image.Image, kind: str | None) -> Image.Image:
    """A copy by its orientation tag, with 8 bits a channel."""
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ImageError(f"is a {kind} picture with 32 bits a pixel; save it with 8 bits a channel")
    return picture


def from_pillow(picture: Image.Image, transparency: Transparency = "refused") -> np.ndarray:
    """A picture that Pillow has opened or made as (H, W, 3) uint8 RGB, by the rules of `decode_image`; CMYK as Pillow converts it.

    Raises ImageError for 32 bits a channel, modes without a way to RGB, damaged data, and a transparent picture that is refused.
    """
    try:
        upright = _upright(picture, picture.format or "Pillow")
        see_through = may_be_transparent(picture)
        image = np.ascontiguousarray(np.asarray(upright.convert("RGB")))
        alpha = np.asarray(upright.convert("RGBA"))[:, :, 3] if see_through else None
    except ImageError:
        raise
    except Exception as error:  # as in _any_header
        raise ImageError(f"cannot be read as RGB: {error}") from error
    return seen(image, alpha, transparency)


def read_image(path: str, root: str | None = None, transparency: Transparency = "refused") -> np.ndarray:
    """Read a file as (H, W, 3) uint8 RGB; see `read_bytes` and `decode_image` for what is refused."""
    return decode_image(read_bytes(path, root), transparency)


def read_record(record: Record) -> np.ndarray:
    """Read a record's image as (H, W, 3) uint8 RGB; links out of the set's folder are refused."""
    return read_image(record.path, record.root, record.transparency)


@silenced()
def read_mask(path: str) -> np.ndarray:
    """Read a stored soft mask as (H, W) float32 in [0, 1]: an 8-bit PNG, its transparency where that says anything.

    Raises ImageError, also for what is a picture or a map of labels: no mask that marks anybody stays below LEAST_MAXIMUM.
    """
    data = read_bytes(path)
    try:
        plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data[:4] == b"\x89PNG" else None
    except cv2.error as error:
        raise ImageError("is a damaged or enormous PNG") from error
    if plane is None or plane.dtype != np.uint8:
        raise ImageError("is not a readable 8-bit PNG mask")
    if plane.ndim == 3:
        seen_through = plane.shape[2] == 4 and plane[..., 3].min() < 255
        if not seen_through and (plane[..., :3] != plane[..., :1]).any():
            raise ImageError("is a picture in colours: a mask is grey, from 0 (background) to 255 (the person)")
        plane = plane[..., 3] if seen_through else plane[..., 0]
    highest = int(plane.max())
    if 0 < highest < LEAST_MAXIMUM:
        remedy = "multiply it by 255" if highest == 1 else "if they are labels, write 255 where the person is"
        raise ImageError(f"has no larger value than {highest}: expected 0 (background) to 255 (the person); {remedy}")
    return plane.astype(np.float32) / 255


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) or (H, W) uint8 to `size` = (height, width), by Pillow's antialiased bicubic.

    The one resize of statistics, training, evaluation and extraction.
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of an (H, W, 3) uint8 RGB image."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of an (H, W, 3) uint8 RGB image, an (H, W, 4) RGBA image or an (H, W) uint8 plane."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def encode_mask(alpha: np.ndarray) -> bytes:
    """PNG bytes (8-bit grey) of an (H, W) float mask in [0, 1]."""
    return encode_png(np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8))


def _encode(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    swapped = cv2.cvtColor(image, codes[image.shape[2]]) if image.ndim == 3 else image
    done, buffer = cv2.imencode(suffix, swapped, options)
    assert done, f"OpenCV could not encode {image.shape} {image.dtype} as {suffix}"
    return buffer.tobytes()


def write_image(path: str | os.PathLike[str], image: np.ndarray, quality: int = 95) -> None:
    """Write (H, W, 3) uint8 RGB, whole or not at all: `.png` losslessly, any other ending as JPEG."""
    png = os.fspath(path).lower().endswith(".png")
    write_atomic(path, encode_png(image) if png else encode_jpeg(image, quality))


def luminance(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 or float RGB -> (H, W) float32 luma (ITU-R BT.601 weights), in the image's range."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
