"""Matching in linear time, for patterns on which Python's backtracking could run for ages.

A pattern such as `(a+)+` is answered by a set of states that moves over the text once. Slower
than `re` for harmless patterns, so only doubtful ones come here (see `is_doubtful`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from re import _constants as sre  # type: ignore[attr-defined]  # isort: skip
from re import _parser as sre_parser  # type: ignore[attr-defined]  # isort: skip

INSTRUCTIONS_MAX = 20_000
"""Size of a compiled pattern; counted repetitions are written out."""

REPEATS_MAX = 4
"""Endless repetitions beside each other that backtracking may still be trusted with."""

_MANY = 16

Test = Callable[[str], bool]


class TooLarge(ValueError):
    """The pattern needs more than INSTRUCTIONS_MAX instructions."""


def is_doubtful(pattern: str) -> bool:
    """Whether backtracking on *pattern* (Python's spelling) may take exponential time."""
    return _repeats(sre_parser.parse(pattern, re.DOTALL)) > REPEATS_MAX


def _repeats(nodes: Any) -> int:
    """Endless repetitions along one path; those inside others weigh more than any limit."""
    total = 0
    for op, value in nodes:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            _, most, inner = value
            inside = _repeats(inner)
            if most >= _MANY:
                total += 1 + inside * 100 + (100 if _has_branch(inner) else 0)
            else:
                total += inside * int(most)
        elif op is sre.SUBPATTERN:
            total += _repeats(value[3])
        elif op is sre.BRANCH:
            total += max((_repeats(part) for part in value[1]), default=0)
    return total


def _has_branch(nodes: Any) -> bool:
    return any(
        op is sre.BRANCH or (op is sre.SUBPATTERN and _has_branch(value[3])) for op, value in nodes
    )


class LinearPattern:
    """Has `fullmatch` like a compiled pattern, but without groups."""

    def __init__(self, pattern: str) -> None:
        self._tests: list[Test | None] = []
        self._next: list[list[int]] = []
        self._edges: dict[int, str] = {}
        parsed = sre_parser.parse(pattern, re.DOTALL)
        start = self._node()
        self._end = self._sequence(parsed, start, bool(parsed.state.flags & re.IGNORECASE))
        self._start = start

    def fullmatch(self, text: str) -> bool | None:
        """True where the whole *text* fits, else None."""
        states = self._closure({self._start}, "", text[:1])
        for at, char in enumerate(text):
            moved: set[int] = set()
            for state in states:
                test = self._tests[state]
                if test is not None and test(char):
                    moved.update(self._next[state])
            states = self._closure(moved, char, text[at + 1 : at + 2])
            if not states:
                return None
        return True if self._end in states else None

    def _closure(self, states: set[int], before: str, after: str) -> set[int]:
        seen: set[int] = set()
        stack = list(states)
        while stack:
            state = stack.pop()
            if state in seen:
                continue
            edge = self._edges.get(state)
            if edge is not None and not _holds(edge, before, after):
                continue
            seen.add(state)
            if self._tests[state] is None:
                stack.extend(self._next[state])
        return seen

    # Building: states without a test are passed for free.

    def _node(self, test: Test | None = None) -> int:
        if len(self._tests) >= INSTRUCTIONS_MAX:
            raise TooLarge("expression is too large")
        self._tests.append(test)
        self._next.append([])
        return len(self._tests) - 1

    def _sequence(self, nodes: Any, start: int, fold: bool) -> int:
        for op, value in nodes:
            start = self._part(op, value, start, fold)
        return start

    def _part(self, op: Any, value: Any, start: int, fold: bool) -> int:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(value, start, fold)
        if op is sre.SUBPATTERN:
            _, on, off, inner = value
            return self._sequence(
                inner, start, (fold or bool(on & re.IGNORECASE)) and not off & re.IGNORECASE
            )
        end = self._node()
        if op is sre.BRANCH:
            for part in value[1]:
                entry = self._node()
                self._next[start].append(entry)
                self._next[self._sequence(part, entry, fold)].append(end)
            return end
        if op is sre.AT:
            self._next[start].append(end)
            self._edges[end] = str(value)
            return end
        state = self._node(_test(op, value, fold))
        self._next[start].append(state)
        self._next[state].append(end)
        return end

    def _repeat(self, value: Any, start: int, fold: bool) -> int:
        least, most, inner = value
        for _ in range(int(least)):
            start = self._sequence(inner, start, fold)
        end = self._node()
        if most is sre.MAXREPEAT:
            loop = self._node()
            self._next[start].append(loop)
            self._next[self._sequence(inner, loop, fold)].append(loop)
            self._next[loop].append(end)
            return end
        self._next[start].append(end)
        for _ in range(int(most) - int(least)):
            entry = self._node()
            self._next[start].append(entry)
            start = self._sequence(inner, entry, fold)
            self._next[start].append(end)
        return end


def _holds(edge: str, before: str, after: str) -> bool:
    if edge in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        return before == ""
    if edge in ("AT_END", "AT_END_STRING"):
        return after == ""
    boundary = _is_word(before) != _is_word(after)
    return boundary if edge == "AT_BOUNDARY" else not boundary


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _test(op: Any, value: Any, fold: bool) -> Test:
    if op is sre.ANY:
        return lambda char: True
    if op is sre.LITERAL or op is sre.NOT_LITERAL:
        wanted = {chr(value)}
        if fold:
            wanted |= {chr(value).lower(), chr(value).upper()}
        if op is sre.LITERAL:
            return lambda char: char in wanted
        return lambda char: char not in wanted
    if op is sre.IN:
        items = list(value)
        negated = bool(items) and items[0][0] is sre.NEGATE
        tests = [_item(kind, item) for kind, item in items if kind is not sre.NEGATE]

        def inside(char: str) -> bool:
            forms = {char, char.lower(), char.upper()} if fold else {char}
            return any(test(form) for form in forms for test in tests) != negated

        return inside
    raise TooLarge(f"{op} is not supported here")


def _item(kind: Any, item: Any) -> Test:
    if kind is sre.LITERAL:
        return lambda char: char == chr(item)
    if kind is sre.RANGE:
        low, high = item
        return lambda char: len(char) == 1 and low <= ord(char) <= high
    raise TooLarge(f"{kind} is not supported here")
