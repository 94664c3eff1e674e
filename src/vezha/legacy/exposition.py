"""The Prometheus text format, as exporters show it and as others push it.

Prometheus, "Exposition formats", text 0.0.4, and of OpenMetrics 1.0 what the two share besides
`# EOF`, `_created` series and exemplars. A line's name and labels are the key of a dictionary to the
series' number, so that a line seen before costs one look-up and a float; a comment seen before costs
a look-up. HELP, TYPE and UNIT become metadata.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from vezha.legacy.batch import SampleBatch, batch_of
from vezha.legacy.created import CreatedSeries
from vezha.legacy.errors import BadBody
from vezha.legacy.limits import EXPOSITION_COMMENTS_MAX
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.model.exemplar import Exemplar
from vezha.model.labels import METRIC_NAME, Labels
from vezha.model.metadata import METRIC_KINDS, MetricMetadata

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(
    r'\s*(?:([a-zA-Z_][a-zA-Z0-9_]*)|"((?:[^"\\]|\\.)*)")\s*(?:(=)\s*"((?:[^"\\]|\\.)*)")?\s*(,|\})'
)
_FAMILY = re.compile(r'(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|"((?:[^"\\]|\\.)*)")(?:\s|$)')
_SUFFIXES = {"counter": "_total", "info": "_info"}
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], "\\" + m[1]), text)


class Labeller:
    """Sets a target's own labels on its series. A label of the same name that a series has is kept
    as `exported_<name>` (as Prometheus does with `honor_labels: false`), unless *honor_labels*."""

    def __init__(self, extra: Labels = (), honor_labels: bool = False) -> None:
        self._extra = dict(extra)
        self._honor = honor_labels

    def labels(self, pairs: list[tuple[str, str]]) -> Labels:
        """The label set of *pairs*. Raises BadBody where a label stands twice."""
        if not self._extra:
            return sorted_labels(pairs)
        merged: dict[str, str] = {}
        for name, value in pairs:
            if name in merged:
                raise BadBody("a label stands twice")
            merged[name] = value
        out = dict(merged)
        for name, value in self._extra.items():
            if name not in merged:
                out[name] = value
            elif not self._honor:
                out[f"exported_{name}"] = out.pop(name)
                out[name] = value
        return sorted_labels(list(out.items()))


class Exposition:
    """Decodes bodies; remembers the series' texts. *extra* labels are set on every series, see
    `Labeller`."""

    def __init__(self, table: SeriesTable, extra: Labels = (), honor_labels: bool = False) -> None:
        self._table = table
        self._labeller = Labeller(extra, honor_labels)
        self._known: dict[str, int] = {}
        self._comments: set[str] = set()
        self._families: dict[str, MetricMetadata] = {}
        self._created = CreatedSeries()
        self._generation = table.generation

    @property
    def metadata(self) -> dict[str, MetricMetadata]:
        """What the bodies so far said of their metrics, by the family's name."""
        return self._families

    def decode(self, body: bytes, default_ms: int, openmetrics: bool = False) -> SampleBatch:
        """Samples of *body*; those without a time get *default_ms*. Times are milliseconds, in
        OpenMetrics seconds. Raises BadBody with the line's number."""
        if self._generation != self._table.generation:
            self._known.clear()
            self._created = CreatedSeries()
            self._generation = self._table.generation
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise BadBody("the text is not UTF-8") from None
        numbers: list[int] = []
        stamps: list[int] = []
        values: list[float] = []
        exemplars: list[Exemplar] = []
        described: set[str] = set()
        known, comments = self._known.get, self._comments
        for at, line in enumerate(text.split("\n"), 1):
            if not line or line[0] == "#":
                if line and line not in comments:
                    described.add(self._comment(line))
                continue
            # the usual line: `series value`, seen before
            head, _, tail = line.rpartition(" ")
            number = known(head)
            if number is None:
                if not line.strip():
                    continue
                try:
                    number, value, stamp = self._slowly(line, default_ms, openmetrics, exemplars)
                except ValueError as error:
                    raise BadBody(f"line {at}: {error}") from None
            else:
                try:
                    value, stamp = float(tail), default_ms
                except ValueError:
                    raise BadBody(f"line {at}: {tail[:40]!r} is not a number") from None
            numbers.append(number)
            values.append(value)
            stamps.append(stamp)
        batch = batch_of(numbers, stamps, values)
        batch.exemplars = exemplars
        batch.starts = self._created.starts(numbers, values, default_ms)
        batch.metadata = [
            (_named(family, self._families[family], openmetrics), self._families[family])
            for family in sorted(described - {""})
        ]
        return batch

    def _comment(self, line: str) -> str:
        """Take in a comment; the family that it is about, or the empty text."""
        if len(self._comments) >= EXPOSITION_COMMENTS_MAX:
            self._comments.clear()
        self._comments.add(line)
        _, _, rest = line.partition("# ")
        word, _, rest = rest.partition(" ")
        if word not in ("HELP", "TYPE", "UNIT"):
            return ""
        found = _FAMILY.match(rest)
        if not found:
            return ""
        family = found[1] if found[1] is not None else _unescape(found[2])
        text = rest[found.end() :].strip()
        before = self._families.get(family, MetricMetadata())
        if word == "HELP":
            about = replace(before, help=_unescape(text))
        elif word == "UNIT":
            about = replace(before, unit=text)
        else:
            kind = text.lower()
            about = replace(before, kind=kind if kind in METRIC_KINDS else METRIC_KINDS[0])
        if len(self._families) < EXPOSITION_COMMENTS_MAX or family in self._families:
            self._families[family] = about
            return family
        return ""

    def _slowly(
        self, line: str, default_ms: int, openmetrics: bool, exemplars: list[Exemplar]
    ) -> tuple[int, float, int]:
        series, rest = _split_series(line)
        rest, mark, shown = rest.partition("#")
        parts = rest.split()
        if not parts or len(parts) > 2:
            raise ValueError("wants a value, and perhaps a time, behind the series")
        value = float(parts[0])
        stamp = default_ms
        if len(parts) == 2:
            stamp = round(float(parts[1]) * 1000) if openmetrics else int(parts[1])
        number = self._table.number(self._labeller.labels(series))
        if openmetrics:
            self._created.learn(number, self._table.labels(number))
        if mark:
            exemplars.append(_exemplar(self._table.labels(number), shown, stamp))
        elif len(parts) == 1:
            self._known[line[: len(line) - len(line.rpartition(" ")[2]) - 1]] = number
        return number, value, stamp


