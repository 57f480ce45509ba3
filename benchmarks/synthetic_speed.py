"""Speed of the synthetic generator on one core: scenes, pictures, and a whole small set with its files.

    python benchmarks/synthetic_speed.py [--pictures 60]

Prints the median of processor time per item, so that a busy machine disturbs it little.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from reid_data.synth.crop import compose
from reid_data.synth.generate import generate
from reid_data.synth.person.appearance import draw_appearance
from reid_data.synth.place.backdrop import Nuisance
from reid_data.synth.place.camera import draw_look
from reid_data.synth.place.scene import NETWORKS, draw_scene


def median_cost(work: Callable[[int], object], count: int) -> float:
    """Median processor seconds of `work(0)`, ..., `work(count - 1)`."""
    costs = []
    for number in range(count):
        start = time.process_time()
        work(number)
        costs.append(time.process_time() - start)
    return float(np.median(costs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=60)
    count = parser.parse_args().pictures
    cv2.setNumThreads(1)
    for network in NETWORKS:
        scene, look = draw_scene(0, network, 1, 0), draw_look(0, network, 1)

        def picture(number: int, network: str = network, scene=scene, look=look) -> object:
            person = draw_appearance(0, network, number // 8 + 1)
            return compose(person, scene, look, np.random.default_rng(number), Nuisance(), 0.7 * number)

        places = median_cost(lambda number, network=network: draw_scene(1, network, 1 + number % 4, number), 8)
        print(f"{network}: scene {places * 1e3:.0f} ms, picture {median_cost(picture, count) * 1e3:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        made = generate(Path(folder) / "market", "market", num_train=count * 4, num_ids=24)
        cost = time.process_time() - start
        print(
            f"set of {len(made.records)} images, scenes and files included: {len(made.records) / cost:.1f} images/s and core"
        )


if __name__ == "__main__":
    main()
