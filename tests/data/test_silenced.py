"""What picture libraries say of damaged data never reaches the person; what we say does."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from reid_data.errors import ImageError
from reid_data.images import decode_image, encode_jpeg, encode_png, read_mask
from reid_data.silenced import silenced
from tests.conftest import random_image


def damaged(data: bytes, seed: int) -> bytes:
    """The data with bytes behind its header cut off, changed or slipped in."""
    rng = np.random.default_rng(seed)
    at = int(rng.integers(40, len(data)))
    kept, rest = data[:at], data[at:]
    return (kept, kept + bytes(rng.integers(0, 256, 9, np.uint8)) + rest, kept + b"\xff\xda\x00" + rest[3:])[seed % 3]


def of_format(kind: str) -> bytes:
    image = random_image(3, (64, 32))
    if kind in ("jpeg", "png"):
        return encode_jpeg(image) if kind == "jpeg" else encode_png(image)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "TIFF", compression=kind)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # pytest writes these down itself
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff_lzw", "tiff_jpeg"])
def test_damaged_pictures_are_read_or_refused_without_a_word(kind, capfd):
    whole, refused = of_format(kind), 0
    for seed in range(60):
        try:
            decode_image(damaged(whole, seed))
        except ImageError:
            refused += 1
    assert refused > 3
    assert capfd.readouterr() == ("", "")


def test_nor_do_masks(tmp_path, capfd):
    (tmp_path / "mask.png").write_bytes(damaged(of_format("png"), 1))
    with pytest.raises(ImageError):
        read_mask(str(tmp_path / "mask.png"))
    assert capfd.readouterr() == ("", "")


def test_only_in_the_block_and_whatever_comes_of_it(capfd):
    os.write(2, b"before ")
    with pytest.raises(ZeroDivisionError), silenced():
        os.write(1 // (os.write(2, b"inside ") - 7), b"")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_many_threads_at_once_leave_the_error_output_as_it_was(capfd):
    pictures = [damaged(of_format("jpeg"), seed) for seed in range(30)] * 20

    def decode(data: bytes) -> int:
        with suppress(ImageError):
            decode_image(data)
        return 1

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(decode, pictures)) == 600
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_forked_in_a_block_has_its_error_output(capfd):
    with silenced():
        child = os.fork()
        if not child:
            os.write(2, b"child ")
            os._exit(0)
        os.waitpid(child, 0)
        os.write(2, b"inside ")
    os.write(2, b"parent")
    assert capfd.readouterr().err == "child parent"


def test_the_command_line_is_heard_while_a_library_is_silent():
    script = (
        "import os, sys\nfrom reid_cli.streams import guard_streams\nfrom reid_cli.terminal import say\n"
        "from reid_data.silenced import silenced\nguard_streams()\n"
        "with silenced():\n    say('ours')\n    os.write(2, b'theirs')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "ours\n"


def test_without_an_error_output_pictures_are_read_all_the_same():
    script = (
        "import os, sys\nos.close(2)\nfrom reid_data.images import decode_image, encode_png\nimport numpy as np\n"
        "decode_image(encode_png(np.zeros((4, 2, 3), np.uint8)))\n"
        "before = len(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd') else 0\n"
        "for _ in range(50): picture = decode_image(encode_png(np.full((4, 2, 3), 7, np.uint8)))\n"
        "after = len(os.listdir('/proc/self/fd')) if os.path.exists('/proc/self/fd') else 0\n"
        "print(picture.mean(), after - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "7.0 0\n", "nor are files left open"
