"""Sets whose splits are written in files: MSMT17 (text lists) and CUHK03 (split tables of the new protocol)."""

import os
import re
from pathlib import Path
from typing import Any

from reid_data.datasets.spec import DatasetSpec, Ignored, Splits, empty_splits
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import Record
from reid_data.text_files import read_text

MSMT17_LISTS = {
    "train": ("list_train.txt", "list_val.txt"),
    "query": ("list_query.txt",),
    "gallery": ("list_gallery.txt",),
}
MSMT17_FOLDERS = {
    "train": ("train", "mask_train_v2"),
    "query": ("test", "mask_test_v2"),
    "gallery": ("test", "mask_test_v2"),
}
MSMT17_TEST_PIDS_FROM = 10_001


def read_msmt17(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """MSMT17 V1 (`train/`, `test/`) and V2 (`mask_train_v2/`, `mask_test_v2/`), split by its `list_*.txt` files.

    `list_val.txt` belongs to train, as in the published counts. The lists number training and test identities from 0 each;
    here training pids start at 1 and test pids at 10001, so that no two people share one and 0 stays the distractor.
    """
    splits = empty_splits()
    for split, lists in MSMT17_LISTS.items():
        folder = _first_folder(root, MSMT17_FOLDERS[split], spec)
        first = 1 if split == "train" else MSMT17_TEST_PIDS_FROM
        for name in lists:
            for number, line in enumerate(_lines(root / name, spec), 1):
                splits[split].append(_msmt17_record(root, f"{folder}/", line, (first, split, f"{name} line {number}")))
    return {split: _sorted(records) for split, records in splits.items()}, {}


def _msmt17_record(root: Path, folder: str, line: str, where: tuple[int, str, str]) -> Record:
    first, split, place = where
    match = re.fullmatch(r"(?P<path>.+/\d+_\d+_(?P<camid>\d+)_.+) (?P<pid>\d+)", line)
    if match is None:
        raise InputError(f"{place}: '{printable(line)}' is not '0000/0000_000_01_0303morning_0008_0.jpg 0'.")
    return Record(str(root), folder + match["path"], first + int(match["pid"]), int(match["camid"]), split)


def read_cuhk03(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """CUHK03 by the new 767/700 protocol: `images_<kind>/` with `cuhk03_new_protocol_config_<kind>.mat` beside it.

    `kind` (detected or labeled) is the table row's `pattern`; the cameras are the two views, 1 and 2. The
    files are those of Zhong et al., CVPR 2017, with the images as `1_001_1_01.png`.
    """
    kind = spec.pattern
    table = _read_mat(root / f"cuhk03_new_protocol_config_{kind}.mat")
    names = [str(entry.ravel()[0]) for entry in table["filelist"].ravel()]
    pids = [int(pid) for pid in table["labels"].ravel()]
    splits = empty_splits()
    for split in splits:
        for index in table[f"{split}_idx"].ravel():
            name = names[int(index) - 1]
            camid = int(name.split("_")[2])
            splits[split].append(Record(str(root), f"images_{kind}/{name}", pids[int(index) - 1], camid, split))
    return {split: _sorted(records) for split, records in splits.items()}, {}


def _read_mat(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"'{printable(path)}' is missing: CUHK03 needs the split files of the new protocol "
            "(cuhk03_new_protocol_config_detected.mat, ..._labeled.mat) beside images_detected/ and images_labeled/."
        )
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        table: dict[str, Any] = loadmat(path)
        _ = [table[key] for key in ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")]
    except (MatReadError, ValueError, KeyError, OSError, NotImplementedError) as error:
        raise InputError(f"'{printable(path)}' is not a split file of the new CUHK03 protocol: {error}.") from error
    return table


def read_pku(root: Path, spec: DatasetSpec) -> tuple[Splits, Ignored]:
    """PKU-Reid: images `CC_O.png` (camera, orientation) in a folder per identity, anywhere below `root`.

    The set comes without a split. Sorted ids: the first half trains, the second half is tested, camera 1 as query and
    camera 2 as gallery.
    """
    pattern = re.compile(spec.pattern)
    found: dict[int, list[tuple[str, int]]] = {}
    seen, ignored = set[str](), 0
    for parent, folders, names in os.walk(root):
        folders.sort()
        person = os.path.basename(parent)
        for name in sorted(names):
            match = pattern.fullmatch(name) if person.isdecimal() else None
            if match is None or f"{person}/{name}" in seen:
                ignored += 1
                continue
            seen.add(f"{person}/{name}")
            relative = os.path.relpath(os.path.join(parent, name), root).replace(os.sep, "/")
            found.setdefault(int(person), []).append((relative, int(match["camid"])))
    if not found:
        raise InputError(
            f"no PKU-Reid images below '{printable(root)}': expected folders 001/, 002/, ... with names like 01_1.png."
        )
    pids = sorted(found)
    splits = empty_splits()
    for pid in pids:
        for name, camid in found[pid]:
            split = "train" if pid in pids[: len(pids) // 2] else "query" if camid == 1 else "gallery"
            splits[split].append(Record(str(root), name, pid, camid, split))
    return {split: _sorted(records) for split, records in splits.items()}, {
        "not an image of the set": ignored
    } if ignored else {}


def _first_folder(root: Path, names: tuple[str, ...], spec: DatasetSpec) -> str:
    for name in names:
        if (root / name).is_dir():
            return name
    raise InputError(
        f"'{printable(root)}' has none of the folders {', '.join(names)} of '{spec.name}'. Unpack the set there."
    )


def _lines(path: Path, spec: DatasetSpec) -> list[str]:
    if not path.is_file():
        raise InputError(f"'{printable(path)}' is missing: '{spec.name}' is split by its list files.")
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _sorted(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: os.fsencode(record.name))
