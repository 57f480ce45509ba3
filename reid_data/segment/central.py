"""Of all that a network calls a person, the one whom the crop is about."""

import numpy as np

from reid_data.masks import grow, parts

VERSIONS = {"central-person": 1}  # central_person

NOBODY = 0.02
"""A mask that covers less of the crop than this finds nobody."""

SMALL_PART = 0.05
"""Parts smaller than this share of the main one are flecks."""


def central_person(alpha: np.ndarray) -> np.ndarray:
    """A soft mask (H, W) float32 with everything but the central person set to 0; all 0 if nobody is found.

    The main part is the connected part of alpha > .5 with the most pixels, pixels in the middle columns counting more. Other
    parts above or below it stay (legs behind a rail), flecks and neighbours go. Soft edges stay with their part.
    """
    mask = alpha > 0.5
    if mask.mean() < NOBODY:
        return np.zeros_like(alpha)
    labels, areas = parts(mask)
    keep = mask if np.count_nonzero(areas) == 1 else np.isin(labels, _kept_parts(labels, areas))
    if keep.mean() < NOBODY:
        return np.zeros_like(alpha)
    reach = max(2.0, alpha.shape[0] / 48)
    near = grow(keep, reach) & ~(mask & ~keep)
    return np.where(near, alpha, 0).astype(np.float32)


def _kept_parts(labels: np.ndarray, areas: np.ndarray) -> list[int]:
    """Labels of the main part and of those that belong to it."""
    width = labels.shape[1]
    columns = (np.arange(width) + 0.5) / width - 0.5
    weight = np.broadcast_to(np.exp(-(columns**2) / (2 * 0.22**2)), labels.shape)
    scores = np.bincount(labels.ravel(), weight.ravel(), len(areas)) * (areas > 0)
    main = int(np.argmax(scores))
    inside = np.flatnonzero((labels == main).any(axis=0))
    left, right = inside[0], inside[-1]
    kept = [main]
    for label in np.flatnonzero(areas >= SMALL_PART * areas[main]):
        own = np.flatnonzero((labels == label).any(axis=0))
        if label != main and left <= own.mean() <= right:
            kept.append(int(label))
    return kept
