"""A trained model as a file that others run: made, run again from the disk, compared with the run, and only then there."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.claims import only_writer
from reid_data.compose.views import read_over
from reid_data.datasets import load_dataset
from reid_data.decode import decoded
from reid_data.errors import EnvironmentFault, InputError, UsageError, unknown_name
from reid_data.files import AnyPath, make_folder, printable, replacing
from reid_data.images import resize
from reid_data.parallel import default_workers
from reid_data.records import Record, ReidDataset
from reid_data.synth.generate import sample
from reid_train.deploy.facts import facts_of
from reid_train.deploy.formats import FORMATS
from reid_train.deploy.sources import Source, after_normalising
from reid_train.deploy.whole import WholeNet
from reid_train.features.extract import Embed
from reid_train.runs.folder import run_of
from reid_train.runs.result import read_result
from reid_train.scoring import score
from reid_train.trained import TrainedModel, is_of_a_run, load_on, unit_embedding

logger = logging.getLogger("reid_train")
Progress = Callable[[int, int], None]
LIMITS = {False: 1e-4, True: 1e-2}
"""By half precision: the largest cosine distance between a picture's two features, and difference between the two mAP."""
NUM_CHECKED, NUM_DRAWN = 64, 32
BATCHES = (1, 2, 29)
"""Sizes of the batches in which they are compared, the last one again and again: any number must do."""
DRAWN = "drawn people"


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from the run: the worst cosine distance over `num_checked` pictures of `checked_on`.

    `scores`: by test set the mAP of the run and of the file. `facts`: what the file says of itself.
    """

    path: Path
    num_bytes: int
    checked_on: str
    num_checked: int
    worst_distance: float
    facts: dict[str, Any]
    scores: dict[str, tuple[float, float]]


def export(
    run: AnyPath,
    out: AnyPath | None = None,
    *,
    format: str = "onnx",
    half: bool = False,
    raw: bool = False,
    datasets: Sequence[ReidDataset] = (),
    data_root: AnyPath = "data",
    workers: int | None = None,
    progress: Progress | None = None,
    changes: dict[str, Any] | None = None,
) -> Exported:
    """Write the model of a run as a file (default: `exported.onnx` and so on in the run) that gives features of length 1.

    Neck, flip averaging, channel statistics and length are inside; any number of images goes in at once. `half`: weights and
    arithmetic of the backbone in float16. `raw`: the input is normalised floats, else uint8 pixels. `changes`: test settings
    that replace the run's own. Before the file appears it is run on pictures of the first of `datasets`, else of a set that the
    run was tested on and that is below `data_root`, else on drawn people, and its features are compared with the run's; on each
    of `datasets` also the mAP. Raises EnvironmentFault if they differ by more than LIMITS.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    form = FORMATS[format]
    if raw and not form.program:
        raise UsageError(f"--raw says what a program takes; a file of --format {format} holds tensors alone.")
    model = load_on(run, torch.device("cpu"), changes)
    path = Path(out) if out is not None else _default_place(run, form.suffix, half)
    if is_of_a_run(path):
        raise UsageError(f"--out '{printable(path)}' is the model of a run itself. Choose another name.")
    net = WholeNet(model, raw=raw, half=half)
    facts = facts_of(model, Path(data_root), format=format, program=form.program, raw=raw, half=half)
    workers = default_workers() if workers is None else workers
    checked_on, pictures = _pictures(model, run, datasets, Path(data_root), workers)
    data = form.make(model, net, facts)
    make_folder(path.parent)
    with only_writer(path.parent) if out is None else nullcontext(), replacing(path) as temporary:
        temporary.write_bytes(data)
        run_file = form.read(temporary)
        embed = after_normalising(run_file, model.arithmetic.norm) if raw else run_file
        worst = worst_distance(embed, unit_embedding(model), pictures)
        if not worst <= LIMITS[half]:
            raise EnvironmentFault(
                f"'{printable(path)}' was not written: over {len(pictures)} pictures of {checked_on} the cosine distance of its "
                f"features to the run's is up to {worst:.2g}, expected at most {LIMITS[half]:g}. Try another --format"
                f"{', or leave out --fp16' if half else ''}."
            )
        scores = {one.name: _compare_scores(model, embed, one, workers, progress, LIMITS[half]) for one in datasets}
    return Exported(path, len(data), checked_on, len(pictures), worst, facts, scores)


