"""Which pictures a synthetic set has: identities, cameras, visits, frames. Pure: no pixels, no files."""

import zlib
from dataclasses import dataclass

import numpy as np

from reid_data.records import DISTRACTOR_PID, JUNK_PID
from reid_data.synth.place.scene import MOST_SCENES, network_of

VERSIONS = {"synth-layout": 1}  # plan_set

QUERIES_PER_ID = 3


@dataclass(frozen=True)
class Job:
    """One picture to make: its Market file name, whom it shows (`person`: number of the appearance, None for nobody), in
    which `scene` of its camera, seen from `heading` (radians, 0 = walking towards the camera)."""

    name: str
    split: str
    pid: int
    camid: int
    scene: int
    person: int | None
    heading: float
    badly_framed: bool = False


@dataclass(frozen=True)
class Visit:
    """One walk of a person past a camera: the pictures of a visit share scene and direction."""

    camid: int
    scene: int
    heading: float


class Frames:
    """Hands out frame numbers, rising per camera and scene, so that every file name is new."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.last: dict[tuple[int, int], int] = {}

    def name(self, pid: int, camid: int, scene: int) -> str:
        """The next file name of a camera's sequence."""
        frame = self.last.get((camid, scene), 100) + int(self.rng.integers(5, 60))
        self.last[camid, scene] = frame
        shown = "-1" if pid == JUNK_PID else f"{pid:04d}"
        return f"{shown}_c{camid}s{scene + 1}_{frame:06d}_01.jpg"


def plan_set(network: str, num_train: int, num_ids: int, seed: int) -> list[Job]:
    """All jobs of a set: `num_train` training pictures, queries, gallery with distractors and junk.

    Like Market-1501: as many test as training identities, disjoint; one query per test identity and camera (at most
    QUERIES_PER_ID), all with a true match in another camera.
    """
    rng = np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(network.encode()), 51])
    cameras = network_of(network).cameras
    scenes = scenes_per_camera(num_train, cameras)
    frames = Frames(rng)
    pids = rng.permutation(np.arange(1, 2 * num_ids + 1))
    train, test = sorted(pids[:num_ids].tolist()), sorted(pids[num_ids:].tolist())
    jobs: list[Job] = []
    for pid, count in zip(train, _shares(num_train, num_ids)):
        visits = _visits(rng, cameras, scenes, most=max(2, min(6, count // 2)))
        jobs += [_job(frames, rng, pid, visits[number % len(visits)], "train") for number in range(count)]
    for pid, count in zip(test, _shares(max(2 * num_ids, round(0.7 * num_train)), num_ids)):
        visits = _visits(rng, cameras, scenes, most=max(2, min(6, count // 2)))
        jobs += [_job(frames, rng, pid, visits[number % len(visits)], "gallery") for number in range(count)]
        jobs += [_job(frames, rng, pid, visit, "query") for visit in visits[:QUERIES_PER_ID]]
    jobs += _odd_ones(frames, rng, network, test, num_train)
    return jobs


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]


def scenes_per_camera(num_train: int, cameras: int) -> int:
    """Two to MOST_SCENES scenes, so that a scene is shared by some thirty training images or more."""
    return int(np.clip(num_train // (30 * cameras), 2, MOST_SCENES))


def _visits(rng: np.random.Generator, cameras: int, scenes: int, most: int) -> list[Visit]:
    count = int(rng.integers(2, min(most, cameras) + 1)) if most > 2 else 2
    chosen = rng.permutation(cameras)[:count] + 1
    return [Visit(int(camera), int(rng.integers(scenes)), float(rng.uniform(0, 2 * np.pi))) for camera in chosen]


def _job(frames: Frames, rng: np.random.Generator, pid: int, visit: Visit, split: str) -> Job:
    heading = visit.heading + float(rng.normal(0, 0.45))
    return Job(frames.name(pid, visit.camid, visit.scene), split, pid, visit.camid, visit.scene, pid, heading)


def _odd_ones(frames: Frames, rng: np.random.Generator, network: str, test: list[int], num_train: int) -> list[Job]:
    """Distractors: empty places and badly framed strangers; junk: badly framed test identities."""
    jobs = []
    cameras = network_of(network).cameras
    scenes = scenes_per_camera(num_train, cameras)
    for number in range(max(2, round(0.085 * num_train))):
        camid, scene = int(rng.integers(1, cameras + 1)), int(rng.integers(scenes))
        stranger = None if number % 2 else 1_000_000 + number
        jobs.append(
            Job(
                frames.name(DISTRACTOR_PID, camid, scene),
                "gallery",
                DISTRACTOR_PID,
                camid,
                scene,
                stranger,
                float(rng.uniform(0, 7)),
                True,
            )
        )
    for _ in range(max(1, round(0.043 * num_train))):
        camid, scene = int(rng.integers(1, cameras + 1)), int(rng.integers(scenes))
        person = int(rng.choice(test))
        jobs.append(
            Job(
                frames.name(JUNK_PID, camid, scene),
                "gallery",
                JUNK_PID,
                camid,
                scene,
                person,
                float(rng.uniform(0, 7)),
                True,
            )
        )
    return jobs
