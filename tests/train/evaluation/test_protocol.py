"""Protocols, single-gallery-shot, and bad input in the user's words."""

import logging

import numpy as np
import pytest

from reid_data.errors import InputError, UsageError
from reid_train.evaluation import single_shot
from reid_train.evaluation.protocol import chance_map, evaluate
from reid_train.evaluation.rerank import RerankSettings
from tests.train.evaluation import oracle

RNG = np.random.default_rng(0)


def good(num_query=5, num_gallery=30, width=6):
    rng = np.random.default_rng(1)
    return [
        rng.standard_normal((num_query, width)).astype(np.float32), np.arange(num_query) % 4 + 1, np.zeros(num_query, int),
        rng.standard_normal((num_gallery, width)).astype(np.float32), np.arange(num_gallery) % 5, np.ones(num_gallery, int),
    ]  # fmt: skip


def changed(place, value):
    arrays = good()
    arrays[place] = value
    return arrays


def with_value(place, row, value):
    arrays = good()
    arrays[place] = arrays[place].copy()
    arrays[place][row] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (with_value(0, 3, np.nan), r"1 of 5 query features are NaN, infinite or huge .* row 3"),
        (with_value(3, 17, np.inf), r"1 of 30 gallery features are NaN, infinite or huge .* row 17"),
        (with_value(3, 8, 2e38), r"gallery features are NaN, infinite or huge .* row 8"),
        (changed(0, np.ones((5, 7), np.float32)), r"7 wide, gallery features 6.*one model"),
        (changed(0, np.ones(5, np.float32)), r"query features must be a table"),
        (changed(3, np.full((30, 6), "a")), r"gallery features must be real numbers; got <U1"),
        (changed(3, np.ones((30, 0))), r"gallery features must be a table .*\(30, 0\)"),
        (changed(1, np.arange(4)), r"query: 5 features but pids of shape \(4,\)"),
        (changed(5, np.arange(31)), r"gallery: 30 features but camids of shape \(31,\)"),
        (changed(4, np.linspace(0, 1, 30)), r"gallery pids must be whole numbers; got float64"),
        (changed(1, np.full(5, 77)), r"no identity is in both query and gallery"),
        (changed(1, np.zeros(5, int)), r"no query has a valid match"),
        (changed(5, np.zeros(30, int)), r"every image has camera 0.*--protocol no-camera"),
        (changed(2, np.full(5, 1)), r"every image has camera 1"),
        ([*good()[:3], np.empty((0, 6), np.float32), np.empty(0, int), np.empty(0, int)], r"the gallery is empty"),
        ([np.empty((0, 6), np.float32), np.empty(0, int), np.empty(0, int), *good()[3:]], r"the query is empty"),
        (changed(4, np.full(30, -1)), r"no query has a valid match"),
    ],
)
def test_bad_input_is_refused_in_the_users_words(arrays, words):
    with pytest.raises(InputError, match=words):
        evaluate(*arrays)


def test_own_camera_everywhere_but_several_cameras():
    arrays = good()
    arrays[2], arrays[5] = arrays[1] * 10, arrays[4] * 10
    with pytest.raises(InputError, match="every right gallery image comes from its query's own camera"):
        evaluate(*arrays)
    assert evaluate(*arrays, protocol="no-camera").metrics()["queries_without_match"] == 0


@pytest.mark.parametrize(
    "options",
    [{"metric": "cosin"}, {"protocol": "standrad"}, {"ap": "steps"}, {"block": 0}, {"ranks": (0,)}, {"ranks": ()}],
)
def test_unknown_names_and_senseless_numbers_are_refused(options):
    with pytest.raises(UsageError):
        evaluate(*good(), **options)


def test_zero_vectors_are_warned_about_and_ranked_last_among_equals(caplog):
    arrays = with_value(3, slice(4, 7), 0)
    arrays[0][1] = 0
    with caplog.at_level(logging.WARNING):
        result = evaluate(*arrays)
    assert [w.split(":")[0] for w in result.warnings] == [
        "1 of 5 query features are all zero",
        "3 of 30 gallery features are all zero",
    ]
    assert [record.message for record in caplog.records] == list(result.warnings)
    np.testing.assert_allclose(result.ap, oracle.evaluate(*arrays)[0])
    assert evaluate(*arrays, metric="euclidean").warnings == ()


def test_one_query_and_one_gallery_image():
    result = evaluate(np.ones((1, 3)), np.array([1]), np.array([0]), np.ones((1, 3)), np.array([1]), np.array([1]))
    assert result.metrics()["mAP"] == 1.0
    assert result.cmc[0] == 1.0


def test_features_of_junk_are_never_looked_at():
    arrays = good()
    wanted = evaluate(*arrays).ap
    junk = np.full((3, 6), np.nan, np.float32)
    more = [*arrays[:3], np.vstack([junk, arrays[3]]), np.r_[[-1] * 3, arrays[4]], np.r_[[1] * 3, arrays[5]]]
    np.testing.assert_array_equal(evaluate(*more).ap, wanted)


