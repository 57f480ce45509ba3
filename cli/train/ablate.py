"""`reid-train ablate`: one experiment of the reference study, its figures beside ours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError
from reid_train.settings.adaptation import AdaptSettings
from reid_train.settings.train import fields, from_assignments

from ..options import data_root_option, dry_run_option, json_option, names_list, workers_option
from ..runs import device_option, runs_option
from ..sets import notice, test_sets, training_sets
from ..settings import (
    collect_settings,
    set_option,
)
from ..tables import print_table
from ..terminal import announcer, say, show

if TYPE_CHECKING:
    from reid_data.records import ReidDataset
    from reid_train.study.experiments import Experiment, Scale, Variant


@click.command()
@click.argument("experiment", required=False)
@click.option("--train", "train_set", default="market", show_default=True, metavar="SET", help="What to train on.")
@click.option(
    "--target", "target_set", metavar="SET", help="Of the uda-... experiments: what to adapt to, without its labels."
)
@click.option("--test", "test_set", metavar="SET", help="What to test on.  [default: the target, or the training set]")
@click.option(
    "--scale",
    type=click.Choice(["small", "full"]),
    default="full",
    show_default=True,
    help="full: the study's; small: ResNet-18 at 64x32 from scratch on half of the identities, for processors.",
)
@click.option("--variants", metavar="ID,...", help="Only these; the first variant, the base, is always run.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, comma-separated.")
@click.option("--weights", metavar="imagenet|none|PATH", help="What the network starts from; as --set weights=...")
@click.option("--matte", metavar="R,G,B", help="The colour behind transparent pictures; as --set matte=...")
@set_option
@click.option(
    "--adapt", "adapt_assignments", multiple=True, metavar="KEY=VALUE",
    help="Of the uda-... experiments: a setting of every adaptation, such as rounds=20; may be repeated.",
)  # fmt: skip
@runs_option
@data_root_option
@device_option
@workers_option
@dry_run_option
@json_option
def ablate(
    experiment: str | None, train_set: str, target_set: str | None, test_set: str | None, scale: str, variants: str | None,
    seeds: str, weights: str | None, matte: str | None, assignments: tuple[str, ...], adapt_assignments: tuple[str, ...],
    runs: Path, data_root: Path, device: str, workers: int | None, dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run one experiment of the reference study: every variant differs from the base in one thing.

    Prints our figures beside the study's, with intervals and paired tests. What is trained already is not trained
    again. Without a name: lists the experiments.

    \b
    Example:
      reid-train ablate
      reid-train ablate temperature --seeds 0,1,2
      reid-train ablate classifier-unit --scale small --train market --device cpu
      reid-train ablate uda-joint --train market --target duke --seeds 0,1,2
    """
    from reid_train.matrix.cells import Machine
    from reid_train.study import ablation
    from reid_train.study.adaptations import Adaptations
    from reid_train.study.experiments import experiments, find_experiment, find_scale
    from reid_train.training.batches import take_identities

    if experiment is None:
        return _list(list(experiments().values()), as_json)
    found, size = find_experiment(experiment), find_scale(scale)
    if variants is not None:
        found = found.only(names_list(variants))
    changes = (*(f"{key}={value}" for key, value in size.settings.items()), *assignments)
    base = collect_settings({"weights": weights, "matte": matte}, None, changes)
    sets = training_sets(train_set, data_root, base.seed, None)
    if (found.kind == "adapt") != (target_set is not None):
        raise UsageError(
            f"{found.name} {'needs' if target_set is None else 'has no'} --target: it is of kind {found.kind}."
        )
    tests = test_sets(test_set or target_set or train_set, data_root, None)
    if len(sets) != 1 or len(tests) != 1:
        raise UsageError("ablate takes one --train set and one --test set.")
    numbers, changed = _seeds(seeds), _adapt_changes(size, adapt_assignments)
    if dry_run:
        return _dry(found, len(numbers), f"at --scale {scale}, each tested on {tests[0].name}")
    machine, training = Machine(runs, data_root, device, workers), take_identities(sets[0], size.identities)
    with announcer() as announce:
        arms: ablation.Arms = (trainings := ablation.Trainings(base, training, tests[0], machine, announce))
        if target_set is not None:
            arms = Adaptations(trainings, _target(target_set, data_root), tests[0], changed)
        document = ablation.run_experiment(found, arms, size, numbers, runs)
    if as_json:
        show(json.dumps(document, indent=2, sort_keys=True))
        return 0
    _print(document)
    say(f"Tables: {runs / ablation.RUNS_FOLDER / found.name}")
    return 0


def _dry(experiment: "Experiment", seeds: int, where: str) -> int:
    """Say what would be run."""
    for variant in experiment.variants:
        show(f"{variant.id}: {_words(variant) or 'the base'}")
    say(f"{len(experiment.variants) * seeds} runs {where}.")
    return 0


def _target(name: str, data_root: Path) -> "ReidDataset":
    """The set to adapt to."""
    from reid_data.datasets import load_dataset

    dataset = load_dataset(name, data_root)
    notice(dataset)
    return dataset


def _words(variant: "Variant") -> str:
    """What a variant changes, as flags and words."""
    changed = [f"--{key.replace('_', '-')} {value}" for key, value in variant.changes.items()]
    followed = {"replay": variant.replay, "match-lr": variant.match_lr, "labels from": variant.labels_from}
    words = [*changed, *(f"{what} {leader}" for what, leader in followed.items() if leader)]
    if variant.batches != 1:
        words.append(f"{variant.batches} x the batch" if variant.batches else "the source's run, not adapted")
    return " ".join(words)


def _adapt_changes(size: "Scale", assignments: tuple[str, ...]) -> dict[str, Any]:
    """The settings of every adaptation, of the scale and as typed."""
    from reid_train.study.adaptations import adaptation_changes

    known = {**fields(), **AdaptSettings.declared(), "rounds": None}
    return adaptation_changes(size.adapt, from_assignments(assignments, known))


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(entry) for entry in names_list(text)]
    except ValueError as error:
        raise UsageError(f"--seeds '{text}': expected whole numbers, as in --seeds 0,1,2.") from error
    if not numbers or len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds '{text}': expected different numbers, as in --seeds 0,1,2.")
    return numbers


def _list(found: "list[Experiment]", as_json: bool) -> int:
    if as_json:
        show(
            json.dumps(
                [{"name": one.name, "title": one.title, "variants": [v.id for v in one.variants]} for one in found]
            )
        )
        return 0
    print_table(
        ["experiment", "what it varies", "variants"],
        [[one.name, one.title, ", ".join(variant.id for variant in one.variants)] for one in found],
        left=(0, 1, 2),
    )
    return 0


def _print(document: dict[str, Any]) -> None:
    from reid_train.study.tables import agreement, table

    to = f"adapted to {document['target']}, " if "target" in document else ""
    show(
        f"{document['title']} (--scale {document['scale']}, trained on {document['train']}, {to}tested on {document['test']}, "
        f"seeds {', '.join(map(str, document['seeds']))})"
    )
    if document["direction"]:
        show(f"The study: {document['direction']}.")
    print_table(*table(document))
    for row in document["variants"]:
        if "refused" in row:
            show(f"{row['id']}: {row['refused']}")
    for line in agreement(document):
        show(line)
