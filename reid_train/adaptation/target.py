"""The images of a site without labels. Identities are taken away as the set is loaded, so that nothing after can use them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from reid_data.decode import Images, Progress, Unreadable, decode_all, decoded
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import UNLABELLED_PID, Record, ReidDataset
from reid_train.training.batches import TrainingSet

OUTSIDE = -1
"""The label of an image that is in no cluster."""


def unlabelled(dataset: ReidDataset) -> ReidDataset:
    """The train split of `dataset` without identities, by name, and nothing else of it.

    Junk and distractors stay: to know them would be a label, too.
    """
    train = sorted((replace(record, pid=UNLABELLED_PID) for record in dataset.train), key=lambda record: record.name)
    card = replace(dataset.card, name=f"{dataset.name}:unlabelled", identity_space=f"{dataset.name}:unlabelled")
    return replace(dataset, card=card, train=train, query=[], gallery=[])


def load_unlabelled(
    dataset: ReidDataset, size: tuple[int, int], *, workers: int = 1, progress: Progress | None = None
) -> TrainingSet:
    """Decode the train split of `dataset` without its identities; every image is labelled OUTSIDE, unreadable ones are listed.

    Raises InputError if nothing is left.
    """
    dataset = dataset if all(record.pid == UNLABELLED_PID for record in dataset.train) else unlabelled(dataset)
    pixels, reasons = decode_all(dataset.train, size, workers=workers, progress=progress)
    kept = [record for record, reason in zip(dataset.train, reasons) if reason is None]
    bad = [Unreadable(record.name, reason) for record, reason in zip(dataset.train, reasons) if reason is not None]
    if not kept:
        first = f"; the first: {printable(bad[0].name)} {bad[0].reason}" if bad else ""
        raise InputError(f"no training image of {dataset.name} can be used ({len(bad)} unreadable{first}).")
    cameras = {camera: number for number, camera in enumerate(sorted({record.camid for record in kept}))}
    return TrainingSet(
        records=kept,
        labels=[OUTSIDE] * len(kept),
        cameras=[cameras[record.camid] for record in kept],
        classes=[],
        size=size,
        pixels=pixels,
        unreadable=bad,
    )


def in_memory(images: TrainingSet) -> Images:
    """The images of a training set as they were decoded, for an extraction of some of its records; else from their files."""
    if images.pixels is None:
        return decoded
    pixels, places = images.pixels, {record.name: number for number, record in enumerate(images.records)}

    def stream(records: Sequence[Record], size: tuple[int, int], workers: int) -> Iterator[np.ndarray | str]:
        return (pixels[places[record.name]] for record in records)

    return stream
