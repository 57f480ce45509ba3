"""A gallery of a million images, read from a .safetensors file by tiles: time and memory.

    python benchmarks/evaluate_streamed.py [--rows 1000000] [--queries 3368] [--width 2048] [--folder FOLDER]

Needs rows x width x 4 bytes of disk (8 GB by default). Time is compared with the bare product over the same file's rows.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from evaluate_data import KEYS, in_subprocess, market_like, peak_mib, write_rows

from reid_train.evaluation.protocol import evaluate
from reid_train.features.files import read_features


def write(path: Path, rows: int, queries: int, width: int) -> None:
    """A Market-like query and gallery, then random distractors up to `rows`."""
    data = market_like(queries, min(rows, 15913), width=width)
    more = rows - len(data["gallery_pids"])
    data["gallery_pids"] = np.concatenate([data["gallery_pids"], np.zeros(more, int)])
    data["gallery_camids"] = np.concatenate([data["gallery_camids"], np.ones(more, int)])
    shapes = {key: ("F32" if key.endswith("feats") else "I64", data[key].shape) for key in KEYS}
    shapes["gallery_feats"] = ("F32", (rows, width))

    def chunks():
        rng = np.random.default_rng(1)
        for key in KEYS:
            yield data[key]
            for start in range(0, more if key == "gallery_feats" else 0, 8192):
                part = rng.standard_normal((min(8192, more - start), width), dtype=np.float32)
                yield part / np.linalg.norm(part, axis=1, keepdims=True)

    write_rows(path, shapes, chunks())


def measure(path: str, what: str) -> None:
    """In a process of its own: seconds and peak of the evaluation or of reading and multiplying."""
    features = read_features(path)
    queries = torch.from_numpy(features.query_feats)
    torch.mm(queries[:8], queries[:8].T)
    before, start = peak_mib(), time.perf_counter()
    shown = {}
    if what == "evaluate":
        shown = evaluate(*features.arrays()).metrics()
    else:
        buffer = torch.empty(1024 * 4096)
        for b in range(0, len(features.gallery_feats), 4096):
            right = torch.from_numpy(features.gallery_feats[b : b + 4096]).T
            for a in range(0, len(queries), 1024):
                left = queries[a : a + 1024]
                torch.mm(left, right, out=buffer[: len(left) * right.shape[1]].view(len(left), right.shape[1]))
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak_mib() - before, **shown}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure(*options.measure)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "features.safetensors"
        write(path, options.rows, options.queries, options.width)
        print(f"{options.queries:,} x {options.rows:,} x {options.width}: a file of {path.stat().st_size / 1e9:.1f} GB")
        found = {
            what: in_subprocess(__file__, "--threads", options.threads, "--measure", path, what)
            for what in ("product", "evaluate")
        }
    for what, numbers in found.items():
        print(f"{what}: {numbers['seconds']:.1f} s, peak over the inputs {numbers['peak']:.0f} MiB")
    print(
        f"evaluate / product: {found['evaluate']['seconds'] / found['product']['seconds']:.2f}; mAP {found['evaluate']['mAP']:.7f}"
    )


if __name__ == "__main__":
    main()
