"""10,000 bootstrap resamples and sign flips at Market-1501's scale: 3,368 queries of 750 people.

python benchmarks/evaluate_error_bars.py [--repeats 5]
"""

import argparse
import statistics
import time

import numpy as np

from reid_train.evaluation.bootstrap import intervals, paired
from reid_train.evaluation.per_query import PerQuery


def made_up(rng: np.random.Generator, pid: np.ndarray, base: np.ndarray) -> PerQuery:
    """Per-query values around `base`."""
    ap = np.clip(base + 0.1 * rng.standard_normal(len(pid)), 0.01, 1)
    names = np.array([""] * len(pid))
    return PerQuery(names, pid, pid * 0, ap, ap / 2, np.ceil(1 / ap).astype(int), np.full(len(pid), 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    pid = np.sort(rng.integers(0, 750, 3368))
    base = np.clip(0.6 + 0.2 * rng.standard_normal(750), 0, 1)[pid]
    first, second = made_up(rng, pid, base), made_up(rng, pid, base)
    for name, run in (
        ("intervals of five metrics", lambda: intervals(first)),
        ("paired comparison", lambda: paired([first], [second])),
    ):
        times = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(f"{name}: median {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
