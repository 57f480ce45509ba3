"""A whole matrix on disk without a training: results, run folders, sets with pictures, masks' manifest, contact sheet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.files import write_json
from reid_data.images import write_image
from reid_data.manifest import Form, encode_row, make_header
from reid_train.evaluation.bootstrap import over_seeds
from reid_train.evaluation.per_query import PerQuery, read_per_query
from reid_train.features.files import write_npz
from reid_train.report.pictures import sheet_path
from reid_train.runs.matrix_document import METRICS, RESULTS_FILE, SCHEMA
from reid_train.runs.result import RunResult, write_result

PEOPLE, QUERIES = 12, 36


def card(name: str, kind: str = "photographs", text: str = "research only", **more: Any) -> dict[str, Any]:
    """A card as `results.json` holds it."""
    base = {"name": name, "kind": kind, "identity_space": name, "terms": text, "status": "ok", "notice": ""}
    return {**base, "parents": [], **more}


@dataclass
class Case:
    """What the matrix is called and holds; `text` goes wherever a run or a set can put text of its own."""

    trains: Sequence[str] = ("market", "composite")
    tests: Sequence[str] = ("market", "duke", "market@background", "market@swap:duke")
    seeds: Sequence[int] = (0,)
    text: str = "plain"
    gain: Mapping[tuple[str, str], float] = field(default_factory=dict)
    kind: str = "photographs"
    people: int = PEOPLE
    queries: int = QUERIES

    def card(self, name: str) -> dict[str, Any]:
        """`composite` is made of the first training set and `duke`."""
        if name == "composite":
            parents = [
                card(self.trains[0], self.kind, self.text),
                card("duke", self.kind, self.text, status="withdrawn"),
            ]
            return card(name, "composite", self.text, parents=parents, notice=self.text, status="withdrawn")
        kind = "diagnostic" if "@" in name else self.kind
        return card(name, kind, self.text, notice=self.text, status="withdrawn" if name == "duke" else "ok")


def write_case(case: Case, runs: Path, data: Path | None = None) -> Path:
    """Write the matrix of `case` to `runs/matrix` (and its sets to `data`); the folder."""
    folder = runs / "matrix"
    document: dict[str, Any] = {"schema": SCHEMA, "axes": [], "digests": {}, "study": None}
    cards = {name: {key: value for key, value in case.card(name).items() if key != "parents"} for name in case.tests}
    document["tests"] = {name: {"digest": "0", "chance_mAP": 0.05, "card": cards[name]} for name in case.tests}
    document["trainings"], document["cells"], summary = [], [], {}
    for number, train in enumerate(case.trains):
        for seed in case.seeds:
            run = f"cells/run{number}-seed{seed}"
            common = {"train": train, "seed": seed, "axes": {}, "status": "ok", "reason": ""}
            document["trainings"].append({**common, "run": run, "sets": [case.card(train)]})
            _write_run(case, runs / run, train, seed)
            for place, test in enumerate(case.tests):
                rows = _write_test(case, runs / run, (number, seed, place))
                summary.setdefault((train, test), []).append(rows)
                metrics = {name: one.mean for name, one in over_seeds([rows], resamples=10).items()}
                document["cells"].append({**common, "test": test, "metrics": metrics, "intervals": {}})
    document["summary"] = [_summary(case, place, rows) for place, rows in summary.items()]
    document["reliance"] = [_reliance(case, place, rows) for place, rows in summary.items() if "@" in place[1]]
    folder.mkdir(parents=True)
    write_json(folder / RESULTS_FILE, document)
    if data is not None:
        _write_sets(case, data, folder)
    return folder


def _write_run(case: Case, folder: Path, train: str, seed: int) -> None:
    folder.mkdir(parents=True)
    settings = {"seed": seed, "epochs": 4, "weights": case.text}
    norm = {"mean": [0.5] * 3, "std": [0.2] * 3}
    versions = {"torch": "2", case.text: case.text}
    result = RunResult(
        folder.name, [train], "key", settings, {train: "0"}, None, "cpu", norm, 7, 70, {}, versions,
        unreadable=[{"set": case.text, "name": case.text, "reason": case.text}],
    )  # fmt: skip
    write_result(folder, result)
    write_json(folder / "costs.json", {"train_seconds": 75.0, "device": case.text, "test_seconds_x": 2.0, "threads": 1})
    rows: list[dict[str, Any]] = [{"event": "start", "name": case.text}, {"event": case.text}]
    for epoch in range(1, 5):
        shape = {"class_norm_min": 0.1 * epoch, "class_norm_median": 0.2 * epoch, "class_norm_max": 0.3 * epoch}
        row = {"event": "epoch", "epoch": epoch, "loss": 4 / epoch + seed, "temperature": 0.1, "lr": 1e-3, **shape}
        rows.append({**row, "effective_temperature": 0.5 / epoch, "accuracy": 0.2 * epoch, case.text: case.text})
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")


def _write_test(case: Case, folder: Path, place: tuple[int, int, int]) -> PerQuery:
    """Per-query results: drawn, the same hard queries for all rows; `gain` is added to AP and INP."""
    number, seed, column = place
    train, test = case.trains[number], case.tests[column]
    hard = np.random.default_rng(column).uniform(0.2, 0.7, case.queries)
    noise = np.random.default_rng([number, seed, column]).normal(0, 0.02, case.queries)
    ap = np.clip(hard + noise + case.gain.get((train, test), 0.0), 0.01, 1.0)
    names = np.array([image_name(case.text, row) for row in range(case.queries)])
    arrays = {
        "path": np.array([name.encode("utf-8", "backslashreplace").decode() for name in names]),
        "pid": 1 + np.arange(case.queries) % case.people,
        "camid": np.ones(case.queries, np.int64),
        "ap": ap,
        "inp": ap / 2,
        "first_match": np.ceil(1 / ap).astype(np.int64),
        "num_matches": np.full(case.queries, 2),
    }
    target = folder / "tests" / test
    if "/" in test or "\0" in test or len(test) > 100 or test.startswith("."):
        target = folder / "tests" / "odd"
    target.mkdir(parents=True, exist_ok=True)
    write_npz(target / "per_query.npz", arrays)
    write_json(target / "ranked_lists.json", ranked_lists(case))
    return read_per_query(target / "per_query.npz")


def image_name(text: str, row: int) -> str:
    """An image's name with `text` in it."""
    return f"query/{row:02d}{text}.png"


