"""The experiments as data: `assets/ablations.toml` says what a variant changes, `assets/study.toml` what the study reported."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from reid_data.errors import unknown_name


@dataclass(frozen=True)
class Variant:
    """One arm: the settings that differ from the base, and the study's runs of it (rows of STUDY_METRICS in percent).

    `replay`: the variant whose effective temperatures this one follows, epoch by epoch. `match_lr`: the variant whose
    class weights turn as fast as this one's shall: the classifier's learning rate is multiplied by its mean 1 / norm.
    Of an adaptation: `labels_from` is the variant whose clusters this one takes, `batches` how many times the base's identities
    are in a batch (0: no adaptation, the source's run as it is).
    """

    id: str
    changes: dict[str, Any] = field(default_factory=dict)
    replay: str | None = None
    match_lr: str | None = None
    labels_from: str | None = None
    batches: int = 1
    study: tuple[tuple[float, ...], ...] = ()

    @property
    def leaders(self) -> list[str]:
        """The variants that must be run before this one."""
        return [one for one in (self.replay, self.match_lr, self.labels_from) if one is not None]


@dataclass(frozen=True)
class Experiment:
    """An experiment; the first variant is what the others are compared with. `kind`: what is run, fit or adapt."""

    name: str
    title: str
    direction: str
    variants: tuple[Variant, ...]
    kind: str = "fit"

    def only(self, ids: Sequence[str]) -> "Experiment":
        """The experiment with its first variant, those of `ids`, and those that they follow. Raises UsageError."""
        known = {variant.id: variant for variant in self.variants}
        for id_ in ids:
            if id_ not in known:
                raise unknown_name("variant", id_, known)
        leaders = {leader for id_ in ids for leader in known[id_].leaders}
        wanted = {self.variants[0].id, *ids, *leaders}
        return replace(self, variants=tuple(variant for variant in self.variants if variant.id in wanted))


@dataclass(frozen=True)
class Scale:
    """How large an experiment is run: the settings of its base and the share of the training identities.

    `adapt`: the settings of an adaptation's base, those of its training among them.
    """

    name: str
    settings: dict[str, Any]
    identities: float
    adapt: dict[str, Any] = field(default_factory=dict)


def experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order of the file."""
    study = _table("study.toml")
    found = {}
    for name, entry in _table("ablations.toml")["experiment"].items():
        reported = study.get(name, {})
        runs = {row["id"]: tuple(map(tuple, row["runs"])) for row in reported.get("variants", [])}
        variants = tuple(
            Variant(
                row["id"],
                row.get("set", {}),
                row.get("replay"),
                row.get("match_lr"),
                row.get("labels_from"),
                row.get("batches", 1),
                runs.get(row["id"], ()),
            )
            for row in entry["variants"]
        )
        title = entry.get("title") or reported["title"]
        found[name] = Experiment(name, title, reported.get("direction", ""), variants, entry.get("kind", "fit"))
    return found


def find_experiment(name: str) -> Experiment:
    """The experiment of that name. Raises UsageError with the names there are."""
    found = experiments()
    if name not in found:
        raise unknown_name("experiment", name, found)
    return found[name]


def find_scale(name: str) -> Scale:
    """The scale of that name: small or full."""
    entry = _table("ablations.toml")["scale"][name]
    settings = _table(f"recipes/{entry['recipe']}.toml") if "recipe" in entry else {}
    return Scale(name, settings, entry["identities"], entry.get("adapt", {}))


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("reid_assets").joinpath(name).read_text(encoding="utf-8"))
