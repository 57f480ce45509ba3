"""The report in a few sentences: what trains best on each test set, and what compositing did."""

from collections.abc import Mapping, Sequence
from typing import Any

from reid_train.report.differences import Finding
from reid_train.report.evidence import Evidence
from reid_train.report.reliance import Reliance, split_diagnostic
from reid_train.report.scores import Score, Scores


def in_short(
    evidence: Evidence, scores: Scores, findings: Sequence[Finding], reliances: Sequence[Reliance]
) -> dict[str, list[str]]:
    """Sentences under headings, most important first; headings without any are left out."""
    best = [text for test in evidence.columns if (text := _best(test, evidence, scores, findings))]
    said = {
        "What compositing does": _compositing(evidence, findings),
        "Which training is best": best,
        "Background reliance": [one.words for one in reliances],
    }
    return {heading: texts for heading, texts in said.items() if texts}


def _best(test: str, evidence: Evidence, scores: Scores, findings: Sequence[Finding]) -> str:
    """Which row is best on a test set, and whether the second is really behind; nothing for a single row."""
    known = [(score.value, row) for row in evidence.rows if (score := scores[row, test, "mAP"]).value is not None]
    if len(known) < 2:
        return ""
    (_, best), (_, second) = sorted(known, key=lambda pair: -pair[0])[:2]
    start = f"On {test}, {best} comes first with {percent_words(scores[best, test, 'mAP'])} mAP"
    pair = next((one for one in findings if one.test == test and {one.first, one.second} == {best, second}), None)
    if pair is None:
        return f"{start}, before {second}."
    gap = abs(100 * pair.difference.value)
    if pair.verdict in ("undecided", "unknown"):
        return f"{start}; that it is ahead of {second} by {gap:.1f} points may be chance."
    return f"{start}, {gap:.1f} points ahead of {second}: more than chance."


def percent_words(score: Score) -> str:
    """`41.2 % (95 % interval 38.0 to 44.1)`."""
    if score.value is None:
        return "-"
    limits = (
        ""
        if score.low is None or score.high is None
        else f" (95 % interval {100 * score.low:.1f} to {100 * score.high:.1f})"
    )
    return f"{100 * score.value:.1f} %{limits}"


def _compositing(evidence: Evidence, findings: Sequence[Finding]) -> list[str]:
    """For each composite whose foreground set was trained on, too: did it cost in-domain, did it help elsewhere?"""
    said = []
    for composite, parent in _composite_rows(evidence.document):
        for pair in sorted(findings, key=lambda one: (one.test != parent, split_diagnostic(one.test) is None)):
            if {pair.first, pair.second} == {composite, parent}:
                said.append(_effect(composite, parent, pair.test, pair))
    return said


def _composite_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows trained on one composite, each with the name of its foreground set."""
    pairs = []
    for row in document["trainings"]:
        card = row["sets"][0] if len(row["sets"]) == 1 else {}
        if card.get("kind") == "composite" and card.get("parents") and not row["axes"]:
            pairs.append((row["train"], card["parents"][0]["name"]))
    return list(dict.fromkeys(pairs))


def _effect(composite: str, parent: str, test: str, pair: Finding) -> str:
    split = split_diagnostic(test)
    if test == parent:
        where = f"in-domain, on {test}"
    elif test == composite:
        where = f"on {test} itself"
    elif split and split[0] == parent and split[1].startswith("swap:"):
        where = f"under swapped backgrounds, on {test}"
    elif split:
        where = f"on the diagnostic {test}"
    else:
        where = f"in transfer, on {test}"
    gap = pair.difference if pair.first == composite else None
    value = gap.value if gap else -pair.difference.value
    low, high = (gap.low, gap.high) if gap else (-pair.difference.high, -pair.difference.low)
    numbers = f"{100 * value:+.1f} points of mAP, 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    if pair.verdict in ("undecided", "unknown"):
        return (
            f"Training on {composite} in place of {parent} makes no difference that can be claimed {where} ({numbers})."
        )
    verb = "helps" if value > 0 else "hurts"
    return f"Training on {composite} in place of {parent} {verb} {where} ({numbers})."
