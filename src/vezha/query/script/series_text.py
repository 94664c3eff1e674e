"""One series of a script: `name{label="x"} 1 2+3x2 _ stale {{count:1}}x3`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from vezha.model.columns import STALE_NAN, MatchOp
from vezha.model.labels import Labels, labels_of
from vezha.model.native import CUSTOM_SCHEMA
from vezha.query.ast import VectorSelector
from vezha.query.errors import ParseError
from vezha.query.histogram import Hint, Histogram
from vezha.query.lexer import tokenize
from vezha.query.parser import Parser

Point = float | Histogram | None

POINTS_MAX = 1_000_000
"""Points of one series of a script."""


class ScriptError(Exception):
    """A script that cannot be read: file, line, reason."""


@dataclass(frozen=True, slots=True)
class SeriesText:
    """Labels and points; None is a missing point."""

    labels: Labels
    points: list[Point]


_UNSIGNED = r"(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI][nN][fF]|[nN][aA][nN])"
_NUMBER = rf"[-+]?{_UNSIGNED}"
_FLOAT = re.compile(rf"({_NUMBER})(?:([-+])({_UNSIGNED}))?(?:x(\d+))?\Z")
_GAP = re.compile(r"(_|stale)(?:x(\d+))?\Z")
_HISTOGRAM = re.compile(r"\{\{(.*?)\}\}(?:([-+])\{\{(.*?)\}\})?(?:x(\d+))?\Z", re.DOTALL)
_FIELD = re.compile(r"\s*([a-z_]+)\s*:\s*(\[[^\]]*\]|\S+)\s*")


def parse_series(text: str) -> SeriesText:
    """A series of a `load` command or an expectation. Raises ScriptError."""
    labels, rest = split_metric(text)
    return SeriesText(labels, parse_points(rest))


def split_metric(text: str) -> tuple[Labels, str]:
    """The labels at the start of *text*, and what follows them."""
    text = text.strip()
    end = _metric_end(text)
    metric = text[:end]
    try:
        parser = Parser(metric, tokenize(metric), True)
        node = cast(VectorSelector, parser.selector("", 0) if metric[:1] == "{" else _named(parser))
    except ParseError as error:
        raise ScriptError(f"bad series {metric!r}: {error}") from None
    pairs = []
    for matcher in node.matchers:
        if matcher.op is not MatchOp.EQ:
            raise ScriptError(f"bad series {metric!r}: only = is allowed")
        pairs.append((matcher.name, matcher.value))
    return labels_of(pairs), text[end:].strip()


def _named(parser: Parser) -> object:
    token = parser.advance()
    return parser.selector(token.text, token.start)


def _metric_end(text: str) -> int:
    """Where the metric ends: after its braces, or at the first space."""
    quote = ""
    at = 0
    depth = 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\" and quote != "`":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'`":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        elif char in " \t" and depth == 0:
            rest = text[at:].lstrip()
            if not rest.startswith("{") or rest.startswith("{{"):
                return at
        at += 1
    return len(text)


def parse_points(text: str) -> list[Point]:
    """Points separated by spaces. Raises ScriptError."""
    points: list[Point] = []
    for item in _items(text):
        points += _expand(item)
        if len(points) > POINTS_MAX:
            raise ScriptError(f"more than {POINTS_MAX} points")
    return points


def _items(text: str) -> list[str]:
    """Split at spaces outside of {{…}}."""
    items: list[str] = []
    current = ""
    at = 0
    depth = 0
    while at < len(text):
        if text.startswith("{{", at):
            depth += 1
            current += "{{"
            at += 2
        elif text.startswith("}}", at) and depth:
            depth -= 1
            current += "}}"
            at += 2
        elif text[at].isspace() and not depth:
            if current:
                items.append(current)
            current = ""
            at += 1
        else:
            current += text[at]
            at += 1
    if current:
        items.append(current)
    return items


def _expand(item: str) -> list[Point]:
    gap = _GAP.match(item)
    if gap:
        times = int(gap.group(2)) if gap.group(2) else 1
        return [None if gap.group(1) == "_" else STALE_NAN] * times
    number = _FLOAT.match(item)
    if number:
        first = float(number.group(1))
        if number.group(4) is None:
            if number.group(2) is not None:
                raise ScriptError(f"bad point {item!r}")
            return [first]
        times = int(number.group(4))
        step = float(number.group(3)) if number.group(3) else 0.0
        if number.group(2) == "-":
            step = -step
        out: list[Point] = []
        value = first
        for _ in range(min(times, POINTS_MAX) + 1):
            out.append(value)
            value += step
        return out
    histogram = _HISTOGRAM.match(item)
    if histogram:
        return _expand_histogram(histogram)
    raise ScriptError(f"bad point {item!r}")


def _expand_histogram(match: re.Match[str]) -> list[Point]:
    value = parse_histogram(match.group(1))
    if match.group(4) is None:
        return [value]
    times = int(match.group(4))
    out: list[Point] = [value]
    step = parse_histogram(match.group(3)) if match.group(3) is not None else None
    for _ in range(min(times, POINTS_MAX)):
        if step is not None:
            value = (value.plus(step) if match.group(2) == "+" else value.minus(step)).histogram
        out.append(value)
    return out


def parse_histogram(text: str) -> Histogram:
    """The inside of {{…}}. Raises ScriptError."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        match = _FIELD.match(text, at)
        if not match:
            raise ScriptError(f"bad histogram {text!r}")
        if match.group(1) in fields:
            raise ScriptError(f"bad histogram {text!r}: {match.group(1)} twice")
        fields[match.group(1)] = match.group(2)
        at = match.end()
    return _histogram(fields, text)


def _histogram(fields: dict[str, str], text: str) -> Histogram:
    known = {
        "schema", "sum", "count", "z_bucket", "z_bucket_w", "custom_values", "buckets", "offset",
        "n_buckets", "n_offset", "counter_reset_hint",
    }  # fmt: skip
    if set(fields) - known:
        raise ScriptError(f"bad histogram {text!r}: unknown {sorted(set(fields) - known)}")

    def number(name: str) -> float:
        return float(fields.get(name, "0"))

    def numbers(name: str) -> list[float]:
        return [float(part) for part in fields.get(name, "[]").strip("[]").split()]

    schema = int(fields.get("schema", "0"))
    hint = Hint(fields.get("counter_reset_hint", "unknown"))
    positive, negative = numbers("buckets"), numbers("n_buckets")
    offset, n_offset = int(fields.get("offset", "0")), int(fields.get("n_offset", "0"))
    return Histogram(
        schema,
        number("count"),
        number("sum"),
        0.0 if schema == CUSTOM_SCHEMA else number("z_bucket_w"),
        number("z_bucket"),
        {offset + i: c for i, c in enumerate(positive) if c != 0},
        {n_offset + i: c for i, c in enumerate(negative) if c != 0},
        tuple(numbers("custom_values")),
        hint,
    )
