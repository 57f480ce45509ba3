"""Every setting of an adaptation beside those of a training: one field each, as in `train`. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reid_data.errors import UsageError
from reid_train.settings.setting import Settings, number, setting
from reid_train.settings.train import TrainSettings

ARMS = ("joint", "independent", "target-only")
SPCL = "Ge et al. 2020, SpCL (arXiv:2006.02713)"
CLUSTER_CONTRAST = "Dai et al. 2021, Cluster Contrast (arXiv:2103.11568)"
MMT = "Ge et al. 2020, MMT (arXiv:2001.01526)"


@dataclass(frozen=True, kw_only=True)
class AdaptSettings(Settings):
    """What an adaptation to a site without labels does beside its training; a round is an epoch of the training."""

    arm: str = setting(
        "joint",
        "joint: source and target in every step; independent: the target alone, from the source's run; target-only: the target "
        "alone, from the start weights.",
        "the reference study",
        "network batches",
        choices=ARMS,
    )
    classifier: str = setting(
        "separate",
        "Of the joint arm: a softmax for each site, one for both (mixed), or one for the source's images only, from --mix-from on.",
        "the reference study; mixed: arXiv:2006.02713",
        "update",
        choices=("separate", "mixed", "mixed-source"),
    )
    mix_from: int = setting(
        0,
        "First round of mixed-source's wide softmax; 0: after half of the rounds.",
        "the reference study",
        "update",
        least=0,
    )
    target_head: str = setting(
        "centroid",
        "The target's classes, made anew in every round: weights that start at the clusters' mean features or at random, a memory "
        "of the clusters (each image moves it, or the hardest of a class), or one of the images (hybrid).",
        f"{MMT}; {CLUSTER_CONTRAST}; {SPCL}",
        "network update",
        choices=("centroid", "normal", "memory", "memory-hard", "hybrid"),
    )
    memory_momentum: float = setting(
        0.1, "What a memory keeps of itself when an image moves it.", CLUSTER_CONTRAST, "update", least=0, most=0.9999
    )
    target_weight: float = setting(
        1.0, "Weight of the target's losses; 0: the source alone goes on.", "ours", "batches update", least=0
    )
    optimiser_state: str = setting(
        "keep", "Keep or reset the optimiser's moments of the network when a round begins.", SPCL, "update",
        choices=("keep", "reset"),
    )  # fmt: skip
    bn: str = setting(
        "domain",
        "Batch normalisation: one for both sites, or weights and statistics for each; tests use the target's.",
        "Chang et al. 2019 (arXiv:1906.03950)",
        "network",
        choices=("domain", "shared"),
    )
    bn_group: int = setting(
        16,
        "Images that share the statistics of batch normalisation in a step; 0: all of them.",
        SPCL,
        "network",
        least=0,
    )
    bn_warm: str = setting(
        "none",
        "target: the running statistics start as those of the target's images.",
        "Li et al. 2016, AdaBN (arXiv:1603.04779)",
        "network",
        choices=("none", "target"),
    )
    eps: str = setting(
        "auto",
        "Largest distance of neighbours in a cluster; auto: of .20, .25 ... .70 that with most clusters whose largest holds at most "
        "--max-share; percentile:P: the mean of the smallest share P of all distances.",
        f"ours; {SPCL}; {MMT}",
        "clusters",
        form="auto|FLOAT|percentile:FLOAT",
    )
    min_samples: int = setting(
        4, "Neighbours within eps, itself one, that make an image a core of DBSCAN.", SPCL, "clusters", least=1
    )
    k1: int = setting(
        0,
        "Neighbours of the k-reciprocal distance; 0: a hundredth of the images, 8 to 30.",
        f"ours; 30: {SPCL}",
        "clusters",
        least=0,
    )
    k2: int = setting(6, "Neighbours over which the distance's encoding is averaged.", SPCL, "clusters", least=1)
    reliable: float = setting(
        0.0,
        "Keep only clusters that stay so when eps is this much smaller or larger; 0: all.",
        SPCL,
        "clusters",
        least=0,
        most=0.5,
    )
    max_share: float = setting(
        0.1, "Share of the images above which a cluster is a collapse.", "ours", "clusters", above=0, most=1
    )
    max_outliers: float = setting(
        0.95, "Share of outliers above which a round is not trained.", "ours", "clusters", above=0, most=1
    )
    target_cameras: str = setting(
        "use",
        "Whether a cluster's images in a batch come from different cameras where they can (the camera is metadata, no label).",
        SPCL,
        "batches",
        choices=("use", "ignore"),
    )
    diagnose: bool = setting(
        False,
        "Afterwards, compare the clusters with the true identities, in a file that nothing reads.",
        "ours",
        "files",
    )

    def _check_together(self) -> None:
        _ = self.eps_rule
        if self.arm != "joint" and self.classifier != "separate":
            raise UsageError(f"--classifier {self.classifier} mixes source and target classes: it needs --arm joint.")
        if self.arm != "joint" and self.target_weight != 1:
            raise UsageError(
                f"--target-weight weighs the target against the source: it needs --arm joint, not {self.arm}."
            )
        if self.mix_from and self.classifier != "mixed-source":
            raise UsageError("--mix-from belongs to --classifier mixed-source.")
        if self.target_weight == 0 and self.diagnose:
            raise UsageError("--target-weight 0 leaves the target out: there are no clusters, leave out --diagnose.")
        if self.target_weight == 0 and self.classifier != "separate":
            raise UsageError(
                "--target-weight 0 leaves the target out: there is nothing to mix, leave out --classifier."
            )

    @property
    def eps_rule(self) -> tuple[str, float]:
        """("auto", 0), ("value", EPS) or ("percentile", P)."""
        if self.eps == "auto":
            return "auto", 0.0
        word, colon, share = self.eps.partition(":")
        if colon and word == "percentile":
            return word, number("eps", share, float, above=0, most=1)
        return "value", number("eps", self.eps, float, above=0, most=1)

    @property
    def domains(self) -> tuple[str, ...]:
        """The sites whose images are trained on."""
        if self.arm != "joint":
            return ("target",)
        return ("source", "target") if self.target_weight else ("source",)

    @property
    def source_slots(self) -> bool:
        """Whether the source's classes are slots of the same memory as the target's, as in SpCL, and no classifier."""
        return self.target_head == "hybrid" and self.classifier == "mixed"

    def first_mixed(self, rounds: int) -> int:
        """The first of `rounds` (1, 2, ...) whose source images are told apart from target classes, too."""
        if self.classifier != "mixed-source":
            return 1 if self.classifier == "mixed" else rounds + 1
        return self.mix_from or rounds // 2 + 1

    def check_training(self, training: TrainSettings, processes: int) -> None:
        """Raise UsageError where these settings do not go with those of the training."""
        if self.target_head in ("memory", "memory-hard", "hybrid") and training.head != "linear":
            raise UsageError(
                f"--target-head {self.target_head} has no margin: expected --head linear, got {training.head}."
            )
        if training.centre:
            raise UsageError(
                "--centre keeps a centre for each class, and clusters change: leave it out of an adaptation."
            )
        if training.background_swap:
            raise UsageError("--background-swap is for fit: an adaptation trains on the pictures as they are.")
        if training.iterations < 1:
            raise UsageError(
                "--iterations 0 would follow from the number of images: an adaptation needs a number of steps."
            )
        if self.target_head in ("memory", "memory-hard", "hybrid") and not training.normalize:
            raise UsageError(f"--target-head {self.target_head} holds unit features: leave out --no-normalize.")
        if processes > 1 and self.bn_group == 0:
            raise UsageError(
                "--bn-group 0 would follow from the number of processes: say how many images share their statistics, such as 16."
            )
        if self.first_mixed(training.epochs) > training.epochs and self.classifier == "mixed-source":
            raise UsageError(f"--mix-from {self.mix_from}: there are {training.epochs} rounds.")
        self._check_groups(training.batch_size // processes)

    def _check_groups(self, batch: int) -> None:
        """Groups must take equal shares of what one process forwards at once: a batch of each site."""
        sizes = (batch,) if self.bn == "domain" else (batch,) * len(self.domains)
        grouped = 0 < self.bn_group < sum(sizes)
        if grouped and (sum(sizes) % self.bn_group or batch % (sum(sizes) // self.bn_group)):
            shown = " + ".join(map(str, sizes))
            raise UsageError(
                f"--bn-group {self.bn_group} does not divide a batch of {shown} images: change it, or --batch-ids."
            )


def adapt_fields() -> dict[str, Any]:
    """Name -> dataclass field of every setting of `AdaptSettings`."""
    return AdaptSettings.declared()


def divided(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(those of a training and whatever is unknown, those of an adaptation) of settings by name."""
    own = {name: value for name, value in values.items() if name in adapt_fields()}
    return {name: value for name, value in values.items() if name not in own}, own