def single_shot_by_hand(arrays, draws, seed):
    """Mean AP (1 / rank) over random galleries with one image per identity, in plain Python."""
    q, qp, qc, g, gp, gc = arrays
    rng = np.random.default_rng(seed)
    found = []
    for i in range(len(q)):
        values = []
        for _ in range(draws):
            kept = [j for j in range(len(g)) if gp[j] != -1 and not (gp[j] == qp[i] and gc[j] == qc[i])]
            people = sorted({gp[j] for j in kept} - {0})
            chosen = [j for j in kept if gp[j] == 0] + [rng.choice([j for j in kept if gp[j] == p]) for p in people]
            right = oracle.ranking(q[i].tolist(), qp[i], qc[i], g[chosen].tolist(), gp[chosen], gc[chosen])
            values.append(oracle.numbers(right)[0])
        found.append(np.mean(values))
    return np.array(found)


def test_single_gallery_shot_like_drawing_by_hand():
    rng = np.random.default_rng(3)
    arrays = [
        rng.standard_normal((6, 5)), np.array([1, 2, 3, 4, 1, 2]), np.array([0, 0, 0, 0, 1, 1]),
        rng.standard_normal((40, 5)), rng.integers(-1, 7, 40), rng.integers(0, 2, 40),
    ]  # fmt: skip
    drawn = np.stack([evaluate(*arrays, protocol="cuhk03", seed=seed).ap for seed in range(5)])
    by_hand = single_shot_by_hand(arrays, 500, 9)
    np.testing.assert_array_equal(np.isnan(drawn[0]), np.isnan(by_hand))
    np.testing.assert_allclose(drawn.mean(0), by_hand, atol=0.06)
    assert (evaluate(*arrays, protocol="cuhk03", seed=3).ap == drawn[3])[~np.isnan(by_hand)].all()


def test_single_gallery_shot_worked_by_hand():
    # one right image (.8, always drawn), identity 2 has images at .9 and .1, the distractor stands at .5
    arrays = [
        np.array([[1.0, 0.0]]),
        np.array([1]),
        np.array([0]),
        None,
        np.array([1, 2, 2, 0]),
        np.array([1, 1, 1, 1]),
    ]
    arrays[3] = np.array([[s, np.sqrt(1 - s * s)] for s in (0.8, 0.9, 0.1, 0.5)])
    result = evaluate(*arrays, protocol="cuhk03", seed=1)
    assert result.ap[0] == pytest.approx(0.75, abs=0.15)  # rank 2 when .9 is drawn, else rank 1
    assert result.ap[0] == pytest.approx(0.5 + result.hits[0, 0] / 2)
    assert result.hits[0, 1] == 1.0
    arrays[4] = np.array([1, 2, 2, 2])
    arrays[3][:] = [1.0, 0.0]
    assert evaluate(*arrays, protocol="cuhk03").ap[0] == 0.5  # a tie counts against the match


@pytest.mark.parametrize("block", [1, 2**21])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("rerank", [None, RerankSettings(5, 2, 0.4)])
def test_with_one_image_of_everybody_single_gallery_shot_is_the_standard_protocol(monkeypatch, metric, rerank, block):
    monkeypatch.setattr(single_shot, "_SCORES", block)
    monkeypatch.setattr(single_shot, "_COLUMNS", 7)
    rng = np.random.default_rng(11)
    people = np.r_[np.arange(1, 21), [0] * 6]
    places = rng.integers(-2, 3, (26, 3))  # few places: many ties
    arrays = [
        (places[:12] + rng.integers(0, 2, (12, 3))) * 1e-3, people[:12], np.zeros(12, int),
        places * rng.choice([1e-3, 1.0, 1e3], (26, 1)), people, np.ones(26, int),
    ]  # fmt: skip
    arrays[0][:, 0] += 1e-3 * (abs(arrays[0]).sum(1) == 0)
    arrays[3][4] = 0
    standard = evaluate(*arrays, metric=metric, rerank=rerank)
    single = evaluate(*arrays, metric=metric, rerank=rerank, protocol="cuhk03")
    np.testing.assert_allclose(single.ap, standard.ap, rtol=1e-12)
    assert single.warnings == standard.warnings
    assert any("1 of 26" in warning for warning in single.warnings) == (metric == "cosine")


def test_chance_refuses_what_it_cannot_say():
    _, qp, qc, _, gp, gc = good()
    with pytest.raises(UsageError, match="protocol for the chance level"):
        chance_map(qp, qc, gp, gc, protocol="cuhk03")
    assert 0 < chance_map(qp, qc, gp, gc) < chance_map(qp, qc, np.tile([1, 2, 3], 10), gc) < 1


def test_queries_of_nobody_are_said():
    arrays = good()
    arrays[1] = np.array([0, 1, 2, 3, 0])
    result = evaluate(*arrays)
    assert any("2 of 5 queries have pid 0" in warning for warning in result.warnings)
