"""The clusters of a finished adaptation beside the truth: for people who want to understand a run, read by nothing else."""

import json
from pathlib import Path

import numpy as np

from reid_data.errors import InputError
from reid_data.files import printable, write_atomic
from reid_data.records import DISTRACTOR_PID, JUNK_PID, ReidDataset
from reid_train.adaptation.labels import LABELS_FILE
from reid_train.adaptation.partitions import adjusted_rand, normalised_mutual_information, purity
from reid_train.features.files import read_npz

DIAGNOSTICS_FILE = "diagnostics.jsonl"


def diagnose(run_folder: Path, target: ReidDataset) -> None:
    """Write `diagnostics.jsonl`: per round how the labels agree with the identities of `target`'s train split.

    Over all images and over those in clusters: ARI and NMI; purity of the clusters. Junk and distractors are left out.
    Raises InputError if the run has no labels, or labels other images.
    """
    path = run_folder / LABELS_FILE
    if not path.is_file():
        raise InputError(
            f"'{printable(run_folder)}' has no {LABELS_FILE}: only an adaptation that looks at a target has labels."
        )
    arrays = read_npz(path)
    truth = {record.name: record.pid for record in target.train}
    names = arrays["names"].tolist()
    if missing := [name for name in names if name not in truth]:
        raise InputError(f"'{printable(path)}' labels {printable(missing[0])}, which {target.name} does not have.")
    pids = np.array([truth[name] for name in names])
    known = ~np.isin(pids, (JUNK_PID, DISTRACTOR_PID))
    rows = [_row(number, labels[known], pids[known]) for number, labels in enumerate(arrays["labels"], 1)]
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    write_atomic(run_folder / DIAGNOSTICS_FILE, text.encode("ascii"))


def _row(number: int, labels_N: np.ndarray, pids_N: np.ndarray) -> dict[str, float | bool]:
    inside = labels_N >= 0
    return {
        "uses_truth": True,
        "round": number,
        "ari": adjusted_rand(labels_N, pids_N),
        "nmi": normalised_mutual_information(labels_N, pids_N),
        "ari_inside": adjusted_rand(labels_N[inside], pids_N[inside]),
        "nmi_inside": normalised_mutual_information(labels_N[inside], pids_N[inside]) if inside.any() else 1.0,
        "purity": purity(labels_N, pids_N),
    }
