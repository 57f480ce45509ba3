"""Seeds of single draws: functions of the run's seed and of what is drawn, never of the order of the work."""

import hashlib
import os

VERSIONS = {"draw-seed": 1}  # draw_seed; image_seed belongs to the plan


def image_seed(seed: int, name: str) -> int:
    """The seed of one image: a function of the run's seed and the image's name, so that no order matters."""
    return int.from_bytes(hashlib.sha256(f"{seed}:".encode() + os.fsencode(name)).digest()[:6], "big")


def draw_seed(seed: int, name: str, epoch: int, position: int) -> int:
    """The seed (0 .. 2^32 - 1) of one draw: f(the run's seed, the record's name, the epoch, the draw's position in it)."""
    text = f"{seed}\0{epoch}\0{position}\0".encode() + os.fsencode(name)
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")
