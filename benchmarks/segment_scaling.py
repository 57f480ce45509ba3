"""How the bundled segmenter scales over processes: images per second of 1, 2, ... N single-threaded processes, and of threads.

  python benchmarks/segment_scaling.py                     drawn pedestrians, 1 to as many processes as there are processors
  python benchmarks/segment_scaling.py --images 20000 --workers 1,8,32,64,128

Reading, hashing, segmenting and keeping the masks are timed, the start of the processes is not (it is printed). The
alternative is one process whose torch uses as many threads.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from reid_data.images import encode_jpeg
from reid_data.parallel import default_workers
from reid_data.records import Record
from reid_data.segment.cache import Masked, Unusable
from reid_data.segment.network import load_weights, predict
from reid_data.segment.small_net import SmallSegmenter
from reid_data.segment.survey import masked_map
from reid_data.synth.generate import sample

DRAWN = 64


def write_crops(folder: Path, number: int) -> list[Record]:
    """`number` different JPEG crops, made from DRAWN drawn pedestrians by shifting them."""
    drawn = [sample(0, index, "market")[0] for index in range(DRAWN)]
    for index in range(number):
        image = np.roll(drawn[index % DRAWN], (index // DRAWN % 64, index // DRAWN // 64), (1, 0))
        (folder / f"{index:06d}.jpg").write_bytes(encode_jpeg(image, 90))
    return [Record(str(folder), f"{index:06d}.jpg", 0, 0, "train") for index in range(number)]


@dataclass(frozen=True)
class Forgetful(SmallSegmenter):
    """The bundled segmenter with a mask cache of its own for every `call`."""

    call: int = 0

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`."""
        return f"{self.call:024d}"


def first_and_rest(records: list[Record], workers: int, call: int) -> tuple[float, float]:
    """Seconds until every process is surely at work, and images per second from then on."""
    segmenter = Forgetful(device="cpu", call=call)
    skipped = min(2 * workers * segmenter.batch, len(records) // 2)
    began = warm = time.perf_counter()
    for number, _ in enumerate(masked_map(shapes, records, segmenter, workers), 1):
        if number == skipped:
            warm = time.perf_counter()
    return warm - began, (len(records) - skipped) / (time.perf_counter() - warm)


def shapes(found: Sequence[Masked | Unusable]) -> list[tuple[int, ...]]:
    """The least that can be said of masks."""
    return [one.alpha.shape if isinstance(one, Masked) else () for one in found]


def threads(images: np.ndarray, number: int) -> float:
    """Images per second of the network alone in one process with `number` torch threads."""
    net = load_weights(SmallSegmenter().path).to(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    predict(net, images[:64])
    began = time.perf_counter()
    predict(net, images)
    speed = len(images) / (time.perf_counter() - began)
    torch.set_num_threads(before)
    return speed


def main() -> None:
    """Print a line per number of processes: speed, efficiency against one process, and the spread over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", default="", help="comma-separated; default 1, 2, 4, ... up to the processors")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cores = default_workers()
    wanted = [int(word) for word in arguments.workers.split(",") if word] or sorted(
        {2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores}
    )
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        os.environ["REID_CACHE"] = cache  # before the first process starts: later ones inherit it
        records = write_crops(Path(folder), arguments.images)
        found: dict[int, list[float]] = {workers: [] for workers in wanted}
        starts: dict[int, float] = {}
        for turn in range(arguments.rounds):
            for place, workers in enumerate(wanted):
                starts[workers], speed = first_and_rest(records, workers, turn * len(wanted) + place)
                found[workers].append(speed)
    one = median(found[wanted[0]])
    print(f"{arguments.images} images, {cores} processors, {arguments.rounds} rounds; median (least to most)")
    for workers, speeds in found.items():
        middle = median(speeds)
        print(
            f"{workers:4d} processes {middle:8.0f} images/s ({min(speeds):.0f} to {max(speeds):.0f}), "
            f"{middle / one:.2f}x of {wanted[0]}; start {starts[workers]:.1f} s"
        )
    images = np.stack([sample(0, index, "market")[0] for index in range(DRAWN)] * 8)
    for number in wanted:
        speeds = [threads(images, number) for _ in range(arguments.rounds)]
        print(
            f"{number:4d} threads, network only {median(speeds):8.0f} images/s ({min(speeds):.0f} to {max(speeds):.0f})"
        )


if __name__ == "__main__":
    main()