def ranked_lists(case: Case) -> dict[str, Any]:
    """One list of each kind, with an entry of each verdict."""
    entries = [
        {"image": image_name(case.text, row), "pid": row, "camid": 1, "score": 0.9 - row / 10, "verdict": verdict}
        for row, verdict in enumerate(("right", "wrong", "ignored"), 1)
    ]
    lists = [
        {"kind": kind, "query": image_name(case.text, 0), "pid": 1, "camid": 1, "ap": ap, "entries": entries}
        for kind, ap in (("best", 0.9), ("median", 0.5), ("worst", 0.1))
    ]
    return {"schema": "reid-ranked-lists/1", "metric": "cosine", "lists": lists}


def _over(rows: list[PerQuery]) -> dict[str, dict[str, float | None]]:
    found = over_seeds(rows, metrics=METRICS, resamples=100)
    return {
        name: {
            "mean": one.mean,
            "std": None if np.isnan(one.deviation) else one.deviation,
            "low": None if np.isnan(one.low) else one.low,
            "high": None if np.isnan(one.high) else one.high,
        }
        for name, one in found.items()
    }


def _summary(case: Case, place: tuple[str, str], rows: list[PerQuery]) -> dict[str, Any]:
    common = {"train": place[0], "test": place[1], "axes": {}, "seeds": list(case.seeds), "status": "ok"}
    return {**common, "metrics": _over(rows)}


def _reliance(case: Case, place: tuple[str, str], rows: list[PerQuery]) -> dict[str, Any]:
    base, _, view = place[1].rpartition("@")
    numbers = {
        "queries": case.queries,
        "people": case.people,
        "mAP": {"mean": 0.25, "std": None, "low": 0.2, "high": 0.3},
        "original": {"mean": 0.5, "std": None, "low": 0.45, "high": 0.55},
        "drop": {"value": 0.25, "low": 0.2, "high": 0.3, "p_value": 0.001, "share_above": 1.0},
    }
    common = {"train": place[0], "axes": {}, "seeds": list(case.seeds), "test": place[1], "base": base, "view": view}
    return {**common, "chance_mAP": 0.05, "masks": {"flagged": 2}, **numbers, "good_masks": numbers}


def _write_sets(case: Case, data: Path, folder: Path) -> None:
    """Pictures of `market` and `duke`, the manifest of `composite`, and its contact sheet."""
    for name in ("market", "duke", "composite"):
        (data / name / "query").mkdir(parents=True)
        (data / name / "bounding_box_test").mkdir()
        for row in range(4):
            picture = np.full((32, 16, 3), 60 * row, np.uint8)
            target = data / name / image_name(case.text, row)
            if "/" not in case.text and "\0" not in case.text and len(target.name) < 200:
                write_image(target, picture)
    header = make_header(Form("composite", 1, {}), {"foreground": "market", "background": "duke", "min_quality": 0.7})
    rows = [
        {"row": "image", "name": image_name(case.text, row), "split": split, "pid": row, "camid": 1}
        | {"status": status, "mask_quality": quality}
        for row, (split, status, quality) in enumerate(
            [("train", "ok", 0.9), ("train", "dropped", 0.3), ("query", "flagged", 0.6), ("gallery", "ok", 0.72)]
        )
    ]
    lines = b"".join(map(encode_row, [header, *rows]))
    (data / "composite" / "manifest.jsonl").write_bytes(lines)
    (folder / "sheets").mkdir()
    write_image(
        sheet_path(folder, {"digests": {}}, "composite", ("composite", "composite")),
        np.full((60, 90, 3), 200, np.uint8),
    )
