"""`reid-data doctor`: what every run needs, tried."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from reid_data.errors import ReidError

from ..errors import EXIT_FAILED_ITEMS
from ..options import data_root_option, json_option
from ..terminal import say, show


@click.command()
@data_root_option
@json_option
def doctor(data_root: Path, as_json: bool) -> int:
    """Try what every run needs (write, decode, hash, start processes, train one step) and say how to mend what fails.

    \b
    Example:
      reid-data doctor
    """
    results = list(examine(data_root))
    failed = [result for result in results if not result["ok"]]
    if as_json:
        show(json.dumps(results, indent=2))
    else:
        for result in results:
            show(f"{'ok  ' if result['ok'] else 'FAIL'}  {result['what']}: {result['found']}")
            if not result["ok"]:
                show(f"      remedy: {result['remedy']}")
    say("All is well." if not failed else f"{len(failed)} of {len(results)} failed.")
    sys.stdout.flush()
    return EXIT_FAILED_ITEMS if failed else 0


def examine(data_root: Path) -> Iterator[dict[str, Any]]:
    """Each trial as what, ok, found, remedy; a trial that fails does not stop the next."""
    from reid_data.files import cache_folder

    trials: list[tuple[str, Callable[[], str], str]] = [
        (
            "write to the cache",
            lambda: _try_writing(cache_folder()),
            "set REID_CACHE to a writable folder with free space",
        ),
        (
            "write to the data root",
            lambda: _try_writing(data_root),
            "give another --data-root, or mend the rights of this one",
        ),
        ("decode and encode images", _try_decoding, "install the versions in constraints.txt"),
        ("hash", _try_hashing, "the Python installation is damaged: install it again"),
        (
            "start worker processes",
            _try_processes,
            "use --workers 1; in a container, raise the limits on processes and /dev/shm",
        ),
        (
            "train one step",
            _try_training,
            "install torch and torchvision again in one command: pip install torch torchvision",
        ),
    ]
    for what, trial, remedy in trials:
        try:
            yield {"what": what, "ok": True, "found": trial(), "remedy": ""}
        except (ReidError, OSError, RuntimeError, ImportError, AssertionError, ValueError) as error:
            yield {"what": what, "ok": False, "found": f"{type(error).__name__}: {error}", "remedy": remedy}


def _try_writing(folder: Path) -> str:
    import shutil

    from reid_data.files import write_atomic

    if not folder.is_dir():
        return f"{folder} is not there yet; it is made when something is written"
    with tempfile.TemporaryDirectory(dir=folder) as place:
        write_atomic(Path(place) / "trial", b"trial")
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _try_decoding() -> str:
    import io

    import numpy as np
    from PIL import Image

    from reid_data.images import decode_image, encode_jpeg, encode_png

    image = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    if not np.array_equal(decode_image(encode_png(image)), image):
        raise RuntimeError("a PNG does not come back as it was written")
    data = encode_jpeg(image)
    same = np.array_equal(decode_image(data), np.asarray(Image.open(io.BytesIO(data))))
    return "PNG lossless, JPEG " + (
        "equal in OpenCV and Pillow" if same else "differs between OpenCV and Pillow by rounding"
    )


def _try_hashing() -> str:
    from reid_data.files import sha256_bytes

    if sha256_bytes(b"abc") != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad":
        raise RuntimeError("sha256 gives a wrong answer")
    return "sha256 is right"


def _try_processes() -> str:
    from reid_data.parallel import default_workers, ordered_map

    workers = min(2, default_workers())
    if list(ordered_map(abs, [-1, -2, -3], workers, chunk=1)) != [1, 2, 3]:
        raise RuntimeError("a worker gave a wrong answer")
    return f"{workers} of {default_workers()}"


def _try_training() -> str:
    import torch

    from reid_data.devices import choose_device

    device = choose_device("auto")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    network.to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.randn(16, 3, 32, 16, device=device), torch.arange(16, device=device) % 8
    losses = []
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if not losses[1] < losses[0]:
        raise RuntimeError(f"the loss did not fall: {losses}")
    return f"loss {losses[0]:.3f} -> {losses[1]:.3f} on {device}"
