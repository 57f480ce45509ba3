"""Photographs in, composites out: records, masks, plates, composites, and the sets that they become.

What is named here is the public face: `docs/python.md` shows it. Everything else is private and may change at any time.
Nothing is imported before it is asked for.
"""

from typing import TYPE_CHECKING

from reid_data.lazy import attach

if TYPE_CHECKING:
    from reid_data.compose.build import build_composite as composite
    from reid_data.compose.settings import CompositeSettings as CompositeSettings
    from reid_data.compose.swap import BackgroundSwap as BackgroundSwap
    from reid_data.datasets import load_dataset as load_dataset
    from reid_data.datasets.channel_stats import channel_stats as channel_stats
    from reid_data.datasets.check import check as check
    from reid_data.errors import ReidError as ReidError
    from reid_data.export.masks import ExportSettings as ExportSettings
    from reid_data.export.masks import export_masks as export_masks
    from reid_data.manifest import read_manifest as read_manifest
    from reid_data.plates.build import BackgroundSettings as BackgroundSettings
    from reid_data.plates.build import build_backgrounds as backgrounds
    from reid_data.records import Record as Record
    from reid_data.records import ReidDataset as ReidDataset
    from reid_data.segment import build_segmenter as build_segmenter
    from reid_data.synth.generate import generate as synthesise
    from reid_data.written.verify import verify_set as verify

__all__ = [
    "BackgroundSettings",
    "BackgroundSwap",
    "CompositeSettings",
    "ExportSettings",
    "Record",
    "ReidDataset",
    "ReidError",
    "backgrounds",
    "build_segmenter",
    "channel_stats",
    "check",
    "composite",
    "export_masks",
    "load_dataset",
    "read_manifest",
    "synthesise",
    "verify",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "BackgroundSettings": "reid_data.plates.build:BackgroundSettings",
        "BackgroundSwap": "reid_data.compose.swap:BackgroundSwap",
        "CompositeSettings": "reid_data.compose.settings:CompositeSettings",
        "ExportSettings": "reid_data.export.masks:ExportSettings",
        "Record": "reid_data.records:Record",
        "ReidDataset": "reid_data.records:ReidDataset",
        "ReidError": "reid_data.errors:ReidError",
        "backgrounds": "reid_data.plates.build:build_backgrounds",
        "build_segmenter": "reid_data.segment:build_segmenter",
        "channel_stats": "reid_data.datasets.channel_stats:channel_stats",
        "check": "reid_data.datasets.check:check",
        "composite": "reid_data.compose.build:build_composite",
        "export_masks": "reid_data.export.masks:export_masks",
        "load_dataset": "reid_data.datasets:load_dataset",
        "read_manifest": "reid_data.manifest:read_manifest",
        "synthesise": "reid_data.synth.generate:generate",
        "verify": "reid_data.written.verify:verify_set",
    },
)
