"""One clustering round of `reid-train adapt` against the field's dense way: time, memory, agreement, growth.

    python benchmarks/adapt_round.py [--images 3000,6000,12936] [--dense-to 6000] [--repeats 3] [--features F.npz]

The dense way is that of SpCL's and OpenUnReID's code, written out below: float32 matrices of all pairs, then scikit-learn's
DBSCAN on the matrix; its neighbours come from products in blocks, as faiss on a CPU makes them. Both ways cluster the same
features on --threads threads at eps .6, k1 30, k2 6, each in a process of its own, one after the other in every repeat. Ours
also makes the table of eleven eps, which the dense way does not. The features are made up (17 images a person); --features
takes those that `reid-train extract RUN SET --split train --out F.npz` wrote, the first of them for each of --images.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from evaluate_data import in_subprocess, peak_mib
from scipy.optimize import nnls
from sklearn.cluster import DBSCAN

from reid_train.adaptation.clusters import find_clusters
from reid_train.adaptation.partitions import adjusted_rand

EPS, K1, K2, MIN_SAMPLES = 0.6, 30, 6, 4
WIDTH, PER_PERSON = 1280, 17
GROWTH = 100_000


def made_up(images: int) -> np.ndarray:
    """Unit features (images, 1280) of people under six cameras, some images noisier than others."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((images // PER_PERSON + 1, WIDTH), dtype=np.float32)
    places = 0.7 * rng.standard_normal((6, WIDTH), dtype=np.float32)
    noise = rng.uniform(2, 5, (images, 1)).astype(np.float32)
    feats = people[np.arange(images) // PER_PERSON] + places[rng.integers(0, 6, images)]
    feats += noise * rng.standard_normal(feats.shape, dtype=np.float32)
    return feats / np.linalg.norm(feats, axis=1, keepdims=True)


def dense_labels(feats: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Labels by matrices of all pairs, and the seconds of the distances and of DBSCAN."""
    before = time.perf_counter()
    total, rows = len(feats), torch.from_numpy(feats)
    ranks = torch.cat([(part @ rows.T).topk(K1 + 1).indices for part in rows.split(1024)]).numpy()

    def reciprocal(i: int, k: int) -> np.ndarray:
        forward = ranks[i, : k + 1]
        return forward[(ranks[forward, : k + 1] == i).any(1)]

    inner = [reciprocal(i, K1) for i in range(total)]
    half = [reciprocal(i, int(np.around(K1 / 2))) for i in range(total)]
    weights = np.zeros((total, total), np.float32)
    for i in range(total):
        parts = [inner[i]]
        parts += [half[j] for j in inner[i] if len(np.intersect1d(half[j], inner[i])) > 2 / 3 * len(half[j])]
        members = np.unique(np.concatenate(parts))
        weights[i, members] = torch.softmax(2 * rows[members] @ rows[i] - 2, 0).numpy()
    means = np.zeros_like(weights)
    for i in range(total):
        means[i] = weights[ranks[i, :K2]].mean(0)
    del weights
    columns = [np.flatnonzero(means[:, j]) for j in range(total)]
    distance = np.zeros((total, total), np.float32)
    for i in range(total):
        smaller = np.zeros(total, np.float32)
        for j in np.flatnonzero(means[i]):
            smaller[columns[j]] += np.minimum(means[i, j], means[columns[j], j])
        distance[i] = 1 - smaller / (2 - smaller)
    del means, columns
    distance[distance < 0] = 0
    between = time.perf_counter()
    labels = DBSCAN(eps=EPS, min_samples=MIN_SAMPLES, metric="precomputed").fit_predict(distance)
    return labels, {"graph": between - before, "dbscan": time.perf_counter() - between}


def measure(folder: str, way: str, images: int) -> None:
    """In a process of its own: seconds, CPU seconds, peak memory over the inputs and of the process, labels to a file."""
    feats = np.array(np.load(Path(folder) / "feats.npy", mmap_mode="r")[:images])
    torch.mm(torch.ones(8, 8), torch.ones(8, 8))
    before, start, start_cpu = peak_mib(), time.perf_counter(), time.process_time()
    if way == "dense":
        labels, stages = dense_labels(feats)
    else:
        found = find_clusters(feats, eps=("value", EPS), k1=K1, k2=K2, min_samples=MIN_SAMPLES)
        labels, stages = found.labels, found.seconds
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    np.save(Path(folder) / f"{way}.npy", labels)
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_mib() - before, "process": peak_mib(), **stages}))


def grown(images: list[int], values: list[float], powers: tuple[int, int]) -> float:
    """The value at GROWTH images of a sum of two powers, fitted with weights of at least 0 and equal relative errors."""
    table = np.array([[float(count) ** power for power in powers] for count in images]) / np.array(values)[:, None]
    return float(nnls(table, np.ones(len(images)))[0] @ [float(GROWTH) ** power for power in powers])


def describe(labels: np.ndarray) -> str:
    return f"{labels.max() + 1} clusters, {(labels < 0).mean():.0%} outliers"


def ratios(dense: list[dict[str, float]], ours: list[dict[str, float]]) -> str:
    """Dense / ours, repeat by repeat: the median and the range."""
    parts = []
    for key, name in (("wall", "time"), ("cpu", "CPU time"), ("peak", "peak memory over the inputs")):
        found = sorted(one[key] / other[key] for one, other in zip(dense, ours))
        parts.append(f"{name} {np.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})")
    return "dense / ours: " + ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="3000,6000,12936")
    parser.add_argument("--dense-to", type=int, default=6000, help="the dense way up to this many images")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure(options.measure[0], options.measure[1], int(options.measure[2]))
        return
    counts = [int(word) for word in options.images.split(",")]
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        if options.features:
            with np.load(options.features) as file:
                feats = file["gallery_feats"]
            feats = feats / np.linalg.norm(feats, axis=1, keepdims=True)
            if len(feats) < max(counts):
                parser.error(f"{options.features} has {len(feats)} images, --images asks for {max(counts)}")
        else:
            feats = made_up(max(counts))
        np.save(Path(folder) / "feats.npy", feats)
        print(f"width {feats.shape[1]}, eps {EPS}, k1 {K1}, k2 {K2}, {options.threads} threads")
        for images in counts:
            ways = ["ours", "dense"] if images <= options.dense_to else ["ours"]
            found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for _ in range(options.repeats):
                for way in ways:
                    arguments = ("--threads", options.threads, "--measure", folder, way, images)
                    found[way].append(in_subprocess(__file__, *arguments))
            labels = {way: np.load(Path(folder) / f"{way}.npy") for way in ways}
            for way in ways:
                one = {key: float(np.median([row[key] for row in found[way]])) for key in found[way][0]}
                times = f"{one['wall']:.1f} s (distances {one['graph']:.1f}, DBSCAN {one['dbscan']:.2f})"
                memory = f"peak {one['peak']:.0f} MiB over the inputs, process {one['process']:.0f} MiB"
                print(f"{images:,} images, {way}: {times}, {memory}; {describe(labels[way])}")
                if way == "ours":
                    medians.append(one)
            if "dense" in ways:
                agreement = adjusted_rand(labels["ours"], labels["dense"])
                print(f"{ratios(found['dense'], found['ours'])}; adjusted Rand index {agreement:.3f}", flush=True)
    if len(counts) > 1:
        seconds = grown(counts, [one["wall"] for one in medians], (1, 2))
        peak = grown(counts, [one["process"] for one in medians], (0, 1))
        print(
            f"ours at {GROWTH:,} images, extrapolated from these (a N + b N^2 s, a + b N MiB): "
            f"{seconds / 60:.0f} min, {peak / 1024:.1f} GiB"
        )


if __name__ == "__main__":
    main()
