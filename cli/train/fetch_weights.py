"""`reid-train fetch-weights`: ImageNet weights."""

import click

from reid_train.settings.train import TrainSettings

from ..terminal import Progress, show


@click.command("fetch-weights")
@click.argument("backbones", nargs=-1, metavar="[BACKBONE]...")
def fetch_weights(backbones: tuple[str, ...]) -> None:
    """Download ImageNet weights (torchvision, IMAGENET1K_V1) into the cache; nothing else in reid-train downloads.

    \b
    Example:
      reid-train fetch-weights resnet50
    """
    from reid_train.model.weights import fetch_imagenet

    for backbone in backbones or (TrainSettings().backbone,):
        with Progress(f"fetching {backbone}", unit="bytes") as progress:
            path = fetch_imagenet(backbone, progress)
        show(str(path))
