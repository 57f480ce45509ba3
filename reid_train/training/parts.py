"""From settings to components: the network, what it learns by, the batches of an epoch, the values of a step."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch

from reid_data.transforms import train_transform
from reid_train.arithmetic import Arithmetic
from reid_train.features.extract import Extraction, class_centroids, extract
from reid_train.model.backbones import TIMM
from reid_train.model.reid_net import NetSpec, ReidNet, build_net
from reid_train.processes.group import num_processes, rank
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import Batch, EpochBatches, TrainingSet, iterate
from reid_train.training.criterion import Criterion, Objective, StepValues, Supervised
from reid_train.training.epoch import Learner, build_optimiser
from reid_train.training.samplers import num_iterations, pk_plan, random_plan, shard
from reid_train.training.schedules import DECAYS, temperature_at, warmup

Batches = Callable[[int, int], Iterator[Batch]]
Values = Callable[[int, int], StepValues]


def make_net(settings: TrainSettings, num_classes: int) -> ReidNet:
    """The untrained network that the settings describe."""
    learned = settings.temperature_kind == "learned"
    spec = NetSpec(
        backbone=settings.backbone,
        last_stride=settings.last_stride,
        size=settings.height_width,
        patch_stride=settings.patch_stride,
        drop_path=settings.drop_path,
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


def check_net(settings: TrainSettings) -> None:
    """Raise ReidError, before any picture is read, for a network of timm that is not there or does not fit the settings."""
    if settings.backbone.startswith(TIMM):
        make_net(settings, 1)


def objective(settings: TrainSettings) -> Objective:
    """The losses that the settings ask for."""
    return Objective(
        smoothing=settings.label_smoothing,
        triplet=settings.triplet,
        triplet_margin=None if settings.triplet_margin == "soft" else float(settings.triplet_margin),
        centre=settings.centre,
        centre_rate=settings.centre_rate,
    )


def make_learner(settings: TrainSettings, net: ReidNet, arithmetic: Arithmetic) -> Learner:
    """The network with the losses of known identities and the optimiser that the settings ask for."""
    criterion = Supervised(net, objective(settings), arithmetic)
    return Learner(net, criterion, make_optimiser(settings, net, criterion), arithmetic.scaler)


def make_optimiser(settings: TrainSettings, net: ReidNet, criterion: Criterion) -> torch.optim.Optimizer:
    """The optimiser that the settings ask for, over the network and what the criterion has of its own."""
    return build_optimiser(
        net,
        criterion,
        settings.optimiser,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        classifier_lr_mult=settings.classifier_lr_mult,
        decay_on=settings.decay_on,
        layer_decay=settings.layer_decay,
    )


def start_classifier(
    settings: TrainSettings, net: ReidNet, images: TrainingSet, arithmetic: Arithmetic, workers: int
) -> None:
    """Set the class weights to the mean features of their classes, if the settings ask for it (`--classifier-init`)."""
    if settings.classifier_init == "normal":
        return
    how = Extraction(settings.height_width, "before")
    exact = Arithmetic(arithmetic.device, "none", **arithmetic.norm)
    features = extract(net, images.records, how, exact, workers=workers)
    assert not features.unreadable, "every record of a training set was readable when it was loaded"
    calibrate = settings.classifier_init == "centroid-calibrated"
    net.classifier.set_weights(class_centroids(net, features.feats, images.labels, calibrate=calibrate))


def steps_an_epoch(settings: TrainSettings, num_images: int) -> int:
    """Steps of the optimiser in an epoch over `num_images` images."""
    return num_iterations(settings.iterations, num_images, settings.batch_size * settings.accumulation)


def make_batches(settings: TrainSettings, images: TrainingSet, arithmetic: Arithmetic) -> Batches:
    """(epoch, loaders) -> the batches of an epoch, made by `loaders` processes ahead of time or (0) in this one.

    What to draw by the sampler, how to change it by the transform; of several processes, this one's share.
    """
    transform = train_transform(
        settings.height_width,
        flip=settings.flip,
        pad_crop=settings.pad_crop,
        random_erasing=settings.random_erasing,
        fill=arithmetic.mean_colour,
    )

    def batches(epoch: int, loaders: int) -> Iterator[Batch]:
        numbers, positions = shard(epoch_plan(settings, images, epoch), rank(), num_processes())
        drawn = EpochBatches(images, transform, numbers, positions, seed=settings.seed, epoch=epoch)
        return iterate(drawn, loaders)

    return batches


def epoch_plan(settings: TrainSettings, images: TrainingSet, epoch: int) -> np.ndarray:
    """The record numbers of an epoch's batches, (batches, batch size), by the sampler."""
    count = steps_an_epoch(settings, len(images.records)) * settings.accumulation
    shared = {"iterations": count, "seed": settings.seed, "epoch": epoch}
    if settings.sampler == "random":
        return random_plan(len(images.records), batch_size=settings.batch_size, **shared)
    sizes = {"num_ids": settings.batch_ids, "num_images": settings.batch_images}
    return pk_plan(images.labels, images.cameras, **sizes, **shared)


def make_values(settings: TrainSettings, steps: int, stated: Mapping[int, float] | None = None) -> Values:
    """(epoch, step) -> learning rate and temperature, in epochs 1, 2, ... of steps 0 .. `steps` - 1.

    `stated`: epoch -> temperature out of the schedule file, if the settings name one.
    """
    return partial(step_values, settings, steps, temperatures(settings, stated))


def step_values(
    settings: TrainSettings, steps: int, temperature: Mapping[int, float] | None, epoch: int, step: int
) -> StepValues:
    """Learning rate and temperature of one step."""
    progress = epoch - 1 + step / steps
    decay = DECAYS[settings.lr_schedule](progress, settings.epochs, settings.lr_steps, settings.lr_gamma)
    lr = settings.lr * decay * warmup(progress, settings.warmup_epochs, settings.warmup_factor)
    return StepValues(lr, None if temperature is None else temperature[epoch])


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
