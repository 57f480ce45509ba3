"""Every experimental setting: one field each, with its default, meaning, source and check. Imports no torch.

A field is at once a flag of `reid-train fit` (`test_feature` -> `--test-feature`), a key of a TOML recipe and a row of
`reid-train options`. `changes` says what a change of it changes (see `setting.CHANGES`), from which follows what it
invalidates, its stage: `train` the training, `test` only the tests, `run` nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_data.errors import InputError, UsageError, unknown_name
from reid_data.records import Colour, read_colour
from reid_data.shapes import parse_toml
from reid_data.text_files import read_text
from reid_train.settings.setting import Settings, channel_numbers, check_names, number, parts, setting

IMAGENET_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTINGS_SCHEMA = 2
"""Raised whenever the default of a setting changes or what a setting means: it is part of every key."""

STUDY = "the reference study"
ASSUMED = "assumed: the usual UDA re-ID code"
BOT = "Luo et al. 2019, Bag of Tricks (arXiv:1903.07071)"


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """All experimental settings of one training and its tests; checked when made, hashable, printable."""

    # network
    backbone: str = setting(
        "resnet50",
        "Network below the pooling: torchvision's, or one of timm's (the extra `timm`).",
        STUDY,
        "network",
        choices=("resnet18", "resnet34", "resnet50", "resnet101"),
        form="resnet18|resnet34|resnet50|resnet101|timm:NAME",
        prefix="timm:",
    )
    weights: str = setting("imagenet", "What the network starts from.", STUDY, "network", form="imagenet|none|PATH")
    last_stride: int = setting(
        1, "Stride of the last stage; 1 keeps twice the resolution.", BOT, "network", least=1, most=2
    )
    patch_stride: int = setting(
        0,
        "Pixels from patch to patch of a vision transformer; below its patch they overlap. none or 0: the patch's own.",
        "arXiv:2102.04378",
        "network",
        least=0,
        most=64,
        form="none|N",
    )
    drop_path: float = setting(
        0.0,
        "Drop path (stochastic depth) of a network of timm: the rate of its last block.",
        "arXiv:1603.09382",
        "network",
        least=0,
        most=0.9,
    )
    pooling: str = setting(
        "gap",
        "Average (gap) or generalised mean (gem) over feature maps or patch tokens, the class token (cls), or both side by side.",
        STUDY,
        "network",
        choices=("gap", "gem", "cls", "cls+gap"),
    )
    embedding: int = setting(
        0,
        "Width of a linear layer between pooling and neck; none or 0: no such layer.",
        STUDY,
        "network",
        least=0,
        form="none|N",
    )
    neck: str = setting(
        "bn",
        "Batch normalisation before the classifier, its bias frozen at 0.",
        STUDY,
        "network",
        choices=("bn", "none"),
    )
    normalize: bool = setting(True, "L2-normalise the features that the classifier sees.", STUDY, "network")
    # classifier
    classifier_init: str = setting(
        "normal",
        "Start of the class weights: N(0, 0.001), or each class's mean feature (calibrated: the neck's statistics estimated first).",
        STUDY,
        "network",
        choices=("normal", "centroid", "centroid-calibrated"),
    )
    classifier_norm: str = setting(
        "free",
        "Class weights: free, projected onto the unit sphere in place before every forward, or normalised inside it (cosine).",
        STUDY,
        "network",
        choices=("free", "project", "cosine"),
    )
    head: str = setting(
        "linear",
        "Logits: linear, or with a margin on the angle (arcface) or its cosine (cosface); margin heads always use the cosine.",
        "arXiv:1801.07698, arXiv:1801.09414",
        "network",
        choices=("linear", "arcface", "cosface"),
    )
    margin: float = setting(
        0.35, "Margin of arcface (radians) and cosface.", "arXiv:1801.09414", "network", least=0, most=1.5
    )
    classifier_lr_mult: float = setting(
        1.0, "Learning rate of the classifier over that of the network.", STUDY, "update", above=0
    )
    temperature: float = setting(
        0.1, "Softmax temperature T: logits / T.", f"{STUDY}; base value {ASSUMED}", "network steps", above=0
    )
    temperature_schedule: str = setting(
        "constant",
        "T over the epochs e: log-up T(1 + ln e), log-down T/(1 + ln e), linear and cosine to --temperature-end, learned, or a CSV "
        "with columns epoch,temperature.",
        STUDY,
        "network steps",
        form="constant|log-up|log-down|linear|cosine|learned|file:PATH",
    )
    temperature_end: float = setting(0.05, "Last T of the linear and cosine schedules.", "ours", "steps", above=0)
    # input
    size: str = setting("256x128", "Input height x width.", STUDY, "batches", form="HxW")
    norm: str = setting(
        "imagenet",
        "Channel mean and std of the input.",
        STUDY,
        "input batches",
        form="imagenet|NAME|NAME:per-image|R,G,B/R,G,B",
    )
    flip: float = setting(0.5, "Probability of a horizontal flip.", ASSUMED, "batches", least=0, most=1)
    pad_crop: int = setting(
        10, "Pixels of zero padding before a random crop back to size; 0: none.", ASSUMED, "batches", least=0, most=512
    )
    random_erasing: float = setting(
        0.5, "Probability of erasing a rectangle.", "arXiv:1708.04896", "batches", least=0, most=1
    )
    background_swap: float = setting(
        0.0,
        "Probability that a training image gets a new background from --bg, drawn anew in every epoch.",
        "ours",
        "batches",
        least=0,
        most=1,
    )
    bg: str = setting("none", "Set whose backgrounds --background-swap draws.", "ours", "batches", form="none|SET")
    matte: str = setting(
        "none",
        "Colour that pictures with transparent pixels are read over, in training and tests; none: they are refused.",
        "ours",
        "batches",
        form="none|R,G,B",
    )
    # batches
    sampler: str = setting(
        "pk", "P identities x K images, or random images.", ASSUMED, "batches", choices=("pk", "random")
    )
    batch_ids: int = setting(16, "P: identities in a batch.", ASSUMED, "batches", least=1)
    batch_images: int = setting(
        4, "K: images of each identity; a batch has P x K images under either sampler.", ASSUMED, "batches", least=1
    )
    epochs: int = setting(50, "Number of epochs.", ASSUMED, "batches steps", least=1)
    iterations: int = setting(
        400, "Steps in an epoch; 0: images / batch size, rounded up.", STUDY, "batches steps", least=0
    )
    accumulation: int = setting(1, "Batches whose gradients are averaged into one step.", "ours", "batches", least=1)
    # losses
    label_smoothing: float = setting(
        0.0, "Label smoothing of the cross-entropy.", "arXiv:1512.00567", "update", least=0, most=0.99
    )
    triplet: float = setting(
        0.0,
        "Weight of the batch-hard triplet loss on the features before the neck.",
        "arXiv:1703.07737",
        "update",
        least=0,
    )
    triplet_margin: str = setting("0.3", "Its margin, or soft for softplus.", BOT, "update", form="FLOAT|soft")
    centre: float = setting(
        0.0,
        "Weight of the centre loss on the features before the neck.",
        "Wen et al. 2016 (ECCV)",
        "network update",
        least=0,
    )
    centre_rate: float = setting(
        0.5,
        "How far a centre moves to its class's mean in a step.",
        "Wen et al. 2016 (ECCV)",
        "update",
        above=0,
        most=1,
    )
    # optimiser
    optimiser: str = setting("adam", "Optimiser.", ASSUMED, "update", choices=("adam", "adamw", "sgd"))
    lr: float = setting(3.5e-4, "Learning rate.", ASSUMED, "steps", above=0)
    weight_decay: float = setting(5e-4, "Weight decay.", ASSUMED, "update", least=0)
    decay_on: str = setting(
        "auto",
        "What is decayed: all, or not norms, biases, tokens and position embeddings (weights); auto: weights where tokens come out.",
        "usual",
        "update",
        choices=("auto", "all", "weights"),
    )
    layer_decay: float = setting(
        1.0,
        "Learning rate of a layer of the backbone over that of the next one.",
        "arXiv:2106.08254",
        "update",
        above=0,
        most=1,
    )
    momentum: float = setting(0.9, "Momentum of sgd.", "usual", "update", least=0, most=0.9999)
    lr_schedule: str = setting(
        "step", "Learning rate over the epochs.", ASSUMED, "steps", choices=("step", "cosine", "constant")
    )
    lr_step: str = setting(
        "20", "Step schedule: every N epochs, or at the epochs N,M,...", ASSUMED, "steps", form="N|N,M,..."
    )
    lr_gamma: float = setting(0.1, "Step schedule: factor at each step.", ASSUMED, "steps", above=0, most=1)
    warmup_epochs: int = setting(0, "Epochs of linear warm-up.", BOT, "steps", least=0)
    warmup_factor: float = setting(
        0.01, "Where the warm-up starts, as a part of the learning rate.", BOT, "steps", above=0, most=1
    )
    amp: str = setting(
        "auto",
        "Autocast; auto: bf16 on CUDA, none on a CPU.",
        "ours",
        "update",
        choices=("auto", "none", "bf16", "fp16"),
    )
    seed: int = setting(0, "Seed of everything random.", "ours", "network batches", least=0)
    # no experimental settings: they change no result
    tensorboard: bool = setting(False, "Also write TensorBoard events (the extra `tensorboard`).", "ours", "files")
    checkpoint_every: int = setting(1, "Epochs between checkpoints.", "ours", "files", least=1)
    # tests
    test_feature: str = setting(
        "after", "Features before or after the neck.", BOT, "features", choices=("before", "after")
    )
    flip_test: bool = setting(False, "Average the features of an image and its mirror image.", "usual", "features")
    metric: str = setting("cosine", "Distance between features.", "usual", "scores", choices=("cosine", "euclidean"))
    protocol: str = setting(
        "standard",
        "Which gallery images count: see docs/evaluation.md.",
        "Zheng et al. 2015 (ICCV)",
        "scores",
        choices=("standard", "no-camera", "cuhk03"),
    )
    ap: str = setting("step", "Rule of the average precision.", "usual", "scores", choices=("step", "trapezoid"))
    rerank: str = setting(
        "none", "k-reciprocal re-ranking, usually 20,6,0.3.", "arXiv:1701.08398", "scores", form="none|K1,K2,LAMBDA"
    )
    expand: str = setting(
        "none",
        "Query expansion by the K closest, weighted by similarity^ALPHA.",
        "usual",
        "scores",
        form="none|K,ALPHA",
    )

    def _check_together(self) -> None:
        height, width = self.height_width
        if not (16 <= height <= 4096 and 16 <= width <= 4096):
            raise UsageError(f"--size {self.size}: expected a height and width of 16 to 4096 pixels.")
        if self.head != "linear" and not self.normalize:
            raise UsageError(f"--head {self.head} works on angles: leave out --no-normalize.")
        if self.head == "arcface" and self.margin > math.pi / 2:
            raise UsageError(f"--margin {self.margin}: expected at most pi/2 for arcface.")
        if self.temperature_kind not in TEMPERATURE_SCHEDULES:
            raise unknown_name("--temperature-schedule", self.temperature_schedule, TEMPERATURE_SCHEDULES)
        if self.triplet and self.sampler == "pk" and self.batch_images < 2:
            raise UsageError("--triplet needs positives: expected --batch-images of at least 2.")
        if (self.triplet or self.centre) and self.batch_ids < 2 and self.sampler == "pk":
            raise UsageError(
                "--triplet and --centre need several identities in a batch: expected --batch-ids of at least 2."
            )
        if self.neck == "bn" and self.batch_size < 2:
            raise UsageError(
                "batch normalisation needs at least 2 images in a batch: raise --batch-ids or --batch-images."
            )
        if self.triplet_margin != "soft":
            number("triplet_margin", self.triplet_margin, float, least=0)
        _ = self.lr_steps, self.norm_numbers, self.matte_colour, self.rerank_numbers, self.expand_numbers

    @property
    def height_width(self) -> tuple[int, int]:
        """Input size as (height, width)."""
        parts = self.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise UsageError(f"--size '{self.size}': expected HEIGHTxWIDTH, such as 256x128.")
        return int(parts[0]), int(parts[1])

    @property
    def norm_numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Channel (mean, std) that `norm` states itself; None if it names a data set."""
        return IMAGENET_NORM if self.norm == "imagenet" else channel_numbers("norm", self.norm)

    @property
    def matte_colour(self) -> Colour | None:
        """The colour (R, G, B) that `matte` states; None for none."""
        return None if self.matte == "none" else read_colour(self.matte)

    @property
    def rerank_numbers(self) -> tuple[int, int, float] | None:
        """(k1, k2, lambda) of `rerank`; None for none."""
        if self.rerank == "none":
            return None
        k1, k2, share = parts("rerank", self.rerank, "K1,K2,LAMBDA", (int, int, float))
        return k1, k2, share

    @property
    def expand_numbers(self) -> tuple[int, float] | None:
        """(k, alpha) of `expand`; None for none."""
        if self.expand == "none":
            return None
        k, alpha = parts("expand", self.expand, "K,ALPHA", (int, float))
        return k, alpha

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return self.batch_ids * self.batch_images

    @property
    def temperature_kind(self) -> str:
        """The temperature schedule's name without a path: one of TEMPERATURE_SCHEDULES."""
        return self.temperature_schedule.partition(":")[0]

    @property
    def temperature_file(self) -> str | None:
        """The path in `file:PATH`."""
        return self.temperature_schedule.partition(":")[2] or None

    @property
    def lr_steps(self) -> tuple[int, ...]:
        """Epochs after which the step schedule multiplies the learning rate, up to the last epoch."""
        try:
            steps = tuple(int(part) for part in self.lr_step.split(","))
        except ValueError as error:
            raise UsageError(f"--lr-step '{self.lr_step}': expected N, or N,M,... in rising order.") from error
        if min(steps) < 1 or list(steps) != sorted(set(steps)):
            raise UsageError(f"--lr-step '{self.lr_step}': expected whole numbers from 1, rising.")
        return tuple(range(steps[0], self.epochs, steps[0])) if len(steps) == 1 else steps

    def key(self, stage: str) -> dict[str, Any]:
        """What a key digests: the settings of one `stage` that are not at their defaults, and the schema."""
        return {"schema": SETTINGS_SCHEMA, **self.given(stage)}


