"""The chance level against what it stands for: the mean mAP of 200 random rankings under the same protocol."""

import numpy as np

from reid_train.evaluation.protocol import chance_map, evaluate


def test_chance_is_the_mean_of_random_rankings():
    rng = np.random.default_rng(0)
    query_pids, query_camids = rng.integers(1, 9, 20), rng.integers(1, 4, 20)
    gallery_pids, gallery_camids = rng.integers(-1, 9, 150), rng.integers(1, 4, 150)
    found = []
    for _ in range(200):
        query, gallery = rng.normal(size=(20, 64)), rng.normal(size=(150, 64))
        result = evaluate(query, query_pids, query_camids, gallery, gallery_pids, gallery_camids)
        found.append(result.metrics()["mAP"])
    error = np.std(found) / np.sqrt(len(found))
    expected = chance_map(query_pids, query_camids, gallery_pids, gallery_camids)
    assert abs(np.mean(found) - expected) < 4 * error
    assert 4 * error < 0.1 * expected
