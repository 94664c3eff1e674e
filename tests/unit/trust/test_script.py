"""A script's signed description, and parameters against it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.trust.errors import Refused
from vezha.trust.script import script_of, values_of

CUSTOM: dict[str, Any] = {
    "interpreter": ["/bin/sh"],
    "timeout_s": 5,
    "arguments": ["unit"],
    "parameters": [
        {"name": "unit", "type": "text", "pattern": "[a-z-]+", "chars_max": 20},
        {"name": "tries", "type": "whole", "low": 1, "high": 3, "default": 1},
        {"name": "how", "type": "choice", "choices": ["reload", "restart"], "default": "reload"},
        {"name": "loud", "type": "flag", "default": False},
    ],
}


def test_values_with_defaults() -> None:
    script = script_of(CUSTOM)
    assert values_of(script, {"unit": "nginx", "loud": True}) == {
        "unit": "nginx",
        "tries": "1",
        "how": "reload",
        "loud": "1",
    }


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "unit is missing"),
        ({"unit": "nginx; rm -rf /"}, "pattern"),
        ({"unit": "a" * 30}, "too long"),
        ({"unit": "a\0b"}, "text"),
        ({"unit": "a", "tries": 9}, "1 to 3"),
        ({"unit": "a", "tries": True}, "whole"),
        ({"unit": "a", "how": "kill"}, "one of"),
        ({"unit": "a", "loud": "yes"}, "true or false"),
        ({"unit": "a", "shell": "x"}, "no parameter"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        values_of(script_of(CUSTOM), wrong)
    assert caught.value.code == "bad_params"


@pytest.mark.parametrize(
    "wrong",
    [
        {"interpreter": "sh"},
        {"interpreter": ["sh"]},
        {"timeout_s": 0},
        {"timeout_s": 1.5},
        {"timeout_s": 10**9},
        {"output_bytes_max": 1 << 30},
        {"user": 3},
        {"sudo": True},
        {"arguments": ["other"]},
        {"parameters": [{"name": "A", "type": "text"}]},
        {"parameters": [{"name": "a", "type": "shell"}]},
        {"parameters": [{"name": "a", "type": "text", "low": 3}]},
        {"parameters": [{"name": "a", "type": "text", "pattern": "("}]},
        {"parameters": [{"name": "a", "type": "flag", "default": 3}]},
        {"parameters": [{"name": "a", "type": "flag"}] * 2},
        {"parameters": [{"name": "a", "type": "choice", "choices": []}]},
    ],
)
def test_a_wrong_description_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        script_of({**CUSTOM, "arguments": [], **wrong})
    assert caught.value.code == "malformed"


@given(st.text(max_size=30))
def test_nothing_but_the_pattern_comes_through(text: str) -> None:
    try:
        value = values_of(script_of(CUSTOM), {"unit": text})["unit"]
    except Refused:
        return
    assert set(value) <= set("abcdefghijklmnopqrstuvwxyz-")
    assert 0 < len(value) <= 20
