"""CMC, mAP and mINP of 3,368 queries in 15,913 gallery images (and ten times as many): time and memory.

    python benchmarks/evaluate_ranking.py [--threads 2] [--repeats 7] [--times 1] [--width 2048] [--noise 3]

Time is given as a ratio to the bare matrix product of the same features on the same threads, measured in turns with it.
Memory is the peak over the inputs, each in a process of its own.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from evaluate_data import KEYS, MARKET, in_subprocess, market_like, peak_mib

from reid_train.evaluation.protocol import evaluate

# Wall time over the bare product's on 2 threads of another machine (2 vCPU Xeon, AVX-512), measured 2026-11 with
# torch 2.15; not measured by this script.
PEERS = {
    "torchreid f8cd150 (Cython)": 6.87 / 1.10,
    "fast-reid c9bc3ce (Cython)": 4.44 / 1.10,
    "OML 6be182e": 7.2 / 1.10,
}
PRODUCT_BLOCKS = ((256, None), (1024, 4096))


def product(queries: torch.Tensor, gallery: torch.Tensor, rows: int, columns: int | None) -> None:
    """All similarities, block by block into one buffer; nothing is done with them."""
    columns = columns or len(gallery)
    buffer = torch.empty(rows * columns)
    for b in range(0, len(gallery), columns):
        right = gallery[b : b + columns].T
        for a in range(0, len(queries), rows):
            left = queries[a : a + rows]
            torch.mm(left, right, out=buffer[: len(left) * right.shape[1]].view(len(left), right.shape[1]))


def measure_memory(folder: str, what: str) -> None:
    """In a process of its own: peak over the inputs of the product or the evaluation."""
    arrays = [np.load(Path(folder) / f"{key}.npy") for key in KEYS]
    queries, gallery = torch.from_numpy(arrays[0]), torch.from_numpy(arrays[3])
    torch.mm(queries[:8], gallery[:8].T)
    before = peak_mib()
    if what == "product":
        product(queries, gallery, *PRODUCT_BLOCKS[0])
    else:
        evaluate(*arrays)
    print(json.dumps({"peak": peak_mib() - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--times", type=int, default=1, help="gallery size over Market-1501's")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--noise", type=float, default=3.0)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        measure_memory(*options.memory)
        return
    data = market_like(gallery=options.times * MARKET["gallery"], width=options.width, noise=options.noise)
    arrays = [data[key] for key in KEYS]
    queries, gallery = torch.from_numpy(arrays[0]), torch.from_numpy(arrays[3])
    print(
        f"{len(queries):,} x {len(gallery):,} x {options.width}, {options.threads} threads, {options.repeats} repeats in turns"
    )
    result = evaluate(*arrays)
    print("  ".join(f"{key} {value:.7g}" for key, value in result.metrics().items()))
    runs = {
        f"product {rows}x{columns or 'all'}": lambda r=rows, c=columns: product(queries, gallery, r, c)
        for rows, columns in PRODUCT_BLOCKS
    }
    runs["evaluate"] = lambda: evaluate(*arrays)
    wall, cpu = {name: [] for name in runs}, {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
    for name in runs:
        print(
            f"{name:20s} wall s: median {statistics.median(wall[name]):6.2f} ({min(wall[name]):.2f} to {max(wall[name]):.2f})"
            f"   CPU s: median {statistics.median(cpu[name]):6.2f} ({min(cpu[name]):.2f} to {max(cpu[name]):.2f})"
        )
    for name in list(runs)[:-1]:
        ratios = [a / b for a, b in zip(wall["evaluate"], wall[name])]
        cpu_ratios = [a / b for a, b in zip(cpu["evaluate"], cpu[name])]
        print(
            f"evaluate / {name}: wall median of ratios {statistics.median(ratios):.2f}, of medians "
            f"{statistics.median(wall['evaluate']) / statistics.median(wall[name]):.2f}, of minima "
            f"{min(wall['evaluate']) / min(wall[name]):.2f}; CPU median of ratios {statistics.median(cpu_ratios):.2f}, "
            f"of minima {min(cpu['evaluate']) / min(cpu[name]):.2f}"
        )
    for name, ratio in PEERS.items():
        print(f"quoted, not measured here: {name} / product: {ratio:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        for key in KEYS:
            np.save(Path(folder) / f"{key}.npy", data[key])
        for what in ("product", "evaluate"):
            peak = in_subprocess(__file__, "--threads", options.threads, "--memory", folder, what)["peak"]
            print(f"peak over the inputs, {what}: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
