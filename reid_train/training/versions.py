"""The versions of the steps that decide the weights of a training and the features of a test, as their keys take them."""

from reid_data.datasets.channel_stats import VERSIONS as STATISTICS_VERSIONS
from reid_data.images import VERSIONS as IMAGE_VERSIONS
from reid_data.manifest import Row, raised
from reid_data.seeds import VERSIONS as SEED_VERSIONS
from reid_data.transforms import VERSIONS as TRANSFORM_VERSIONS
from reid_train.evaluation.expansion import VERSIONS as EXPANSION_VERSIONS
from reid_train.evaluation.metrics import VERSIONS as METRIC_VERSIONS
from reid_train.evaluation.rerank import VERSIONS as RERANK_VERSIONS
from reid_train.training.batches import VERSIONS as BATCH_VERSIONS
from reid_train.training.losses import VERSIONS as LOSS_VERSIONS
from reid_train.training.samplers import VERSIONS as PLAN_VERSIONS
from reid_train.training.schedules import VERSIONS as SCHEDULE_VERSIONS


def training_versions() -> Row:
    """{"versions": {step: version}} of what decides the weights besides the network and the swap (whose digest has its own);
    {} while all are 1, so that a new step leaves every earlier key as it is."""
    own = PLAN_VERSIONS | SCHEDULE_VERSIONS | BATCH_VERSIONS | LOSS_VERSIONS
    return raised(own | _resize() | SEED_VERSIONS | TRANSFORM_VERSIONS | STATISTICS_VERSIONS)


def feature_versions() -> Row:
    """The same of what decides features besides the weights (a diagnostic's digest has its own)."""
    return raised(_resize())


def score_versions() -> Row:
    """The same of what decides the scores of a test besides the weights."""
    return raised(_resize() | METRIC_VERSIONS | RERANK_VERSIONS | EXPANSION_VERSIONS)


def _resize() -> dict[str, int]:
    return {"resize": IMAGE_VERSIONS["resize"]}
