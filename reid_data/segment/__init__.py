"""Segmenters: the table `SEGMENTERS`. Heavy ones are imported inside their builder."""

from collections.abc import Callable

from reid_data.errors import unknown_name
from reid_data.segment.base import Segmenter

DEFAULT_SEGMENTER = "small"


def _grabcut() -> Segmenter:
    from reid_data.segment.grabcut import GrabCutSegmenter

    return GrabCutSegmenter()


def _precomputed() -> Segmenter:
    from reid_data.segment.precomputed import PrecomputedSegmenter

    return PrecomputedSegmenter()


def _small() -> Segmenter:
    from reid_data.segment.small_net import SmallSegmenter

    return SmallSegmenter()


def _small_synth() -> Segmenter:
    from reid_data.segment.small_net import SmallSegmenter

    return SmallSegmenter("small-synth")


def _sam() -> Segmenter:
    from reid_data.segment.sam import SamSegmenter

    return SamSegmenter()


SEGMENTERS: dict[str, Callable[[], Segmenter]] = {
    "grabcut": _grabcut,
    "precomputed": _precomputed,
    "sam": _sam,
    "small": _small,
    "small-synth": _small_synth,
}


def build_segmenter(name: str) -> Segmenter:
    """The segmenter called `name` in `SEGMENTERS`. Raises UsageError for an unknown name."""
    if name not in SEGMENTERS:
        raise unknown_name("segmenter", name, SEGMENTERS)
    return SEGMENTERS[name]()
