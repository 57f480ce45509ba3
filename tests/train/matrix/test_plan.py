"""The plan of a grid."""

import pytest

from reid_data.errors import UsageError
from reid_train.matrix.plan import Part, make_plan, union_parts
from reid_train.settings.train import TrainSettings

BASE = TrainSettings(weights="none", backbone="resnet18")


def test_plan_is_the_product_in_the_order_of_the_flags():
    plan = make_plan(["a", "b"], ["x"], BASE, [0, 1], {"temperature": ["0.05", "0.1"]})
    assert [(row.train, row.settings.temperature, row.settings.seed) for row in plan.trainings] == [
        (train, temperature, seed) for train in "ab" for temperature in (0.05, 0.1) for seed in (0, 1)
    ]
    assert plan.trainings[0].axes == (("temperature", 0.05),)
    assert plan.trainings[0].label == "a, temperature=0.05, seed 0"
    assert plan.trainings[0].settings.replace(temperature=0.1) == BASE


def test_unions():
    assert union_parts(r"a\+b+c\+:0.5") == (Part("a+b"), Part("c+", 0.5))
    assert union_parts("market+composite:0.3") == (Part("market"), Part("composite", 0.3))
    for text in ("", "a+", "a:0", "a:2", "a:x", "a+a"):
        with pytest.raises(UsageError):
            union_parts(text)


@pytest.mark.parametrize(
    ("trains", "tests", "axes", "message"),
    [
        ([], ["x"], {}, "--train names no data set"),
        (["a"], [], {}, "--test names no data set"),
        (["a", "a"], ["x"], {}, "more than once"),
        (["a"], ["x"], {"temperature": ["0.1", "0.1"]}, "expected different values"),
        (["a"], ["x"], {"temperature": ["0.1", "0.10"]}, "expected different values"),
        (["a"], ["x"], {"temprature": ["0.1"]}, "Did you mean 'temperature'"),
        (["a"], ["x"], {"flip_test": ["true", "false"]}, "an axis of the grid is a setting of the training"),
    ],
)
def test_plans_that_cannot_be_meant(trains, tests, axes, message):
    with pytest.raises(UsageError, match=message):
        make_plan(trains, tests, BASE, axes=axes)
