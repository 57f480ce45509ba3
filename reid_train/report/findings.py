"""The report in a few sentences: what trains best on each test set, and what compositing did."""

from collections.abc import Sequence
from dataclasses import dataclass

from reid_train.evaluation.compare import LEVEL
from reid_train.report.differences import Finding, composite_pairs, signed_points
from reid_train.report.evidence import Evidence
from reid_train.report.reliance import Reliance, split_diagnostic
from reid_train.report.scores import Score, Scores


@dataclass(frozen=True)
class Said:
    """A sentence; `firm` if it claims something that is more than chance."""

    text: str
    firm: bool = True


def in_short(
    evidence: Evidence, scores: Scores, findings: Sequence[Finding], reliances: Sequence[Reliance]
) -> dict[str, list[Said]]:
    """Sentences under headings, most important first; headings without any are left out."""
    best = [
        one
        for test in evidence.columns
        if not split_diagnostic(test) and (one := _best(test, evidence, scores, findings))
    ]
    said = {
        "What compositing does": _compositing(evidence, findings),
        "Which training is best": best,
        "Background reliance": [Said(one.words) for one in reliances],
    }
    return {heading: sentences for heading, sentences in said.items() if sentences}


def _best(test: str, evidence: Evidence, scores: Scores, findings: Sequence[Finding]) -> Said | None:
    """Which row is best on a test set, and whether the second is really behind; None for a single row."""
    known = [(score.value, row) for row in evidence.rows if (score := scores[row, test, "mAP"]).value is not None]
    if len(known) < 2:
        return None
    (_, best), (_, second) = sorted(known, key=lambda pair: -pair[0])[:2]
    start = f"On {test}, {best} comes first with {percent_words(scores[best, test, 'mAP'])} mAP"
    pair = next((one for one in findings if one.test == test and {one.first, one.second} == {best, second}), None)
    if pair is None:
        return Said(f"{start}, before {second}.", False)
    gap = abs(100 * pair.difference.value)
    if pair.verdict in ("undecided", "unknown"):
        return Said(f"{start}; that it is ahead of {second} by {gap:.1f} points may be chance.", False)
    return Said(f"{start}, {gap:.1f} points ahead of {second}: more than chance.{_caveat(pair)}", _is_firm(pair))


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


def _compositing(evidence: Evidence, findings: Sequence[Finding]) -> list[Said]:
    """For each composite whose foreground set was trained on, too: did it cost in-domain, did it help elsewhere?"""
    said = []
    for composite, parent in composite_pairs(evidence.document):
        for pair in sorted(findings, key=lambda one: (one.test != parent, split_diagnostic(one.test) is None)):
            view = split_diagnostic(pair.test)
            if {pair.first, pair.second} == {composite, parent} and (not view or view[1].startswith("swap:")):
                said.append(_effect(composite, parent, pair.test, pair))
    return said


def _effect(composite: str, parent: str, test: str, pair: Finding) -> Said:
    split = split_diagnostic(test)
    if test == parent:
        where = f"in-domain, on {test}"
    elif test == composite:
        where = f"on {test} itself"
    elif split:
        where = f"under swapped backgrounds, on {test}"
    else:
        where = f"in transfer, on {test}"
    turn = 1 if pair.first == composite else -1
    gap = pair.difference
    value, (low, high) = turn * gap.value, sorted((turn * gap.low, turn * gap.high))
    numbers = (
        f"{signed_points(value)} points of mAP, 95 % interval {signed_points(low)} to {signed_points(high)}"
        if pair.verdict != "unknown"
        else f"{signed_points(value)} points of mAP, of one person alone"
    )
    if pair.verdict in ("undecided", "unknown"):
        claim = "makes no difference that can be claimed"
        return Said(f"Training on {composite} in place of {parent} {claim} {where} ({numbers}).", False)
    verb = "helps" if value > 0 else "hurts"
    text = f"Training on {composite} in place of {parent} {verb} {where} ({numbers}).{_caveat(pair)}"
    return Said(text, _is_firm(pair))


def _is_firm(pair: Finding) -> bool:
    return pair.verdict in ("first", "second") and pair.holm < LEVEL


def _caveat(pair: Finding) -> str:
    """What a difference that is more than chance still leaves open."""
    open_ends = []
    if pair.seeds == (1, 1):
        open_ends.append("these are single trainings, another seed may say otherwise")
    if not _is_firm(pair):
        open_ends.append("it does not hold after correction for the number of comparisons")
    return f" But {', and '.join(open_ends)}." if open_ends else ""
