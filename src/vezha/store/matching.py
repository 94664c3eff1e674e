"""Label matchers against a dictionary of values: equality, sets, prefixes, expressions.

Expressions are anchored, `.` fits a newline, as in Prometheus 3. Most that dashboards send are
no real expressions: `a|b|c` is a set, `db-.*` a prefix, `.+` "is present"; these never reach
`re`. Rules: an absent label has the empty value, so a matcher that fits the empty value also
fits every series without the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from vezha.model.columns import Matcher, MatchOp
from vezha.store.limits import REGEX_CACHE_ENTRIES, REGEX_CHARS_MAX

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_LEADING_FLAGS = re.compile(r"\(\?([ims]+)\)")


@dataclass(frozen=True, slots=True)
class ValueTest:
    """What a matcher wants of a value.

    `values`: exactly these fit (None: ask `fits`). `negated` turns the answer round.
    """

    values: frozenset[str] | None
    fits: Callable[[str], bool]
    negated: bool

    def accepts(self, value: str) -> bool:
        """Whether *value* fits the matcher."""
        return self.fits(value) is not self.negated

    def accepted(self, values: Iterable[str]) -> list[str]:
        """Those of *values* that fit without regard to `negated`."""
        fits = self.fits
        return [v for v in values if fits(v)]


def value_test(matcher: Matcher) -> ValueTest:
    """The test of a matcher. Raises ValueError for an expression that cannot be compiled."""
    negated = matcher.op in (MatchOp.NE, MatchOp.NRE)
    if matcher.op in (MatchOp.EQ, MatchOp.NE):
        only = frozenset((matcher.value,))
        return ValueTest(only, only.__contains__, negated)
    values, fits = _expression(matcher.value)
    return ValueTest(values, fits, negated)


@lru_cache(REGEX_CACHE_ENTRIES)
def _expression(text: str) -> tuple[frozenset[str] | None, Callable[[str], bool]]:
    if len(text) > REGEX_CHARS_MAX:
        raise ValueError(f"an expression is longer than {REGEX_CHARS_MAX} characters")
    alternatives = _literals(text)
    if alternatives is not None:
        return alternatives, alternatives.__contains__
    if text == ".*":
        return None, lambda _: True
    if text == ".+":
        return None, bool
    prefix = text[:-2]
    if text.endswith(".*") and not _SPECIAL.search(prefix):
        return None, lambda value: value.startswith(prefix)
    if text.endswith(".+") and not _SPECIAL.search(prefix):
        return None, lambda value: value.startswith(prefix) and len(value) > len(prefix)
    match = re.compile(_as_python(text), re.DOTALL).fullmatch
    return None, lambda value: match(value) is not None


def _literals(text: str) -> frozenset[str] | None:
    """The set of texts that `a|b` or `(a|b)` fits, or None."""
    if text.startswith("(?:") and text.endswith(")"):
        text = text[3:-1]
    elif text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    parts = text.split("|")
    if any(_SPECIAL.search(_unescaped(part)) for part in parts):
        return None
    return frozenset(part.replace("\\.", ".").replace("\\-", "-") for part in parts)


def _unescaped(part: str) -> str:
    return part.replace("\\.", "").replace("\\-", "")


def _as_python(text: str) -> str:
    """RE2's spelling as `re` wants it: end of text, flags in front."""
    text = text.replace("\\z", "\\Z")
    flags = "".join(_LEADING_FLAGS.findall(text))
    if flags:
        text = _LEADING_FLAGS.sub("", text)
        return f"(?{''.join(sorted(set(flags)))}:{text})"
    return text
