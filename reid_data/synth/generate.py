"""Write a synthetic data set in Market layout, with the exact masks and the clean plates beside the pictures."""

import os
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.datasets.card import read_document
from reid_data.errors import UsageError
from reid_data.files import AnyPath, make_folder, write_atomic
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.images import decode_image, encode_jpeg, encode_mask, encode_png
from reid_data.manifest import Form, raised
from reid_data.parallel import ordered_map
from reid_data.records import SPLIT_FOLDERS, SPLITS, Card, Record, ReidDataset
from reid_data.synth.crop import VERSIONS as PICTURE_VERSIONS
from reid_data.synth.crop import Picture, compose
from reid_data.synth.layout import VERSIONS as LAYOUT_VERSIONS
from reid_data.synth.layout import Job, plan_set
from reid_data.synth.paint.brush import VERSIONS as PAINT_VERSIONS
from reid_data.synth.person.appearance import draw_appearance
from reid_data.synth.person.figure import VERSIONS as PERSON_VERSIONS
from reid_data.synth.place.backdrop import Nuisance
from reid_data.synth.place.camera import draw_look
from reid_data.synth.place.scene import VERSIONS as PLACE_VERSIONS
from reid_data.synth.place.scene import Scene, draw_scene, network_of
from reid_data.written.swapped import SwappedOutput, refuse_foreign

GENERATOR = 1
"""The schema of the settings: raised whenever one of them changes its default or meaning. Steps have versions of their own."""

FORM = Form("synth", GENERATOR, {"num_train": 700, "seed": 0})
SYNTH_VERSIONS = {
    **PERSON_VERSIONS,
    **PLACE_VERSIONS,
    **PAINT_VERSIONS,
    **PICTURE_VERSIONS,
    **LAYOUT_VERSIONS,
    **IMAGE_VERSIONS,
}

KIND = "synthetic"
TERMS = "Generated pictures; no real person is depicted. CC0-1.0."
BYTES_PER_IMAGE = 45_000
POOL = 12  # scenes per camera that the endless samples draw from

Progress = Callable[[int, int], None]


def settings_of(network: str, num_train: int, num_ids: int | None, seed: int) -> dict[str, Any]:
    """The settings that fix every byte of a set, as its `dataset.json` keeps them. Raises UsageError."""
    network_of(network)
    ids = max(2, round(num_train / 10)) if num_ids is None else num_ids
    if ids < 2 or num_train < 2 * ids:
        raise UsageError(
            f"{num_train} training images of {ids} identities cannot be shared out: at least 2 identities with 2 images each. "
            "Raise --train or lower --ids."
        )
    wanted = {"network": network, "num_train": num_train, "num_ids": ids, "seed": seed, "generator": GENERATOR}
    return wanted | raised(SYNTH_VERSIONS)


def counts_of(settings: dict[str, Any]) -> dict[str, int]:
    """Images per split of the set that `settings` give, without making it."""
    jobs = plan_set(settings["network"], settings["num_train"], settings["num_ids"], settings["seed"])
    return {split: sum(job.split == split for job in jobs) for split in SPLITS}


def is_made(root: Path, settings: dict[str, Any]) -> bool:
    """Whether `root` already holds the set that these settings give. Raises EnvironmentFault if it holds anything but a
    synthetic set (which may be replaced) or nothing."""
    refuse_foreign(root, KIND)
    document = read_document(root)
    return document is not None and not FORM.differences(document.get("settings") or {}, settings)


def generate(
    root: AnyPath,
    network: str,
    *,
    num_train: int = 700,
    num_ids: int | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> ReidDataset:
    """Write the synthetic set of a `network` (`market` or `duke`) into the folder `root`, whole or not at all.

    `num_train` training images of `num_ids` identities (default a tenth), about as many test images of as many other
    identities, distractors (pid 0) and junk (pid -1). The bytes depend on network, `num_train`, `num_ids` and `seed` alone.
    `progress` gets (done, total) images. Replaces an earlier synthetic set; raises EnvironmentFault if `root` holds
    anything else, UsageError for settings that cannot be met.
    """
    settings = settings_of(network, num_train, num_ids, seed)
    root = Path(os.path.abspath(root))
    jobs = plan_set(network, num_train, settings["num_ids"], seed)
    made = _dataset(root, jobs, settings)
    with SwappedOutput(root, "synth", KIND, num_bytes=len(jobs) * BYTES_PER_IMAGE) as output:
        output.begin()
        _write_pictures(output.folder, network, seed, jobs, workers, progress)
        output.finish(made, settings)
    return made


def _write_pictures(
    building: Path, network: str, seed: int, jobs: list[Job], workers: int, progress: Progress | None
) -> None:
    for split in SPLITS:
        for folder in ("", "masks", "plates"):
            make_folder(building / folder / SPLIT_FOLDERS[split])
    groups: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.camid, job.scene), []).append(job)
    done = 0
    tasks = [(str(building), network, seed, group) for _, group in sorted(groups.items())]
    for count in ordered_map(_write_group, tasks, workers, chunk=1):
        done += count
        if progress is not None:
            progress(done, len(jobs))