TEMPERATURE_SCHEDULES = ("constant", "log-up", "log-down", "linear", "cosine", "learned", "file")


def fields() -> dict[str, Any]:
    """Name -> dataclass field of every setting, in the order of `reid-train options`."""
    return TrainSettings.declared()


def from_toml(path: Path, base: TrainSettings | None = None) -> TrainSettings:
    """Settings from a TOML file that lists only what differs from `base` (default: the defaults).

    Raises InputError for an unreadable file, UsageError for an unknown key.
    """
    return (base or TrainSettings()).replace(**read_recipe(path))


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings that a TOML file lists, by name; keys may be written with `-` or `_`. Raises InputError."""
    try:
        table = parse_toml(read_text(path, "strict"))
    except ValueError as error:
        raise InputError(f"the recipe '{path}' cannot be read as TOML: {error}.") from error
    return {key.replace("-", "_"): value for key, value in table.items()}


def from_assignments(assignments: Iterable[str], declared: Mapping[str, Any] | None = None) -> dict[str, str]:
    """`["lr=1e-3", "neck=none"]` -> {"lr": "1e-3", "neck": "none"}; TrainSettings turns the texts into values.

    `declared`: the settings that may be named (default: those of TrainSettings).
    """
    changes = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set '{text}': expected KEY=VALUE.")
        changes[name.strip().replace("-", "_")] = value.strip()
    check_names(changes, fields() if declared is None else declared)
    return changes
