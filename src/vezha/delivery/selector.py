"""Which hosts: label matchers as PromQL writes them, fitted against hosts. Pure.

    instance="db-1"          {role=~"db|web", site!="lviv"}

A host's labels are those that people gave it, and `instance`, its name. A host to which nobody gave
a label is in no group: it is only meant by a matcher that names its instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vezha.delivery.errors import SpecError
from vezha.delivery.limits import MATCHERS_MAX, SELECTOR_CHARS_MAX
from vezha.model.columns import Matcher, MatchOp
from vezha.query.ast import VectorSelector
from vezha.query.errors import ParseError
from vezha.query.parser import parse
from vezha.query.regex import Fullmatch, RegexError, compile_matcher

INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Selector:
    """Matchers, all of which must fit; without any it fits every host that is in a group."""

    text: str
    matchers: tuple[Matcher, ...]
    patterns: tuple[Fullmatch | None, ...]

    def fits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether the host *name* with *labels* is meant."""
        if not labels and not self.names_hosts:
            return False
        return self.covers(name, labels)

    def covers(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether all matchers fit, whatever group the host is in: for what keeps changes out."""
        for matcher, pattern in zip(self.matchers, self.patterns, strict=True):
            value = name if matcher.name == INSTANCE else labels.get(matcher.name, "")
            if pattern is None:
                fits = value == matcher.value
            else:
                fits = pattern.fullmatch(value) is not None
            if fits != (matcher.op in (MatchOp.EQ, MatchOp.RE)):
                return False
        return True

    @property
    def names_hosts(self) -> bool:
        """Whether a matcher asks for an instance, so that hosts without labels are meant, too."""
        return any(
            m.name == INSTANCE and m.op in (MatchOp.EQ, MatchOp.RE) and m.value not in ("", ".*")
            for m in self.matchers
        )


def parse_selector(text: str) -> Selector:
    """The selector that *text* writes; empty text or `{}` is every host that is in a group.

    Raises SpecError.
    """
    inner = text.strip()
    if len(inner) > SELECTOR_CHARS_MAX:
        raise SpecError(f"a selector has at most {SELECTOR_CHARS_MAX} characters")
    if not inner.startswith("{"):
        inner = "{" + inner + "}"
    if inner[1:-1].strip() == "" and inner.endswith("}"):
        return Selector("{}", (), ())
    # PromQL refuses selectors that fit everything; a name makes any of ours one of its own
    try:
        tree = parse("vezha_host" + inner)
    except ParseError as fault:
        raise SpecError(
            f'"{text}" is not a selector ({fault}); write for example role="db", site!="lviv"'
        ) from None
    if not isinstance(tree, VectorSelector) or tree.offset or tree.at is not None:
        raise SpecError(f'"{text}" is not a selector; write for example role="db"')
    matchers = tuple(m for m in tree.matchers if m.name != "__name__")
    if len(matchers) > MATCHERS_MAX:
        raise SpecError(f"a selector has at most {MATCHERS_MAX} matchers")
    patterns: list[Fullmatch | None] = []
    for matcher in matchers:
        if matcher.op in (MatchOp.EQ, MatchOp.NE):
            patterns.append(None)
            continue
        try:
            patterns.append(compile_matcher(matcher.value))
        except RegexError as fault:
            raise SpecError(f'"{matcher.value}" is not a pattern: {fault}') from None
    return Selector(inner, matchers, tuple(patterns))
