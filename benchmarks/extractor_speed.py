"""Speed of `Extractor` against its bare network, and against torchreid's FeatureExtractor around the same network.

Prints, with the repeats interleaved, images/s and the ratio to the bare network: the network alone on normalised batches that
are ready in memory; the extractor on arrays, on files, on boxes of one frame; with `--peer` (a folder into which torchreid was
installed: pip install --no-deps --target) its FeatureExtractor on the same arrays and files, batch by batch.

    python benchmarks/extractor_speed.py RUN market --data-root DIR [--images 640] [--batch 32] [--repeats 5] [--cpu-time] [--peer DIR]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reid_data.datasets import load_dataset
from reid_data.images import read_image, resize
from reid_train import Extractor
from reid_train.trained import TrainedModel, load_on


class Plain(nn.Module):
    """The network's features of normalised images, as the extractor takes them."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.net = model.net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, D)."""
        found: torch.Tensor = self.net(images).classified
        return found


def torchreid_extractor(plain: Plain, size: tuple[int, int], folder: str) -> Callable[[list[Any]], torch.Tensor]:
    """FeatureExtractor as it comes, its network replaced by ours."""
    sys.path.insert(0, folder)
    from torchreid.reid.models import build_model
    from torchreid.reid.utils.feature_extractor import FeatureExtractor

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(build_model("osnet_x0_25", num_classes=1, pretrained=False).state_dict(), file)
        file.flush()
        extractor = FeatureExtractor("osnet_x0_25", file.name, image_size=size, device="cpu", verbose=False)
    extractor.model = plain
    return extractor  # type: ignore[no-any-return]


def seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """Time of one call."""
    start = clock()
    function()
    return clock() - start


def spread(values: Sequence[float], digits: int) -> str:
    """`median (min to max)`."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds: for a machine that others use, too")
    parser.add_argument("--peer")
    args = parser.parse_args()
    paths = [record.path for record in load_dataset(args.name, args.data_root).gallery[: args.images]]
    arrays = [read_image(path) for path in paths]
    extractor = Extractor(args.run, "cpu", args.batch, changes={"flip_test": False, "test_feature": "after"})
    model = load_on(args.run, torch.device("cpu"))
    plain, starts = Plain(model), range(0, len(paths), args.batch)
    pixels = np.stack([resize(array, extractor.size) for array in arrays])
    ready = [model.arithmetic.to_input(torch.from_numpy(pixels[start : start + args.batch])) for start in starts]
    draw = np.random.default_rng(0)
    frame = draw.integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    corners = draw.uniform(0, (1800, 800), (len(paths), 2))
    boxes = np.hstack([corners, corners + draw.uniform((40, 90), (110, 270), (len(paths), 2))])

    @torch.inference_mode()
    def bare() -> None:
        for batch in ready:
            plain(batch)

    ways: dict[str, Callable[[], object]] = {
        "the bare network": bare,
        "Extractor, arrays": lambda: extractor(arrays),
        "Extractor, files": lambda: extractor(paths),
        "Extractor, boxes of a frame": lambda: extractor(frame, boxes),
    }
    if args.peer:
        peer = torchreid_extractor(plain, extractor.size, args.peer)
        for kind, things in (("arrays", arrays), ("files", paths)):
            ways[f"torchreid, {kind}"] = lambda held=things: [peer(held[at : at + args.batch]) for at in starts]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    clock = time.process_time if args.cpu_time else time.perf_counter
    for _ in range(args.repeats + 1):
        for way, function in ways.items():
            rates[way].append(len(paths) / seconds(function, clock))
    unit = "CPU s" if args.cpu_time else "s"
    rates = {way: found[1:] for way, found in rates.items()}  # the first round warms up
    print(
        f"{len(paths)} images, batch {args.batch}, {torch.get_num_threads()} threads, {args.repeats} interleaved repeats"
    )
    for way, found in rates.items():
        shares = [rate / alone for rate, alone in zip(found, rates["the bare network"])]
        print(f"{way:28} {spread(found, 0)} images/{unit}, {spread(shares, 3)} of the bare network")


if __name__ == "__main__":
    main()
