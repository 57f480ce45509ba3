"""Can a simple classifier tell composites from photographs? Local texture, and logistic regression over identities."""

from collections.abc import Sequence

import cv2
import numpy as np

from reid_data.errors import EnvironmentFault, InputError
from reid_data.images import luminance

SIZE = (128, 64)
CELLS = (8, 4)
FOLDS = 4


def texture_features(image: np.ndarray) -> np.ndarray:
    """(134,) float32 of a picture (H, W, 3) uint8 RGB, seen at (128, 64).

    In each of 8 x 4 cells the logarithms of: the mean of |grey - blur(0.8)|, that of blur(0.8) - blur(2), their ratio's share of
    rising edges (|d/dx| over |d/dx| + |d/dy|), and the mean saturation. Then, of the whole picture, three quantiles of the
    finest detail over its mean, the contrast across the borders of 8 x 8 blocks over that inside them (JPEG), and the detail
    of a strip at the left and right edge over that in the middle. Scale and brightness of a picture matter little.
    """
    small = cv2.resize(
        image, SIZE[::-1], interpolation=cv2.INTER_AREA if image.shape[0] > SIZE[0] else cv2.INTER_LINEAR
    )
    grey = luminance(small)
    soft = cv2.GaussianBlur(grey, (0, 0), 0.8)
    fine, coarse = np.abs(grey - soft), np.abs(soft - cv2.GaussianBlur(grey, (0, 0), 2.0))
    across, along = np.abs(cv2.Sobel(grey, -1, 1, 0)), np.abs(cv2.Sobel(grey, -1, 0, 1))
    channels = small.astype(np.float32)
    saturation = (channels.max(axis=2) - channels.min(axis=2)) / np.maximum(channels.max(axis=2), 1)
    fine_cells, coarse_cells = _cells(fine), _cells(coarse)
    rising = _cells(across) / (_cells(across) + _cells(along) + 1e-3)
    cells = np.stack([np.log(fine_cells + 0.1), np.log(coarse_cells + 0.1), rising, _cells(saturation)])
    spread = np.quantile(fine, (0.5, 0.9, 0.99)) / (fine.mean() + 0.1)
    whole = [*spread, _blockiness(grey), *_edge_strips(fine)]
    return np.concatenate([cells.ravel(), whole]).astype(np.float32)


def _cells(plane: np.ndarray) -> np.ndarray:
    """Means over the cells of a (128, 64) plane: (8, 4)."""
    return plane.reshape(CELLS[0], SIZE[0] // CELLS[0], CELLS[1], SIZE[1] // CELLS[1]).mean(axis=(1, 3))


def _blockiness(grey: np.ndarray) -> float:
    steps = np.abs(np.diff(grey, axis=0)).mean(axis=1)
    borders = steps[7::8].mean()
    return float(borders / (np.delete(steps, slice(7, None, 8)).mean() + 0.1))


def _edge_strips(fine: np.ndarray) -> tuple[float, float]:
    middle = fine[:, 16:48].mean() + 0.1
    return float(np.log((fine[:, :6].mean() + 0.1) / middle)), float(np.log((fine[:, -6:].mean() + 0.1) / middle))


def composite_auc(photographs: Sequence[np.ndarray], composites: Sequence[np.ndarray], pids: Sequence[int]) -> float:
    """How well a logistic regression on `texture_features` tells composites from photographs of people it has not seen.

    `composites[i]` shows the person of `photographs[i]`, identity `pids[i]`. Area under the ROC curve in [0, 1], 0.5 = not at
    all: the mean over four folds, split by identity. Needs scikit-learn (EnvironmentFault); raises InputError below eight
    identities.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise EnvironmentFault("this judge needs scikit-learn: pip install 'person-reid-toolkit[judge]'.") from error
    if len(set(pids)) < 2 * FOLDS:
        raise InputError(f"the classifier needs pictures of at least {2 * FOLDS} people, got {len(set(pids))}.")
    feats_ND = np.stack([texture_features(image) for image in (*photographs, *composites)])
    labels = np.repeat([0, 1], len(photographs))
    groups = np.concatenate([pids, pids])
    scores = []
    for train, test in GroupKFold(FOLDS).split(feats_ND, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
        model.fit(feats_ND[train], labels[train])
        scores.append(roc_auc_score(labels[test], model.decision_function(feats_ND[test])))
    return float(np.mean(scores))
