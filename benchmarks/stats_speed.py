"""Speed of `reid-data stats` at native size, against the loop that people write.

Prints, from one run with the repeats interleaved: images/s of `channel_stats` and of a two-worker torchvision
ImageFolder + DataLoader loop over the same files, their ratio, and the time per image that `channel_stats` adds to the
bare JPEG decoding on one core (reading, header check and sums).

    python benchmarks/stats_speed.py market --data-root DIR [--limit N] [--repeats 5]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from reid_data.datasets import load_dataset
from reid_data.datasets.channel_stats import ChannelStats, _record_sums, channel_stats
from reid_data.records import Record


def loader_stats(folder: str) -> np.ndarray:
    """Mean and pooled std over an ImageFolder, float64 sums, two workers, one image at a time."""
    import torch  # here, so that the worker processes of `channel_stats` do not import it with this module
    from torchvision import datasets as tv
    from torchvision import transforms

    images = tv.ImageFolder(folder, transforms.ToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=None, num_workers=2)
    pixels, total, squares = 0, torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for image, _ in loader:
        values = image.double()
        pixels += values[0].numel()
        total += values.sum((1, 2))
        squares += values.square().sum((1, 2))
    mean = total / pixels
    return torch.cat([mean, (squares / pixels - mean**2).sqrt()]).numpy()


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cpu_microseconds(function: Callable[[], object], num_images: int) -> float:
    """CPU time of one call per image."""
    start = time.process_time()
    function()
    return (time.process_time() - start) / num_images * 1e6


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (min to max)`."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def overhead(records: Sequence[Record], repeats: int) -> list[float]:
    """Microseconds per image of reading, header check and sums, beyond decoding the same bytes; one core."""
    cv2.setNumThreads(1)
    encoded = [np.frombuffer(Path(record.path).read_bytes(), np.uint8) for record in records]
    extra = []
    for _ in range(repeats):
        bare = cpu_microseconds(lambda: [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in encoded], len(records))
        full = cpu_microseconds(lambda: [_record_sums((record, None)) for record in records], len(records))
        extra.append(full - bare)
    return extra


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    records = load_dataset(args.name, args.data_root).train[: args.limit]
    ours, theirs, results = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/one")
        for number, record in enumerate(records):
            os.symlink(os.path.abspath(record.path), f"{folder}/one/{number:07d}.jpg")
        import torchvision  # noqa: F401  (not part of either timing)

        for _ in range(args.repeats):
            theirs.append(len(records) / seconds(lambda: results.append(loader_stats(folder))))
            ours.append(len(records) / seconds(lambda: results.append(channel_stats(records, workers=2))))
    loop, exact = results[-2], results[-1]
    assert isinstance(loop, np.ndarray)
    assert isinstance(exact, ChannelStats)
    assert np.allclose(loop, [*exact.mean, *exact.std], atol=1e-6), "the two disagree"
    print(f"{len(records):,} images of {args.name}, {args.repeats} interleaved repeats, median (min to max)")
    print(f"channel_stats, 2 workers           {spread(ours)} images/s")
    print(f"ImageFolder + DataLoader, 2 workers {spread(theirs)} images/s")
    print(f"ratio                              {spread([a / b for a, b in zip(ours, theirs)], 1)}")
    print(f"above decoding, one core           {spread(overhead(records[:3000], args.repeats))} microseconds an image")


if __name__ == "__main__":
    main()
