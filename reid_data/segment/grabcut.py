"""GrabCut with a silhouette prior: no weights, nothing learnt from photographs; the floor for any network.

Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004, as implemented in OpenCV.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from reid_data.files import settings_digest, sha256_bytes
from reid_data.masks import fill_holes, judge, largest_part
from reid_data.records import Record
from reid_data.segment.silhouette import mean_silhouette


@dataclass(frozen=True)
class GrabCutSegmenter:
    """GrabCut started from the mean silhouette.

    Where the silhouette's value is at most `sure_background` (and in the outermost columns) a pixel is background for
    good, from `sure_person` on it is the person for good; from `maybe_person` on it starts as the person. The picture
    is brought to `height` rows first. One iteration is as good as five (mean IoU within .002 on 204 crops with known
    masks) at a third of the time.
    """

    sure_background: float = 0.05
    maybe_person: float = 0.30
    sure_person: float = 0.70
    iterations: int = 1
    height: int = 128

    name = "grabcut"
    cached = True
    max_workers = None

    def digest(self, records: Sequence[Record] = ()) -> str:
        """See `Segmenter`; OpenCV's version counts, since its random start may change with it."""
        prior = sha256_bytes(mean_silhouette().tobytes())
        return settings_digest({"name": self.name, "opencv": cv2.__version__, "prior": prior, **asdict(self)})

    def segment(self, records: Sequence[Record], images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """See `Segmenter`. Masks are hard (0 or 1): one part, small holes closed."""
        alphas = [self._one(image) for image in images]
        return alphas, [judge(alpha).quality for alpha in alphas]

    def _one(self, image: np.ndarray) -> np.ndarray:
        native = image.shape[:2]
        width = int(np.clip(round(self.height * native[1] / native[0]), self.height // 4, self.height))
        small = cv2.resize(image, (width, self.height), interpolation=cv2.INTER_AREA)
        prior = cv2.resize(mean_silhouette(), (width, self.height), interpolation=cv2.INTER_LINEAR)
        labels = np.full(prior.shape, cv2.GC_PR_BGD, np.uint8)
        labels[prior >= self.maybe_person] = cv2.GC_PR_FGD
        labels[prior >= self.sure_person] = cv2.GC_FGD
        labels[prior <= self.sure_background] = cv2.GC_BGD
        labels[:, :2] = labels[:, -2:] = cv2.GC_BGD
        cv2.setRNGSeed(0)  # the colour models start from random clusters
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, labels, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        mask = cv2.morphologyEx(labels & 1, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        clean = fill_holes(largest_part(mask > 0), 0.02).astype(np.float32)
        return (cv2.resize(clean, native[::-1], interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.float32)