def bound_text(bound: float) -> str:
    """A bound or quantile as the text format writes it: 5, not 5.0."""
    if math.isinf(bound):
        return "+Inf" if bound > 0 else "-Inf"
    return str(int(bound)) if bound == int(bound) and abs(bound) < 1e15 else repr(bound)


def _named(family: str, about: MetricMetadata, openmetrics: bool) -> str:
    """The name of the series that metadata are about: OpenMetrics leaves suffixes out."""
    suffix = _SUFFIXES.get(about.kind, "") if openmetrics else ""
    return family if not suffix or family.endswith(suffix) else family + suffix


def _exemplar(series: Labels, text: str, stamp: int) -> Exemplar:
    """`{trace_id="x"} 0.67 1520879607.789`, the time in seconds. Raises ValueError."""
    pairs, rest = _split_series("_" + text.strip())
    parts = rest.split()
    if not 1 <= len(parts) <= 2:
        raise ValueError("an exemplar wants labels and a value, and perhaps a time")
    timed = len(parts) == 2
    ts_ms = round(float(parts[1]) * 1000) if timed else stamp
    return Exemplar(series, sorted_labels(pairs[1:]), float(parts[0]), ts_ms, timed)


def _split_series(line: str) -> tuple[list[tuple[str, str]], str]:
    """The labels of a line, its name among them, and what follows. Raises ValueError."""
    line = line.lstrip()
    pairs: list[tuple[str, str]] = []
    at = 0
    name = _NAME.match(line)
    if name:
        pairs.append((METRIC_NAME, name[0]))
        at = name.end()
    while at < len(line) and line[at] in " \t":
        at += 1
    if at < len(line) and line[at] == "{":
        at += 1
        empty = re.compile(r"\s*\}").match(line, at)
        if empty:
            return pairs, line[empty.end() :]
        while True:
            found = _LABEL.match(line, at)
            if not found:
                raise ValueError(f"cannot read the labels at {line[at : at + 20]!r}")
            plain, quoted, equals, value, end = found.groups()
            key = plain if plain is not None else _unescape(quoted)
            if equals:
                pairs.append((key, _unescape(value)))
            elif quoted is not None and not any(n == METRIC_NAME for n, _ in pairs):
                pairs.append((METRIC_NAME, key))  # a UTF-8 name stands quoted within the braces
            else:
                raise ValueError(f"label {key!r} has no value")
            at = found.end()
            if end == "}":
                break
            closing = re.compile(r"\s*\}").match(line, at)
            if closing:
                at = closing.end()
                break
    if not pairs:
        raise ValueError(f"no name at {line[:20]!r}")
    return pairs, line[at:]
