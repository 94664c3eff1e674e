"""RE2 patterns: rewritten for Python, refused where RE2 refuses, never slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.query.regex import RegexError, compile_matcher, compile_regex, translate
from vezha.query.regex_linear import LinearPattern, is_doubtful


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("pro.*", "production", "a production"),
        ("((?i)PRO).*", "production", "roduction"),
        ("a(?i)b|c", "aB", "Ab"),
        (".*(?i:DUC).*?", "production", "canary"),
        (r"\d+", "123", "１２"),
        ("[[:alpha:]]+", "abc", "a1"),
        (r"\Qa.b\E+", "a.b", "aab"),
        (r"a\z", "a", "a\n"),
        ("a$", "a", "a\n"),
        (".+", "a\nb", ""),
        (r"\x{41}", "A", "B"),
        ("(?P<x>a)|b", "b", "c"),
        ("(?s-i:a.)", "a\n", "A\n"),
        ("[^]a]", "b", "a"),
    ],
)
def test_patterns(pattern: str, fitting: str, other: str) -> None:
    for compiled in (compile_matcher(pattern), LinearPattern(translate(pattern))):
        assert compiled.fullmatch(fitting)
        assert not compiled.fullmatch(other)


@pytest.mark.parametrize(
    "pattern", ["(", ")", "[", "a**", r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", "\\", "(?P=x)", "a++"]
)
def test_refused_patterns(pattern: str) -> None:
    with pytest.raises(RegexError):
        compile_regex(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|a)*", "(a|aa)+", "(.*)*x", ".*a.*a.*a.*a.*a", "(x+x+)+y"]
)
def test_doubtful_patterns_take_linear_time(pattern: str) -> None:
    assert is_doubtful(translate(pattern))
    compiled = compile_matcher(pattern)
    assert isinstance(compiled, LinearPattern)
    assert not compiled.fullmatch("a" * 3_000 + "!")


@pytest.mark.parametrize(
    "pattern", [".*", "node-.+", "(a|b|c)", "a.*b.*c", "(db|web)-[0-9]+", "a{3}"]
)
def test_usual_patterns_stay_with_re(pattern: str) -> None:
    assert isinstance(compile_matcher(pattern), re.Pattern)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "(a|b)",
        "(ab)",
        "a*",
        "b+",
        "a?",
        "(a|b)*",
        "a{1,2}",
        "(?i:A)",
        "()",
    ]
)


@given(st.lists(PIECES, max_size=6).map("".join), st.text("abA", max_size=8))
def test_both_ways_agree(pattern: str, text: str) -> None:
    wanted = re.compile(translate(pattern), re.DOTALL).fullmatch(text) is not None
    assert bool(LinearPattern(translate(pattern)).fullmatch(text)) is wanted