def _default_place(run: AnyPath, suffix: str, half: bool) -> Path:
    folder = run_of(run)
    return (folder if folder.is_dir() else folder.parent) / f"exported{'-fp16' if half else ''}{suffix}"


def worst_distance(one: Embed, other: Embed, pictures: np.ndarray) -> float:
    """The largest cosine distance between the two features of a picture; NaN if a number is none."""
    starts = [0, *np.cumsum(BATCHES[:-1]).tolist(), *range(sum(BATCHES), len(pictures), BATCHES[-1])]
    distances = []
    for start, stop in zip(starts, [*starts[1:], len(pictures)]):
        batch = np.ascontiguousarray(pictures[start:stop])
        if len(batch):
            pair = [embed(batch).astype(np.float64) for embed in (one, other)]
            rows = [feats / np.linalg.norm(feats, axis=1, keepdims=True) for feats in pair]
            distances.append(np.square(rows[0] - rows[1]).sum(1) / 2)  # of unit vectors, without cancellation
    return float(np.max(np.concatenate(distances)))


def _pictures(
    model: TrainedModel, run: AnyPath, datasets: Sequence[ReidDataset], data_root: Path, workers: int
) -> tuple[str, np.ndarray]:
    """What the comparison is made on: the name of a set, and (N, H, W, 3) uint8 pictures of it at the input size."""
    size = model.settings.height_width
    for dataset in datasets or _tested_sets(run, data_root):
        dataset = read_over(dataset, model.settings.matte_colour)
        records = _spread([*dataset.query, *dataset.gallery], NUM_CHECKED)
        found = [image for image in decoded(records, size, workers) if not isinstance(image, str)]
        if found:
            return dataset.name, np.stack(found)
    return DRAWN, np.stack([resize(sample(0, number, "market")[0], size) for number in range(NUM_DRAWN)])


def _tested_sets(run: AnyPath, data_root: Path) -> Iterator[ReidDataset]:
    """The sets that the run was tested on, as far as they are at hand."""
    folder = run_of(run)
    result = read_result(folder) if folder.is_dir() else None
    for name in result.tests if result is not None else ():
        try:
            yield load_dataset(name, data_root)
        except (InputError, UsageError):
            logger.info("%s, which the run was tested on, is not below '%s'", name, printable(data_root))


def _spread(records: Sequence[Record], count: int) -> list[Record]:
    """At most `count` records, from the first to the last at equal distances."""
    places = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).astype(int))
    return [records[place] for place in places]


def _compare_scores(
    model: TrainedModel, embed: Embed, dataset: ReidDataset, workers: int, progress: Progress | None, limit: float
) -> tuple[float, float]:
    """mAP of the run and of the file on a set, by the test settings. Raises EnvironmentFault if they differ."""
    found = []
    for turn, function in enumerate((unit_embedding(model), embed)):

        def watch(done: int, total: int, turn: int = turn) -> None:
            if progress is not None:
                progress(turn * total + done, 2 * total)

        side = Source(function, model.net.num_features, model.settings)
        found.append(score(side, dataset, workers=workers, progress=watch).ranking.metrics()["mAP"])
    if not abs(found[0] - found[1]) <= limit:
        raise EnvironmentFault(
            f"nothing was written: on {dataset.name} the file has mAP {100 * found[1]:.3f}, the run {100 * found[0]:.3f}; expected a "
            f"difference of at most {100 * limit:g} points."
        )
    return found[0], found[1]
