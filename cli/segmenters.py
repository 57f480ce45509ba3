"""The segmenter that the flags of a command ask for."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reid_data.segment.base import Segmenter

device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
ABSENT = {"flip": False, "weights": "", "sam_model": "vit_h", "sam_weights": "", "device": "auto"}


def make_segmenter(name: str, options: dict[str, Any]) -> "Segmenter":
    """The segmenter called `name` with those of its `options` that the command has flags for."""
    from reid_data.segment import build_segmenter

    return build_segmenter(name).configured(ABSENT | options)
