"""The page of error messages says what the code says."""

import re
from pathlib import Path

import pytest

from tests.house.errors_page import KINDS, exit_codes, in_code, messages, messages_of, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_code():
    written = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m tests.house.errors_page > docs/errors.md"


def test_messages_are_found_wherever_they_are_made():
    source = """
def first(path):
    try:
        pass
    except OSError as error:
        raise EnvironmentFault(f"cannot write '{printable(path)}': {error.strerror}. " + "Free space.") from error
    return InputError("no images" if path else f"{len(path)} images")
def second(name):
    raise unknown_name("blend", name, BLENDS)
    raise ValueError("ours")
    raise UsageError(f"expected one of {', '.join(names)}, got {found[0]}")
"""
    assert messages_of(source) == [
        ("EnvironmentFault", "cannot write '{path}': {strerror}. Free space."),
        ("InputError", "(no images | {number} images)"),
        ("UsageError", "unknown blend '{name}'. Choose one of: {names}."),
        ("UsageError", "expected one of {list}, got {...}"),
    ]


def test_a_message_that_is_raised_is_on_the_page():
    from reid_data.datasets import load_dataset
    from reid_data.errors import InputError

    with pytest.raises(InputError) as caught:
        load_dataset("/nowhere/at/all", Path("data"))
    forms = [re.escape(text).replace(re.escape("{path}"), ".*") for _, kind, text in messages() if kind == "InputError"]
    assert any(re.fullmatch(form, str(caught.value)) for form in forms), caught.value


def test_every_message_is_a_sentence():
    """It ends with a full stop, a value that may end with one, or a command to copy; those of a picture follow its name."""
    end = r"([.})]|: reid-(data|train) [a-z ]+)$"
    endless = [text for _, kind, text in messages() if kind in KINDS and not re.search(end, text)]
    assert endless == []


def test_the_front_page_has_the_same_exit_codes():
    front = (ROOT / "README.md").read_text(encoding="utf-8").split("Exit codes: ")[1].split("\n\n")[0]
    assert [int(code) for code in re.findall(r"(?:^|[, ])(\d+) ", front)] == [code for code, _ in exit_codes()]


def test_code_with_backticks_stays_one_span():
    assert in_code("the extra `timm`\n is missing") == "`` the extra `timm`  is missing ``"
