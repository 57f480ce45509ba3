"""What the report draws, against other ways to the same numbers."""

import math

import pytest

from reid_train.report import bars, charts
from reid_train.report.composites import composites
from reid_train.report.curves import cmc
from reid_train.report.evidence import read_evidence
from reid_train.report.heat import heat_map
from reid_train.report.scores import matrix_scores


def test_cmc_like_a_loop(plain):
    evidence = read_evidence(plain)
    results = evidence.results("market", "duke")
    curve = cmc(results)
    assert [rank for rank, _ in curve] == list(range(1, 21))
    for rank, share in curve:
        found = [sum(first <= rank for first in rows.first_match.tolist()) / len(rows.first_match) for rows in results]
        assert share == pytest.approx(sum(found) / 2)


def test_heat_map_colours_run_from_zero_to_the_next_ten(plain):
    evidence = read_evidence(plain)
    scores = matrix_scores(evidence.document)
    shown = heat_map(evidence, scores, "mAP")
    values = [square.score.value for _, squares in shown.rows for square in squares]
    assert shown.top - 10 <= 100 * max(values) < shown.top
    for _, squares in shown.rows:
        for square in squares:
            assert square.colour <= square.score.value * 100 / shown.top * 10 < square.colour + 1
    assert shown.chance == (0.05,) * 4


def test_composite_counts_and_quality(plain):
    shown, sheet = composites(read_evidence(plain), plain.parents[1] / "data", thumbs=True)
    assert [(one.name, one.foreground, one.background, one.limit, one.missing) for one in shown] == [
        ("composite", "market", "duke", 0.7, ())
    ]
    assert dict(shown[0].counts) == {"train": (1, 0, 1, 0), "query": (0, 1, 0, 0), "gallery": (1, 0, 0, 0)}
    assert shown[0].median == pytest.approx(0.66)
    assert [(row["split"], row["quality_from"], row["images"]) for row in sheet.as_records()] == [
        ("gallery", 0.7, 1),
        ("query", 0.6, 1),
        ("train", 0.3, 1),
        ("train", 0.9, 1),
    ]


def test_ticks_by_hand():
    assert charts.nice_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.nice_ticks(-12, 7) == pytest.approx([-10, -5, 0, 5])
    assert charts.nice_ticks(0.1, 100, log=True) == pytest.approx([0.1, 1, 10, 100])
    assert charts.nice_ticks(0.09, 0.6, log=True) == pytest.approx([0.1, 0.2, 0.5])
    assert charts.nice_ticks(0.5, 0.6, log=True) == pytest.approx([0.5, 0.52, 0.54, 0.56, 0.58, 0.6])


def test_a_line_lies_where_its_values_are():
    line = charts.Line("a", 9, [(1, 0.0), (2, math.nan), (3, 1.0)], [(1, 0.0, 0.5), (3, 0.5, 1.0)])
    chart = charts.line_chart("t", [line], labels=("x", "y"), limits=(0.0, 1.0))
    left, right, top, bottom = chart.left, chart.right, chart.top, chart.bottom
    middle = (top + bottom) / 2
    assert chart.lines[0].path == f"M{float(left)} {float(bottom)}L{float(right)} {float(top)}"
    assert chart.lines[0].band == (
        f"M{float(left)} {middle}L{float(right)} {float(top)}L{float(right)} {middle}L{float(left)} {float(bottom)}Z"
    )
    assert chart.lines[0].style == 9 % charts.NUM_STYLES
    assert [tick.text for tick in chart.x_ticks] == ["1", "2", "3"]
    assert charts.line_chart("t", [charts.Line("a", 0, [(1, math.nan)])], labels=("x", "y")) is None
    assert charts.line_chart("t", [charts.Line("a", 0, [(1, -1.0), (2, 0.0)])], labels=("x", "y"), log=True) is None


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-9, 1e9])
def test_one_point_or_equal_values_can_be_drawn(value):
    for points in ([(1, value)], [(1, value), (2, value)]):
        chart = charts.line_chart("t", [charts.Line("a", 0, points)], labels=("x", "y"))
        assert all(chart.top <= y <= chart.bottom for _, y, _ in chart.lines[0].dots)
        assert chart.y_ticks


def test_histogram_counts_every_value_once():
    shown = bars.histogram([("ok", [0.0, 0.04, 0.97, 1.0]), ("dropped", [0.01])], "quality", 0.7)
    filled = [column for column in shown.columns if column.parts]
    assert [column.says for column in filled] == ["0.00 to 0.05: ok 2, dropped 1", "0.95 to 1.00: ok 2"]
    heights = [[height for _, height, _ in column.parts] for column in filled]
    assert heights[0][0] == pytest.approx(2 * heights[0][1], abs=0.02)
    assert heights[1][0] == pytest.approx(heights[0][0])


def test_intervals_lie_on_their_axis():
    shown = bars.interval_chart([("a", 0, 2.0, 1.0, 3.0), ("b", 0, -1.0, None, None)], "points")
    first, second = shown.bars
    assert first.low < first.at < first.high
    assert first.at - first.low == pytest.approx(first.high - first.at, abs=0.02)
    assert second.at < shown.zero < first.low
    assert second.low is None
    assert bars.interval_chart([], "points") is None
