"""The digest of a data set's contents: what cells, caches and derived sets are keyed by."""

import hashlib
import json
import os

from reid_data.errors import ImageError
from reid_data.files import cache_folder, sha256_bytes
from reid_data.images import read_bytes
from reid_data.records import Record, ReidDataset
from reid_data.seals import keep, kept

Known = dict[str, list[int | str]]


def dataset_digest(dataset: ReidDataset) -> str:
    """sha256 over the sorted (split, relative path, sha256 of the file); file hashes are cached by size and mtime.

    A file that cannot be read counts as such, so that its repair changes the digest. A matte counts where one is given.
    """
    hashes = file_hashes(dataset)
    total = hashlib.sha256()
    for record in sorted(dataset.records, key=lambda record: (record.split, os.fsencode(record.name))):
        total.update(
            b"\0".join((record.split.encode(), os.fsencode(record.name), hashes[record.name].encode())) + b"\n"
        )
    for matte in sorted({record.matte for record in dataset.records if record.matte is not None}):
        total.update(b"over %d,%d,%d\n" % matte)
    return total.hexdigest()


def file_hashes(dataset: ReidDataset) -> dict[str, str]:
    """sha256 of every record's file by relative name (`unreadable` where it cannot be read); cached."""
    cache = cache_folder("digests") / f"{sha256_bytes(os.fsencode(os.path.abspath(dataset.root)))[:24]}.json"
    data = kept(cache, "list of hashes")
    known: Known = {} if data is None else json.loads(data)
    fresh: Known = {}
    for record in dataset.records:
        fresh[record.name] = _entry(record, known.get(record.name))
    if fresh != known:
        keep(cache, json.dumps(fresh, ensure_ascii=True).encode("ascii"))
    return {name: str(entry[2]) for name, entry in fresh.items()}


def _entry(record: Record, known: list[int | str] | None) -> list[int | str]:
    try:
        status = os.stat(record.path)
    except OSError:
        return [-1, -1, "unreadable"]
    if known is not None and known[0] == status.st_size and known[1] == status.st_mtime_ns:
        return known
    try:
        return [status.st_size, status.st_mtime_ns, sha256_bytes(read_bytes(record.path, record.root))]
    except ImageError:
        return [-1, -1, "unreadable"]
