"""What each step of training and evaluation gives: draws, plans, schedules, losses, statistics, ranking."""

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.compose.views import background, foreground
from reid_data.datasets.channel_stats import pixel_sums, summarise
from reid_data.records import Card, Record, ReidDataset
from reid_data.seeds import draw_seed
from reid_data.segment.cache import Masked
from reid_data.transforms import train_transform
from reid_train.adaptation.feed import Feed
from reid_train.arithmetic import Arithmetic
from reid_train.evaluation.bootstrap import intervals, over_seeds, paired
from reid_train.evaluation.expansion import expand_queries
from reid_train.evaluation.metrics import AP_RULES
from reid_train.evaluation.per_query import per_query_of
from reid_train.evaluation.protocol import PROTOCOLS, evaluate
from reid_train.evaluation.rerank import RerankSettings
from reid_train.graph.dbscan import dbscan
from reid_train.graph.distances import close_pairs, encoding
from reid_train.settings.train import TrainSettings
from reid_train.training.batches import EpochBatches, TrainingSet, class_map, take_first, take_identities, take_part
from reid_train.training.losses import batch_hard_triplet, centre_loss, cross_entropy, moved_centres
from reid_train.training.samplers import num_iterations, pk_plan, random_plan, shard
from reid_train.training.schedules import DECAYS, TEMPERATURES, temperature_at, warmup
from tests.golden.inputs import alpha, photograph, records


def augmented(folder: Path) -> Any:
    full = train_transform((64, 32), flip=0.5, pad_crop=10, random_erasing=0.5, fill=(120, 110, 100))
    parts = [
        train_transform((64, 32), flip=flip, pad_crop=pad, random_erasing=erase, fill=(1, 2, 3))
        for flip, pad, erase in ((0.5, 0, 0.0), (0.0, 4, 0.0), (0.0, 0, 1.0), (0.0, 0, 0.0))
    ]
    return [
        transform(photograph(seed), draw_seed(1, "a.jpg", 2, seed))
        for transform in (full, *parts)
        for seed in range(12)
    ]


def draw_seeds(folder: Path) -> Any:
    return [draw_seed(*one) for one in product((0, 7), ("a.jpg", "ö/b.jpg"), (1, 60), (0, 4095))]


def pk_plans(folder: Path) -> Any:
    people = records(9, 3, "train")
    labels, cameras = [record.pid - 1 for record in people], [record.camid for record in people]
    plans = [
        pk_plan(labels, cameras, num_ids=ids, num_images=images, iterations=6, seed=seed, epoch=epoch)
        for ids, images, seed, epoch in ((4, 4, 0, 1), (2, 6, 5, 3))
    ]
    return [*plans, *shard(plans[0], 1, 2), [num_iterations(*one) for one in ((0, 100, 32), (7, 100, 32), (0, 3, 32))]]


def clusters(folder: Path) -> Any:
    """Neighbourhoods of 60 features of six people, and the clusters in them at three distances."""
    rng = np.random.default_rng(3)
    feats = rng.standard_normal((6, 16)).repeat(10, 0) + 0.6 * rng.standard_normal((60, 16))
    feats = (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32)
    return close_pairs(encoding(feats, 8, 3), 0.7)


def close(folder: Path) -> Any:
    graph = clusters(folder)
    return [np.round(graph.data.astype(np.float64), 4) + 0.0, np.diff(graph.indptr), graph.indices]


def found_clusters(folder: Path) -> Any:
    return [dbscan(clusters(folder), eps, samples) for eps in (0.3, 0.5, 0.65) for samples in (2, 4)]


