"""What a model is worth on a set: the features of query and gallery, and their ranking by its test settings."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from reid_data.compose.views import Diagnostic, View, content_digest, prepare_view, read_over
from reid_data.decode import Images, decoded
from reid_data.errors import InputError
from reid_data.files import printable
from reid_data.records import JUNK_PID, Record, ReidDataset
from reid_train.evaluation.expansion import expand_queries
from reid_train.evaluation.matching import scored_rows
from reid_train.evaluation.metrics import RankingResult
from reid_train.evaluation.protocol import evaluate
from reid_train.evaluation.rerank import RerankSettings
from reid_train.features.extract import Features
from reid_train.settings.train import TrainSettings

Progress = Callable[[int, int], None]


class Model(Protocol):
    """What can be tested: features of records, by these test settings, on this device."""

    @property
    def settings(self) -> TrainSettings:
        """The settings, of which those of tests count."""

    @property
    def device(self) -> str:
        """Where distances are computed, as torch names it."""

    def features(
        self,
        records: Sequence[Record],
        content: str,
        *,
        workers: int,
        progress: Progress | None = None,
        images: Images = decoded,
    ) -> Features:
        """Features of `records`; `content` is the digest of their set."""


class Scored(NamedTuple):
    """A set as it was looked at, the features of its query and gallery, and their ranking."""

    view: View
    query: Features
    gallery: Features
    ranking: RankingResult


def score(model: Model, dataset: ReidDataset, *, workers: int, progress: Progress | None = None) -> Scored:
    """Test a model on query and gallery of a set, or of a diagnostic of one; transparent pictures over the model's matte."""
    dataset = read_over(dataset, model.settings.matte_colour)
    view, query, gallery = query_and_gallery(model, dataset, content_digest(dataset), workers, progress)
    return Scored(view, query, gallery, rank(query, gallery, model.settings, model.device))


def query_and_gallery(
    model: Model, dataset: ReidDataset, content: str, workers: int, progress: Progress | None
) -> tuple[View, Features, Features]:
    """Features of query and gallery, without junk, which is never scored; InputError if either has no usable image.

    The masks of a diagnostic count as the first part of the progress.
    """
    splits = {
        name: [record for record in dataset.split(name) if record.pid != JUNK_PID] for name in ("query", "gallery")
    }
    num_masks = len(dataset.query) + len(dataset.gallery) if isinstance(dataset, Diagnostic) else 0
    total = num_masks + sum(map(len, splits.values()))
    done = 0

    def watch(part: int, _: int) -> None:
        if progress is not None:
            progress(done + part, total)

    view = prepare_view(dataset, workers=workers, progress=watch)
    done = num_masks
    found = []
    for split, records in splits.items():
        features = model.features(records, content, workers=workers, progress=watch, images=view.images)
        done += len(records)
        if not features.records:
            bad = features.unreadable
            first = f"; the first: {printable(bad[0].name)} {bad[0].reason}" if bad else ""
            raise InputError(
                f"{dataset.name} has no usable {split} image ({len(bad)} unreadable{first}): it cannot be a test set."
            )
        found.append(features)
    return view, found[0], found[1]


def rank(query: Features, gallery: Features, settings: TrainSettings, device: str) -> RankingResult:
    """Judge features by the test settings: query expansion, distance, re-ranking, protocol."""
    query_feats = query.feats
    if settings.expand_numbers is not None:
        k, alpha = settings.expand_numbers
        rows = scored_rows(gallery.pids)
        query_feats = expand_queries(
            query_feats, gallery.feats, k=k, alpha=alpha, metric=settings.metric, rows=rows, device=device
        )
    return evaluate(
        query_feats,
        query.pids,
        query.camids,
        gallery.feats,
        gallery.pids,
        gallery.camids,
        metric=settings.metric,
        protocol=settings.protocol,
        ap=settings.ap,
        rerank=None if settings.rerank_numbers is None else RerankSettings(*settings.rerank_numbers),
        seed=settings.seed,
        device=device,
    )
