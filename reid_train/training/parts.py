"""From settings to components: the network, its temperatures, its losses."""

from collections.abc import Mapping

import torch

from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.settings.train import TrainSettings
from reid_train.training.epoch import Objective
from reid_train.training.schedules import temperature_at


def make_net(settings: TrainSettings, num_classes: int) -> ReidNet:
    """The untrained network that the settings describe."""
    learned = settings.temperature_kind == "learned"
    spec = NetSpec(
        backbone=settings.backbone,
        last_stride=settings.last_stride,
        pooling=settings.pooling,
        embedding=settings.embedding,
        neck=settings.neck,
        normalize=settings.normalize,
        classifier_norm=settings.classifier_norm,
        head=settings.head,
        margin=settings.margin,
        learned_temperature=settings.temperature if learned else None,
        centres=settings.centre > 0,
    )
    return build_net(spec, num_classes, settings.seed).to(memory_format=torch.channels_last)  # as the images come


def temperatures(settings: TrainSettings, stated: Mapping[int, float] | None = None) -> Mapping[int, float] | None:
    """Epoch -> temperature in force, out of the schedule file (`stated`) or by the schedule; None if the network learns it."""
    if settings.temperature_kind == "learned":
        return None
    if settings.temperature_file is not None:
        assert stated is not None, "the inputs of a training hold the schedule file's temperatures"
        return stated
    return {
        epoch: temperature_at(
            settings.temperature_kind, epoch, settings.epochs, settings.temperature, settings.temperature_end
        )
        for epoch in range(1, settings.epochs + 1)
    }


def objective(settings: TrainSettings) -> Objective:
    """The losses that the settings ask for."""
    return Objective(
        smoothing=settings.label_smoothing,
        triplet=settings.triplet,
        triplet_margin=None if settings.triplet_margin == "soft" else float(settings.triplet_margin),
        centre=settings.centre,
        centre_rate=settings.centre_rate,
    )
