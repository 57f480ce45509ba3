"""`reid-train ablate`: one experiment of the reference study, its figures beside ours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reid_data.errors import UsageError

from ..options import data_root_option, dry_run_option, json_option, names_list, workers_option
from ..runs import device_option, runs_option
from ..sets import test_sets, training_sets
from ..settings import (
    collect_settings,
    set_option,
)
from ..tables import print_table
from ..terminal import announcer, say, show

if TYPE_CHECKING:
    from reid_train.study.ablation import Experiment


@click.command()
@click.argument("experiment", required=False)
@click.option("--train", "train_set", default="market", show_default=True, metavar="SET", help="What to train on.")
@click.option("--test", "test_set", metavar="SET", help="What to test on.  [default: the training set]")
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
@runs_option
@data_root_option
@device_option
@workers_option
@dry_run_option
@json_option
def ablate(
    experiment: str | None, train_set: str, test_set: str | None, scale: str, variants: str | None, seeds: str, weights: str | None,
    matte: str | None, assignments: tuple[str, ...], runs: Path, data_root: Path, device: str, workers: int | None,
    dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run one experiment of the reference study: every variant differs from the base in one thing.

    Prints our figures beside the study's, with intervals and paired tests. What is trained already is not trained
    again. Without a name: lists the experiments.

    \b
    Example:
      reid-train ablate
      reid-train ablate temperature --seeds 0,1,2
      reid-train ablate classifier-unit --scale small --train market --device cpu
    """
    from reid_train.matrix.cells import Machine
    from reid_train.study import ablation

    if experiment is None:
        return _list(list(ablation.experiments().values()), as_json)
    found, size = ablation.find_experiment(experiment), ablation.find_scale(scale)
    if variants is not None:
        found = found.only(names_list(variants))
    changes = (*(f"{key}={value}" for key, value in size.settings.items()), *assignments)
    base = collect_settings({"weights": weights, "matte": matte}, None, changes)
    sets = training_sets(train_set, data_root, base.seed, None)
    tests = test_sets(test_set or train_set, data_root, None)
    if len(sets) != 1 or len(tests) != 1:
        raise UsageError("ablate takes one --train set and one --test set.")
    numbers = _seeds(seeds)
    if dry_run:
        for variant in found.variants:
            extra = [
                f"{what} {leader}"
                for what, leader in (("replay", variant.replay), ("match-lr", variant.match_lr))
                if leader
            ]
            changed = [f"--{key.replace('_', '-')} {value}" for key, value in variant.changes.items()]
            show(f"{variant.id}: {' '.join([*changed, *extra]) or 'the base'}")
        say(f"{len(found.variants) * len(numbers)} trainings at --scale {scale}, each tested on {tests[0].name}.")
        return 0
    machine = Machine(runs, data_root, device, workers)
    with announcer() as announce:
        document = ablation.run_experiment(found, base, size, (sets[0], tests[0]), numbers, machine, announce)
    if as_json:
        show(json.dumps(document, indent=2, sort_keys=True))
        return 0
    _print(document)
    say(f"Tables: {runs / ablation.RUNS_FOLDER / found.name}")
    return 0


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
    from reid_train.study import ablation

    show(
        f"{document['title']} (--scale {document['scale']}, trained on {document['train']}, tested on {document['test']}, "
        f"seeds {', '.join(map(str, document['seeds']))})"
    )
    if document["direction"]:
        show(f"The study: {document['direction']}.")
    print_table(*ablation.table(document))
    for line in ablation.agreement(document):
        show(line)
