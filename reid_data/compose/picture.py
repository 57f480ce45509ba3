"""One composite out of one photograph, its mask and a plate."""

from dataclasses import dataclass

import numpy as np

from reid_data.compose.blend import BLENDS, paste
from reid_data.compose.blend import VERSIONS as BLEND_VERSIONS
from reid_data.compose.harmonise import VERSIONS as LIGHT_VERSIONS
from reid_data.compose.harmonise import brighten, contact_shadow, luminance_gain, match_sharpness
from reid_data.compose.rim import VERSIONS as RIM_VERSIONS
from reid_data.compose.rim import decontaminate
from reid_data.errors import UsageError, unknown_name

VERSIONS = {"composition": 1}  # compose: the order of the steps
PICTURE_VERSIONS = {**BLEND_VERSIONS, **RIM_VERSIONS, **LIGHT_VERSIONS, **VERSIONS}


@dataclass(frozen=True)
class Steps:
    """Which steps are taken: `blend` a name in `BLENDS`, the others on or off; `jpeg_quality` of the one final
    encoding, 1 to 100 (0: as the background set was written)."""

    blend: str = "feather"
    decontaminate: bool = True
    match_luminance: bool = True
    match_sharpness: bool = True
    contact_shadow: bool = True
    jpeg_quality: int = 0

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise unknown_name("blend", self.blend, BLENDS)
        if not 0 <= self.jpeg_quality <= 100:
            raise UsageError(f"--jpeg-quality is 1 to 100, got {self.jpeg_quality}.")


def compose(image: np.ndarray, alpha: np.ndarray, plate: np.ndarray, steps: Steps) -> np.ndarray:
    """Put the person of `image` before `plate`.

    All of one size: `image` and `plate` (H, W, 3) uint8 RGB, `alpha` (H, W) float32 in [0, 1]. Gives (H, W, 3) uint8.
    """
    person: np.ndarray = decontaminate(image, alpha) if steps.decontaminate else image
    if steps.match_luminance:
        person = brighten(person, luminance_gain(image, alpha, plate))
    if steps.match_sharpness:
        plate = match_sharpness(plate, image, alpha)
    if steps.contact_shadow:
        plate = contact_shadow(plate, alpha)
    return paste(person, plate, BLENDS[steps.blend](alpha))
