"""Values of the expected shape, or a ValueError that says where they are not."""

import pytest

from reid_data.shapes import MAX_DEPTH, file_name, parse_json, parse_toml, plain_name, require


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (5, int),
        (5, float),
        (5.5, float),
        (None, str | None),
        (["a", "b"], [str]),
        ([], [str]),
        ({"a": 1, "other": ()}, {"a": int, "b?": str}),
        ({"x": {"y": 1}}, {...: {...: int}}),
        ("query", frozenset({"query"})),
        ("a/b.jpg", file_name),
        ("\udcff.jpg", file_name),
        ("set", plain_name),
    ],
)
def test_what_fits(value, shape):
    require(value, shape)


@pytest.mark.parametrize(
    ("value", "shape", "says"),
    [
        (True, int, "it is true, expected a whole number"),
        (2**63, int, "it is 9223372036854775808, expected a whole number"),
        (5.0, int, "it is 5.0, expected a whole number"),
        ([], dict, "it is [], expected a table"),
        ({"a": [1, "x"]}, {"a": [int]}, 'a[1] is "x", expected a whole number'),
        ({"a": {"b": None}}, {"a": {"b": str | int}}, "a.b is null, expected text or a whole number"),
        ({}, {"a": int}, "a is missing"),
        ({"x": {}}, {...: {"y": int}}, "x.y is missing"),
        (["query"], frozenset({"query"}), 'it is ["query"], expected one of query'),
        ("../a", file_name, 'it is "../a", which lies outside the set'),
        ("a/b", plain_name, 'it is "a/b", expected a name without slashes'),
        (".", plain_name, 'it is ".", expected the name of a file'),
    ],
)
def test_what_does_not_fit_is_named(value, shape, says):
    with pytest.raises(ValueError) as error:
        require(value, shape)
    assert str(error.value) == says


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000, 1_000_000])
def test_depth_is_limited(depth):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * depth + "]" * depth)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(b'{"a":' * depth + b"1" + b"}" * depth)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_toml("a = " + "[" * min(depth, 10_000) + "]" * min(depth, 10_000))


def test_depth_that_is_allowed():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert repr(parse_json(text)) == text


def test_names_that_are_not_utf8_come_through_and_halves_of_characters_do_not():
    assert parse_json(rb'"a\udcff"') == "a\udcff"
    assert parse_json(rb'"\ud83d\ude00"') == "\U0001f600"
    for text in (rb'"\ud800"', rb'["\ude00"]', b'"\xed\xa0\x80"', b"\xff"):
        with pytest.raises(ValueError):
            parse_json(text)
