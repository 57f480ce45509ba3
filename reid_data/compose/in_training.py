"""New backgrounds for training pictures, drawn anew in every epoch: what must be ready before the first one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import cv2
import numpy as np

from reid_data.compose.picture import Steps
from reid_data.compose.recipe import PlanSettings
from reid_data.compose.settings import COMPOSITE_VERSIONS, FORM, CompositeSettings, flat, num_plates
from reid_data.compose.swap import VERSIONS as SWAP_VERSIONS
from reid_data.compose.swap import BackgroundSwap
from reid_data.datasets.digest import dataset_digest
from reid_data.errors import InputError
from reid_data.files import settings_digest
from reid_data.jpeg import usual_quality
from reid_data.manifest import raised
from reid_data.plates.crops import PlateSettings, gather_plates
from reid_data.plates.load import is_plate_set, load_banks, plate_set_quality
from reid_data.plates.sides import background_sides
from reid_data.records import Record, ReidDataset
from reid_data.segment.base import Segmenter
from reid_data.segment.cache import MaskCache, Masked, Unusable
from reid_data.segment.survey import MaskInfo, survey

SIDE = "train"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingSwap:
    """A record's picture before another background, with probability `probability`; see `prepare_swap`.

    `usable` of `images` training pictures have a mask good enough to be cut out; the others always stay as they are.
    `unreadable`: pictures that were to give a background, and why they cannot be used.
    """

    swap: BackgroundSwap
    masks: MaskCache
    probability: float
    min_quality: float
    usable: int
    images: int
    unreadable: tuple[Unusable, ...] = ()

    def __call__(self, record: Record, seed: int) -> np.ndarray | None:
        """The composite (H, W, 3) uint8 RGB at the picture's own size; None where it is to stay as it is.

        Depends on the record's picture and mask, the plates, and `seed`.
        """
        self.swap.set_random_seed(seed)
        if self.swap.py_random.random() >= self.probability:
            return None
        masked = self.masks.masked([record])[0]
        if not isinstance(masked, Masked) or masked.quality < self.min_quality:
            return None
        return np.asarray(self.swap(image=masked.image, mask=masked.alpha, force_apply=True)["image"])


def prepare_swap(
    records: Sequence[Record],
    bg: ReidDataset,
    segmenter: Segmenter,
    *,
    probability: float,
    seed: int,
    workers: int = 1,
    progress: Progress = lambda stage, done, total: None,
) -> TrainingSwap:
    """Make the masks of `records` and plates out of the train side of `bg`, as far as they are not kept, with the defaults of
    `reid-data composite`. The result depends on neither `workers` nor what is kept. Raises InputError if `bg` gives no plate.
    """
    plan, settings = PlanSettings(), PlateSettings()
    infos = survey(records, segmenter, workers, partial(progress, "masks"))
    usable = sum(isinstance(info, MaskInfo) and info.quality >= plan.min_quality for info in infos)
    if is_plate_set(bg):
        bank = load_banks(bg)[SIDE]
    else:
        crops, wanted = background_sides(bg)[SIDE], num_plates(len(records), plan.max_reuse)
        watch = partial(progress, "plates")
        bank = gather_plates(crops, wanted, segmenter, settings, seed, workers=workers, progress=watch)
    if not bank.plates:
        raise InputError(f"the train side of '{bg.name}' gave no usable plate. Choose another --bg.")
    swap = BackgroundSwap([plate.path for plate in bank.plates], asdict(swap_steps(bg)), p=probability)
    return TrainingSwap(swap, MaskCache(segmenter), probability, plan.min_quality, usable, len(records), bank.unusable)


def swap_steps(bg: ReidDataset) -> Steps:
    """The composition of `reid-data composite` with its defaults: written once at the quality of the files of `bg`."""
    return replace(Steps(), jpeg_quality=plate_set_quality(bg) if is_plate_set(bg) else usual_quality(bg.records))


def swap_digest(bg: ReidDataset, segmenter: Segmenter) -> str:
    """sha256 of all that the pictures of `prepare_swap` depend on besides the records, the probability and the seed."""
    return settings_digest(
        {
            "background": dataset_digest(bg),
            "segmenter": segmenter.digest(),
            "opencv": cv2.__version__,
            **FORM.key(flat(CompositeSettings(steps=swap_steps(bg)))),
            **raised({**COMPOSITE_VERSIONS, **SWAP_VERSIONS}),
        }
    )
