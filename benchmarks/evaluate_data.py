"""Features and ids of Market-1501's size, made up: what the evaluation benchmarks run on."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

KEYS = ("query_feats", "query_pids", "query_camids", "gallery_feats", "gallery_pids", "gallery_camids")
MARKET = {"queries": 3368, "gallery": 15913, "ids": 750, "distractors": 2798}


def market_like(
    queries: int = MARKET["queries"],
    gallery: int = MARKET["gallery"],
    *,
    width: int = 2048,
    noise: float = 3.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Arrays by KEYS: unit features of identity + camera + noise; six cameras; all else of the gallery is distractors.

    750 identities own at most 13,115 gallery images, as in Market-1501, however large the gallery is. `noise` 3 gives an mAP
    of about 0.34 (a hard case: many wrong images stand between the right ones), 1.6 one of 0.999.
    """
    rng = np.random.default_rng(seed)
    ids, owned = MARKET["ids"], min(gallery, MARKET["gallery"] - MARKET["distractors"])
    pids = {"query": np.sort(rng.integers(1, ids + 1, queries))}
    pids["gallery"] = np.concatenate([np.zeros(gallery - owned, int), np.sort(rng.integers(1, ids + 1, owned))])
    people = rng.standard_normal((ids + 1, width), dtype=np.float32)
    places = 0.7 * rng.standard_normal((7, width), dtype=np.float32)
    arrays = {}
    for side, own in pids.items():
        camids = rng.integers(1, 7, len(own))
        feats = np.empty((len(own), width), np.float32)
        for start in range(0, len(own), 4096):
            part = slice(start, start + 4096)
            rows = people[own[part]] + places[camids[part]]
            rows += noise * rng.standard_normal(rows.shape, dtype=np.float32)
            rows[own[part] == 0] += rng.standard_normal((int((own[part] == 0).sum()), width), dtype=np.float32)
            feats[part] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        arrays |= {f"{side}_feats": feats, f"{side}_pids": own, f"{side}_camids": camids}
    return arrays


def peak_mib() -> float:
    """Most memory that this process has ever held, in MiB (Linux; getrusage would inherit the parent's peak)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def in_subprocess(script: str, *arguments: Any) -> dict[str, Any]:
    """Run `script` with `arguments` in a fresh process; what it prints on its last line, as JSON."""
    done = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def write_rows(path: Path, shapes: dict[str, tuple[str, tuple[int, ...]]], chunks: Any) -> None:
    """Write a .safetensors file piece by piece: `shapes` name -> (type, shape) in the order in which `chunks` come."""
    header, offset = {}, 0
    for key, (kind, shape) in shapes.items():
        size = int(np.prod(shape)) * {"F32": 4, "I64": 8}[kind]
        header[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for chunk in chunks:
            chunk.tofile(file)
