"""`BackgroundSwap`: the composition as an albumentations transform, so that training can draw new backgrounds in every
epoch and writes no data set."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from reid_data.compose.picture import Steps, compose
from reid_data.compose.recipe import uncovered_share
from reid_data.errors import InputError, UsageError
from reid_data.images import decode_image, encode_jpeg
from reid_data.masks import thumbnail
from reid_data.plates.files import fit_plate, list_scenes, read_scene
from reid_data.transforms import A  # through it: it stops albumentations from asking the network for its newest version

VERSIONS = {"swap": 1}  # BackgroundSwap: the plate that is drawn

MEMORY = 256_000_000
NOBODY = 0.02

Scene = tuple[np.ndarray, np.ndarray]


class BackgroundSwap(A.ImageOnlyTransform):
    """Puts the person of `image` before another background.

    `plates`: a folder (all pictures below it, sorted) or a list of paths: person-free pictures, of any size; in an RGBA
    PNG alpha 0 marks what is invented. `steps`: the fields of `compose.picture.Steps`, as a mapping; `jpeg_quality` 0: no
    encoding. `tries`: so many plates are drawn (at most half of all), and the one is taken of whose invented part the person
    hides most. `p`: probability.

    Targets: `image` (H, W, 3) uint8 RGB; `mask` (H, W) of the person, float in [0, 1], bool, or uint8 (0 and 255, soft
    between; or 0 and 1). The mask stays as it is. A picture whose mask covers less than 2 % of it is left alone. Works in
    any albumentations pipeline, also after `A.to_dict` and `A.from_dict`; put it before what moves or normalises pixels.
    The plates are read when they are first needed, and up to 256 MB of them kept.
    """

    def __init__(
        self,
        plates: str | os.PathLike[str] | Sequence[str],
        steps: Mapping[str, Any] | None = None,
        tries: int = 4,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        if tries < 1:
            raise UsageError(f"BackgroundSwap: tries is at least 1, got {tries}.")
        self.plates: str | list[str] = (
            os.fspath(plates) if isinstance(plates, (str, os.PathLike)) else [os.fspath(path) for path in plates]
        )
        self.tries = tries
        self.steps = asdict(Steps(**(steps or {})))
        if not self.plates:
            raise InputError("BackgroundSwap: the list of plates is empty.")
        self._kept: dict[str, Scene] = {}
        self._bytes = 0

    @property
    def targets_as_params(self) -> list[str]:
        """What the choice of a plate looks at."""
        return ["mask"]

    @cached_property
    def paths(self) -> list[str]:
        """The plates' paths. Raises InputError for a folder without pictures."""
        return list_scenes(self.plates) if isinstance(self.plates, str) else self.plates

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the plate: {"alpha": (H, W) float32, "plate": (H, W, 3) uint8, or None where nobody is}."""
        alpha = as_alpha(data["mask"])
        size = data["image"].shape[:2]
        if alpha.shape != size:
            raise UsageError(f"BackgroundSwap: the mask is {alpha.shape}, the image {size} (height, width).")
        if (alpha > 0.5).mean() < NOBODY:
            return {"alpha": alpha, "plate": None}
        number = min(self.tries, max(1, len(self.paths) // 2))  # so that chance keeps its part
        drawn = [self.paths[index] for index in self.py_random.sample(range(len(self.paths)), number)]
        return {"alpha": alpha, "plate": self._most_hidden(drawn, alpha)}

    def apply(self, img: np.ndarray, alpha: np.ndarray, plate: np.ndarray | None, **_: Any) -> np.ndarray:
        """The composite; see the class."""
        if plate is None:
            return img
        steps = Steps(**self.steps)
        picture = compose(img, alpha, plate, steps)
        return decode_image(encode_jpeg(picture, steps.jpeg_quality)) if steps.jpeg_quality else picture

    def _most_hidden(self, drawn: Sequence[str], alpha: np.ndarray) -> np.ndarray:
        """The plate of whose invented part the person hides most, as in `compose.recipe`; the first where all are equal."""
        person, scenes = thumbnail(alpha > 0.5), [self._scene(path) for path in drawn]
        open_share = [
            uncovered_share(hole, person) / hole.mean() * 255 if hole.any() else 0.0
            for hole in (thumbnail(fit_plate(scene[1].view(np.uint8), alpha.shape) > 0) for scene in scenes)
        ]
        return fit_plate(scenes[int(np.argmin(open_share))][0], alpha.shape)

    def _scene(self, path: str) -> Scene:
        scene = self._kept.get(path)
        if scene is None:
            scene = read_scene(path)
            size = scene[0].nbytes + scene[1].nbytes
            if self._bytes + size <= MEMORY:
                self._kept[path] = scene
                self._bytes += size
        return scene


def as_alpha(mask: np.ndarray) -> np.ndarray:
    """A mask of any of the forms that `BackgroundSwap` takes, (H, W) or (H, W, 1), as (H, W) float32 in [0, 1]."""
    plane = mask[:, :, 0] if mask.ndim == 3 else mask
    if plane.dtype == np.uint8 and plane.max(initial=0) > 1:
        return plane.astype(np.float32) / 255
    return plane.astype(np.float32)
