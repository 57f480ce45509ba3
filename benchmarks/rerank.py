"""k-reciprocal re-ranking of 3,368 + 15,913 images: CPU time, memory, and equality with the dense formulation.

    python benchmarks/rerank.py [--scale 1.0] [--threads 2] [--dense]

--dense also runs the dense formulation (matrices of all against all, written out below from the paper), which at full
scale needs about 9 GB and minutes; --scale 0.25 takes a quarter of the images. Each runs in a process of its own.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from evaluate_data import KEYS, MARKET, in_subprocess, market_like, peak_mib

from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.rerank import RerankSettings

# torchreid f8cd150's numpy re_ranking at full scale on a 2 vCPU Xeon, measured 2026-11; not measured by this script.
QUOTED = {"CPU s": 108, "peak MiB": 8356}


def dense(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, lam: float) -> np.ndarray:
    """Zhong et al. (CVPR 2017) with dense matrices: final distances (num_query, num_gallery)."""
    feats = np.concatenate([query, gallery])
    total = len(feats)
    dist = 2 - 2 * feats @ feats.T
    np.fill_diagonal(dist, 0)
    dist = (dist / dist.max(axis=0)).T
    ranks = np.argsort(dist).astype(np.int32)

    def reciprocal(i: int, k: int) -> np.ndarray:
        forward = ranks[i, : k + 1]
        return forward[(ranks[forward, : k + 1] == i).any(1)]

    weights = np.zeros((total, total), np.float32)
    for i in range(total):
        inner = reciprocal(i, k1)
        parts = [inner]
        for j in inner:
            theirs = reciprocal(j, int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, inner)) > 2 / 3 * len(theirs):
                parts.append(theirs)
        members = np.unique(np.concatenate(parts))
        weight = np.exp(-dist[i, members])
        weights[i, members] = weight / weight.sum()
    weights = np.array([weights[ranks[i, :k2]].mean(0) for i in range(total)], np.float32)
    columns = [np.flatnonzero(weights[:, j]) for j in range(total)]
    jaccard = np.empty((len(query), total), np.float32)
    for i in range(len(query)):
        smaller = np.zeros(total, np.float32)
        for j in np.flatnonzero(weights[i]):
            smaller[columns[j]] += np.minimum(weights[i, j], weights[columns[j], j])
        jaccard[i] = 1 - smaller / (2 - smaller)
    return ((1 - lam) * jaccard + lam * dist[: len(query)])[:, len(query) :]


def mean_ap(dist: np.ndarray, arrays: list[np.ndarray]) -> float:
    """mAP of a distance matrix under the standard protocol."""
    _, query_pids, query_camids, _, pids, camids = arrays
    values = []
    for i, row in enumerate(dist):
        same = pids == query_pids[i]
        order = np.argsort(row[~(same & (camids == query_camids[i]))], kind="stable")
        ranks = np.flatnonzero(same[~(same & (camids == query_camids[i]))][order]) + 1
        if len(ranks):
            values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(values))


def measure(folder: str, what: str) -> None:
    """In a process of its own: CPU and wall seconds, peak over the inputs, mAP."""
    arrays = [np.load(Path(folder) / f"{key}.npy") for key in KEYS]
    torch.mm(torch.ones(8, 8), torch.ones(8, 8))
    before, start, start_cpu = peak_mib(), time.perf_counter(), time.process_time()
    if what == "dense":
        value = mean_ap(dense(arrays[0], arrays[3], 20, 6, 0.3), arrays)
    else:
        value = evaluate(*arrays, rerank=RerankSettings() if what == "sparse" else None).metrics()["mAP"]
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_mib() - before, "mAP": value}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure(*options.measure)
        return
    sizes = [int(options.scale * MARKET[key]) for key in ("queries", "gallery")]
    data = market_like(*sizes)
    print(f"{sum(sizes):,} images, k1 20, k2 6, lambda 0.3, {options.threads} threads")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for key in KEYS:
            np.save(Path(folder) / f"{key}.npy", data[key])
        for what in ("plain", "sparse", *(["dense"] if options.dense else [])):
            found[what] = in_subprocess(__file__, "--threads", options.threads, "--measure", folder, what)
            cost = (
                f"wall {found[what]['wall']:.1f} s, CPU {found[what]['cpu']:.1f} s, peak {found[what]['peak']:.0f} MiB"
            )
            print(f"{what:7s} {cost}, mAP {found[what]['mAP']:.7f}")
    if options.dense:
        gap = found["sparse"]["mAP"] - found["dense"]["mAP"]
        print(f"dense / sparse CPU: {found['dense']['cpu'] / found['sparse']['cpu']:.1f}; difference in mAP {gap:+.1e}")
    print(
        f"quoted, not measured here: torchreid's numpy at full scale {QUOTED['CPU s']} CPU s, {QUOTED['peak MiB']:,} MiB"
    )


if __name__ == "__main__":
    main()