def adaptation_draws(folder: Path) -> Any:
    """The pictures of two sites side by side in one round: numbers, classes, sites and pixels."""
    people = records(4, 4, "train")
    pixels = np.stack([photograph(number) for number in range(len(people))])
    labels, cameras = [one.pid - 1 for one in people], [one.camid for one in people]
    source = TrainingSet(people, labels, cameras, [("there", 1)], (64, 32), pixels, [])
    target = TrainingSet(people, [-1] * len(people), cameras, [], (64, 32), pixels, [])
    settings = TrainSettings(size="64x32", batch_ids=2, batch_images=2, iterations=2, weights="none")
    feed = Feed(settings, source, target, Arithmetic(torch.device("cpu"), "none", (0.5,) * 3, (0.2,) * 3))
    clusters = np.arange(len(people)) % 4 - 1
    return [part.numpy() for batch in feed.batches(2, clusters, 0) for part in batch if part is not None]


def random_plans(folder: Path) -> Any:
    return [random_plan(23, batch_size=8, iterations=5, seed=seed, epoch=epoch) for seed, epoch in ((0, 1), (5, 3))]


def rate_schedules(folder: Path) -> Any:
    times = [0.0, 0.5, 1.0, 9.75, 10.0, 39.9, 40.0, 59.5, 60.0]
    decays = [decay(time, 60, (20, 40), 0.1) for decay in DECAYS.values() for time in times]
    return [decays, [warmup(time, 10, factor) for time in times for factor in (0.01, 0.1)]]


def temperature_schedules(folder: Path) -> Any:
    epochs = ((1, 1), (1, 20), (2, 20), (10, 20), (20, 20))
    return [temperature_at(kind, *epoch, 0.8, 0.2) for kind in TEMPERATURES for epoch in epochs]


def _dataset(num_ids: int) -> ReidDataset:
    return ReidDataset(Card("there", "real"), Path("there"), records(num_ids, 3, "train"), [], [])


def training_draws(folder: Path) -> Any:
    """Labels, numbers and pixels of two epochs; the swap is asked with the seed that it would get."""
    people = records(3, 2, "train")
    pixels = np.stack([photograph(number) for number in range(len(people))])
    asked: list[list[Any]] = []

    def swap(record: Record, seed: int) -> np.ndarray | None:
        asked.append([record.name, seed])
        return photograph(seed % 100) if seed % 2 else None

    labels = [record.pid - 1 for record in people]
    images = TrainingSet(people, labels, [1] * len(people), [("there", 1)], (64, 32), pixels, [], swap)
    transform = train_transform((64, 32), flip=0.5, pad_crop=4, random_erasing=0.0, fill=(0, 0, 0))
    plan = np.array([[0, 3, 2, 2], [8, 7, 6, 1]])
    drawn = []
    for epoch in (1, 2):
        batches = EpochBatches(images, transform, plan, np.arange(8).reshape(2, 4), seed=3, epoch=epoch)
        drawn += [[part.numpy() for part in batches[row][:3]] for row in range(2)]
    classes = class_map([("b", 3), ("a", 20), ("b", 1), ("a", 3)])
    return [drawn, asked, [[*identity, label] for identity, label in classes.items()]]


def training_parts(folder: Path) -> Any:
    parts = [take_part(_dataset(8), fraction, seed) for fraction, seed in ((0.3, 0), (0.3, 5), (0.01, 0), (1.0, 0))]
    parts += [take_first(_dataset(8), 7), take_identities(_dataset(8), 0.4), take_identities(_dataset(8), 1.0)]
    return [[part.name, [record.name for record in part.train]] for part in parts]


def losses(folder: Path) -> Any:
    features = (torch.arange(48, dtype=torch.float64).reshape(8, 6) * 7 % 11 - 5) / 4
    labels, centres = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1]), torch.arange(18, dtype=torch.float64).reshape(3, 6) / 9
    logits = features[:, :3]
    found = [cross_entropy(logits, labels), cross_entropy(logits, labels, 0.1), centre_loss(features, labels, centres)]
    found += [batch_hard_triplet(features, labels, margin) for margin in (None, 0.3, 2.0)]
    found.append(batch_hard_triplet(features[:4], labels[:4], 0.3, others_MD=features, other_labels_M=labels))
    return [[float(one) for one in found], moved_centres(centres, features, labels, 0.5).numpy()]


