"""The segmenter that the flags of a command ask for."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reid_data.segment.base import Segmenter

device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def make_segmenter(name: str, options: dict[str, Any]) -> "Segmenter":
    """The segmenter called `name` with `device`, `flip`, `weights`, `sam_model` and `sam_weights` from `options`."""
    from reid_data.devices import choose_device
    from reid_data.errors import UsageError
    from reid_data.segment import build_segmenter
    from reid_data.segment.sam import SamSegmenter, sam_registry
    from reid_data.segment.sam_weights import checked_weights
    from reid_data.segment.small_net import SmallSegmenter

    segmenter = build_segmenter(name)
    if isinstance(segmenter, SmallSegmenter):
        choose_device(options["device"])
        return replace(segmenter, device=options["device"], flip=options["flip"], weights=options["weights"])
    if options["flip"] or options["weights"]:
        raise UsageError(f"--flip and --weights belong to --segmenter small, not to {name}. Leave them out.")
    if isinstance(segmenter, SamSegmenter):
        sam_registry()
        checked_weights(options["sam_model"], options["sam_weights"])
        return replace(segmenter, device=options["device"], model=options["sam_model"], weights=options["sam_weights"])
    return segmenter
