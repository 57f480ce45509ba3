"""`reid-data fetch-weights`: the published weights of Segment Anything."""

import click

from ..terminal import Progress, show


@click.command("fetch-weights")
@click.argument("model", default="vit_h")
def fetch_weights(model: str) -> None:
    """Fetch Segment Anything's published weights (40 MB vit_t, 0.4 GB vit_b, 1.2 GB vit_l, 2.6 GB vit_h) into the cache.

    The only command of reid-data that uses the network. The file is kept only if its sha256 is the published one.

    \b
    Example:
      reid-data fetch-weights vit_h
    """
    from reid_data.segment.sam_weights import fetch_weights

    with Progress(f"fetching {model}", unit="bytes") as progress:
        path = fetch_weights(model, progress)
    show(str(path))