def _write_group(task: tuple[str, str, int, list[Job]]) -> int:
    """All pictures of one scene, so that every scene is drawn once, by one process."""
    root, network, seed, jobs = task
    scene = draw_scene(seed, network, jobs[0].camid, jobs[0].scene)
    for job in jobs:
        picture = render(job, scene, network, seed)
        folder, stem = SPLIT_FOLDERS[job.split], job.name.removesuffix(".jpg")
        write_atomic(f"{root}/masks/{folder}/{stem}.png", encode_mask(picture.alpha))
        write_atomic(f"{root}/plates/{folder}/{stem}.png", encode_png(picture.plate))
        write_atomic(f"{root}/{folder}/{job.name}", encode_jpeg(picture.image, picture.quality))
    return len(jobs)


def render(job: Job, scene: Scene, network: str, seed: int) -> Picture:
    """The picture of one job; random numbers from the seed and the file's name alone."""
    rng = np.random.default_rng(
        [seed & 0xFFFFFFFF, zlib.crc32(network.encode()), zlib.crc32(f"{job.split}/{job.name}".encode())]
    )
    person = None if job.person is None else draw_appearance(seed, network, job.person)
    nuisance = Nuisance(loose=5.0, others=0.5) if job.badly_framed else Nuisance()
    return compose(person, scene, draw_look(seed, network, job.camid), rng, nuisance, job.heading)


def _card(name: str, settings: dict[str, Any]) -> Card:
    space = f"synthetic-{settings['network']}-{settings['seed']}"
    return Card(name=name, kind=KIND, identity_space=space, terms=TERMS, status="ok")


def _dataset(root: Path, jobs: list[Job], settings: dict[str, Any]) -> ReidDataset:
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for job in sorted(jobs, key=lambda job: job.name):
        splits[job.split].append(
            Record(str(root), f"{SPLIT_FOLDERS[job.split]}/{job.name}", job.pid, job.camid, job.split)
        )
    return ReidDataset(_card(root.name, settings), root, splits["train"], splits["query"], splits["gallery"])


@lru_cache(maxsize=128)
def _pool_scene(seed: int, network: str, camera: int, number: int) -> Scene:
    """Every scene of the pool is a site of its own, with its own height and light."""
    return draw_scene(seed + 7919 * (number + 1), network, camera, number)


def sample(seed: int, index: int, network: str, *, empty: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One independent training sample for a segmenter: (image (128, 64, 3) uint8 RGB, alpha (128, 64) float32 in [0, 1],
    plate (128, 64, 3) uint8). The same (seed, index, network) gives the same sample.

    Every sample has a person of its own, a camera look of its own and wider nuisances than a data set; the places come from
    a pool of POOL scenes per camera that a process draws once. With the chance `empty` nobody is in the picture (alpha 0).
    """
    rng = np.random.default_rng([seed & 0xFFFFFFFF, index, zlib.crc32(network.encode()), 41])
    camera, number = int(rng.integers(1, network_of(network).cameras + 1)), int(rng.integers(POOL))
    scene = _pool_scene(seed, network, camera, number)
    person = None if rng.uniform() < empty else draw_appearance(int(rng.integers(2**31)), network, 1)
    look = draw_look(int(rng.integers(2**31)), network, camera, spread=1.8)
    nuisance = Nuisance(others=0.45, occluders=0.15, spread=1.8, loose=1.5, stretch=(0.08, 0.13), wild=0.55)
    picture = compose(person, scene, look, rng, nuisance, float(rng.uniform(0, 2 * np.pi)))
    image = decode_image(encode_jpeg(picture.image, picture.quality))
    if rng.uniform() < 0.5:
        return image[:, ::-1].copy(), picture.alpha[:, ::-1].copy(), picture.plate[:, ::-1].copy()
    return image, picture.alpha, picture.plate