def channel_statistics(folder: Path) -> Any:
    sums = [pixel_sums(photograph(seed, size)) for seed, size in enumerate(((64, 32), (90, 31), (20, 20)))]
    return [sums, asdict(summarise(sums))]


def _features(seed: int) -> tuple[Any, ...]:
    """Features of integers: exact in float32 products and far from ties in the ranking."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(-3, 4, (6, 16))
    gallery = [(pid, camid) for pid in (*range(6), 7, -1, 0) for camid in (1, 2, 3)]
    queries = [(pid, 1 + pid % 3) for pid in range(6)]
    sides = []
    for rows in (queries, gallery):
        pids, camids = np.array(rows).T
        feats = centres[np.clip(pids, 0, 5)] + rng.integers(-3, 4, (len(rows), 16))
        sides += [feats.astype(np.float32), pids + 1 if rows is queries else np.where(pids > 0, pids + 1, pids), camids]
    return tuple(sides)


def rankings(folder: Path) -> Any:
    found = []
    for protocol, ap, metric in product(PROTOCOLS, AP_RULES, ("cosine", "euclidean")):
        if protocol == "cuhk03" and ap != "step":
            continue
        result = evaluate(*_features(2), protocol=protocol, ap=ap, metric=metric, ranks=(1, 3), seed=4)
        found.append([result.metrics(), result.ap, result.inp, result.first_match, result.hits, result.cmc])
    return found


def reranked(folder: Path) -> Any:
    settings = [RerankSettings(6, 3, 0.3), RerankSettings(4, 1, 0.0), RerankSettings(5, 2, 0.8)]
    results = [
        evaluate(*_features(3), rerank=one, metric=metric) for one in settings for metric in ("cosine", "euclidean")
    ]
    return [[result.first_match, result.ap] for result in results]


def expanded(folder: Path) -> Any:
    queries, _, _, gallery, _, _ = _features(4)
    found = [expand_queries(queries, gallery, k=k, alpha=power) for k, power in ((1, 0.0), (3, 0.0), (3, 2.0))]
    return [np.round(one.astype(np.float64), 4) + 0.0 for one in found]


def bootstrapped(folder: Path) -> Any:
    rows = [per_query_of(evaluate(*_features(seed))) for seed in (2, 2)]
    other = [per_query_of(evaluate(*_features(2), metric="euclidean"))]
    found = [intervals(rows[0], resamples=200, seed=1), paired(rows[:1], other, resamples=200, seed=1)]
    found += [paired(rows, other * 2, resamples=200), over_seeds([rows[0], other[0]], resamples=200)]
    return [[[name, [round(v, 6) for v in asdict(one).values()]] for name, one in part.items()] for part in found]


def views(folder: Path) -> Any:
    shown = []
    for seed in range(2):
        masked = Masked(Record("there", "a.jpg", 1, 1, "query"), photograph(seed), f"{seed:064x}", alpha(seed), 1.0)
        shown += [view(masked, flat=np.array([120, 110, 100], np.uint8)) for view in (foreground, background)]
    return shown


STEPS = {
    "augmentation": augmented,
    "draw-seed": draw_seeds,
    "pk-plan": pk_plans,
    "random-plan": random_plans,
    "close-pairs": close,
    "dbscan": found_clusters,
    "adapt-draw": adaptation_draws,
    "rate-schedules": rate_schedules,
    "temperature-schedules": temperature_schedules,
    "training-draw": training_draws,
    "training-part": training_parts,
    "losses": losses,
    "channel-statistics": channel_statistics,
    "ranking": rankings,
    "rerank": reranked,
    "query-expansion": expanded,
    "bootstrap": bootstrapped,
    "views": views,
}
