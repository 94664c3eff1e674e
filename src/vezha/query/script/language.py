"""Script text to commands.

Commands stand at the start of a line; what belongs to them is indented. Times are durations
(`5m`) or plain seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vezha.model.labels import Labels, format_labels
from vezha.query.errors import ParseError
from vezha.query.lexer import Kind, tokenize
from vezha.query.script.series_text import Point, ScriptError, SeriesText, parse_series
from vezha.query.script.start_text import Starts, duration_ms, is_starts, parse_starts

_LOAD = re.compile(r"(load|load_with_nhcb)\s+(\S+)(?:\s+@(\S+))?\s*\Z")
_INSTANT = re.compile(
    r"eval(?:_(fail|warn|info|ordered))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)\Z", re.DOTALL
)
_RANGE = re.compile(
    r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)\Z",
    re.DOTALL,
)
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(msg|regex):(.*))?\Z")
_EXPECT_STRING = re.compile(r"expect\s+string\s+(.+)\Z")
_EXPECT_RANGE = re.compile(
    r"expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s*\Z"
)
_PLACE = re.compile(r" \(\d+:\d+\)\Z")
_OLD_FAIL = re.compile(r"expected_fail_(message|regexp)\s+(.+)\Z")


@dataclass(frozen=True, slots=True)
class Load:
    """Series with points every `interval_ms`; `nhcb`: classic histograms become native too."""

    line: int
    interval_ms: int
    series: tuple[SeriesText, ...]
    nhcb: bool
    start_ms: int = 0
    starts: dict[Labels, Starts] = field(default_factory=dict)
    """When the counters of a series' samples began (lines `series@st …`)."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget all series."""

    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """What an error or annotation must say: exactly, by pattern, or (both None) anything."""

    exact: str | None = None
    pattern: str | None = None

    def fits(self, message: str) -> bool:
        if self.exact is not None:
            # older scripts leave the place in the query out
            told = (message, _PLACE.sub("", message))
            return self.exact in told or self.exact.strip('"') in told
        if self.pattern is not None:
            return re.search(self.pattern, message) is not None
        return True

    def shown(self) -> str:
        if self.exact is not None:
            return f"msg: {self.exact}"
        return f"regex: {self.pattern}" if self.pattern is not None else "any"


@dataclass(slots=True)
class Expected:
    """What an eval must give."""

    series: list[tuple[Labels, list[Point]]] = field(default_factory=list)
    scalar: float | None = None
    text: str | None = None
    ordered: bool = False
    fail: list[Text] = field(default_factory=list)
    warn: list[Text] = field(default_factory=list)
    info: list[Text] = field(default_factory=list)
    no_warn: bool = False
    no_info: bool = False
    matrix: tuple[int, int, int] | None = None


@dataclass(slots=True)
class Eval:
    """One query; instant where `step_ms` is 0."""

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    expected: Expected

    @property
    def instant(self) -> bool:
        return self.step_ms == 0


Command = Load | Clear | Eval


def parse_script(text: str) -> list[Command]:
    """The commands of a script. Raises ScriptError with the line."""
    lines = text.split("\n")
    commands: list[Command] = []
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        if not line or line.startswith("#"):
            at += 1
            continue
        body_from = at + 1
        at = body_from
        while at < len(lines) and lines[at].strip() and not _starts_command(lines[at]):
            at += 1
        body = [
            (number + 1, lines[number].strip())
            for number in range(body_from, at)
            if not lines[number].strip().startswith("#")
        ]
        try:
            commands.append(_command(body_from, line, body))
        except ScriptError as error:
            raise ScriptError(f"line {body_from}: {error}") from None
    return commands


def _starts_command(line: str) -> bool:
    return line[:1] not in (" ", "\t") and re.match(r"(load|clear|eval)", line) is not None


def _command(number: int, line: str, body: list[tuple[int, str]]) -> Command:
    word = line.split()[0]
    if word == "clear":
        return Clear(number)
    if word in ("load", "load_with_nhcb"):
        match = _LOAD.match(line)
        if not match:
            raise ScriptError(f"bad load: {line!r}")
        series = tuple(parse_series(text) for _, text in body if not is_starts(text))
        starts = dict(parse_starts(text) for _, text in body if is_starts(text))
        known = {item.labels for item in series}
        for labels in starts:
            if labels not in known:
                raise ScriptError(f"start timestamps of no series: {format_labels(labels)}")
        return Load(
            number, duration_ms(match.group(2)), series, word == "load_with_nhcb",
            duration_ms(match.group(3)) if match.group(3) else 0, starts,
        )  # fmt: skip
    instant = _INSTANT.match(line)
    if instant:
        mode, at, query = instant.groups()
        ts = duration_ms(at) if at else 0
        return Eval(number, query.strip(), ts, ts, 0, _expected(mode, body))
    ranged = _RANGE.match(line)
    if ranged:
        mode, start, end, step, query = ranged.groups()
        step_ms = duration_ms(step)
        if step_ms <= 0:
            raise ScriptError(f"bad step {step!r}")
        return Eval(
            number, query.strip(), duration_ms(start), duration_ms(end), step_ms,
            _expected(mode, body),
        )  # fmt: skip
    raise ScriptError(f"unknown command {line!r}")


def _expected(mode: str | None, body: list[tuple[int, str]]) -> Expected:
    expected = Expected()
    if mode == "ordered":
        expected.ordered = True
    elif mode is not None:
        getattr(expected, mode).append(Text())
    for number, line in body:
        try:
            _expectation(expected, line)
        except ScriptError as error:
            raise ScriptError(f"(line {number}) {error}") from None
    return expected


def _expectation(expected: Expected, line: str) -> None:
    match = _EXPECT.match(line)
    if match:
        what, kind, text = match.groups()
        wanted = Text(
            exact=text.strip() if kind == "msg" else None,
            pattern=text.strip() if kind == "regex" else None,
        )
        if what in ("fail", "warn", "info"):
            getattr(expected, what).append(wanted)
        else:
            setattr(expected, what, True)
        return
    string = _EXPECT_STRING.match(line)
    if string:
        expected.text = _unquoted(string.group(1))
        return
    matrix = _EXPECT_RANGE.match(line)
    if matrix:
        start, end, step = (duration_ms(part) for part in matrix.groups())
        expected.matrix = (start, end, step)
        return
    old = _OLD_FAIL.match(line)
    if old:
        text = old.group(2).strip()
        wanted = Text(exact=text) if old.group(1) == "message" else Text(pattern=text)
        expected.fail = [wanted]
        return
    if line.startswith("expect ") or line == "expect":
        raise ScriptError(f"bad expectation {line!r}")
    try:
        expected.scalar = _number(line)
    except ValueError:
        series = parse_series(line)
        expected.series.append((series.labels, series.points))


def _number(text: str) -> float:
    if not re.match(r"[-+.0-9infaINFA]", text) or "{" in text:
        raise ValueError
    return float(text)


def _unquoted(text: str) -> str:
    try:
        tokens = tokenize(text)
    except ParseError as error:
        raise ScriptError(str(error)) from None
    if tokens[0].kind is not Kind.STRING or len(tokens) != 2:
        raise ScriptError(f"bad string {text}")
    return tokens[0].value
