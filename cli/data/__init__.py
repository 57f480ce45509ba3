"""`reid-data`: from folders of photos to records, masks, plates and new data sets."""

from typing import TYPE_CHECKING

from reid_data.lazy import attach

if TYPE_CHECKING:
    from .application import app as app

__getattr__, __dir__ = attach(__name__, {"app": "reid_cli.data.application:app"})


def main() -> None:
    """Entry point."""
    from ..starting import start

    start("data")
