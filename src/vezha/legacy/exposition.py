"""The Prometheus text format, as exporters show it and as others push it.

Prometheus, "Exposition formats", text 0.0.4, and of OpenMetrics 1.0 what the two share besides
`# EOF`, `_created` series and exemplars (which are cut off). A line's name and labels are the key
of a dictionary to the series' number, so that a line seen before costs one look-up and a float.
"""

from __future__ import annotations

import re

from vezha.legacy.batch import SampleBatch, batch_of
from vezha.legacy.errors import BadBody
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.model.labels import METRIC_NAME, Labels

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(
    r'\s*(?:([a-zA-Z_][a-zA-Z0-9_]*)|"((?:[^"\\]|\\.)*)")\s*(?:(=)\s*"((?:[^"\\]|\\.)*)")?\s*(,|\})'
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], "\\" + m[1]), text)


class Exposition:
    """Decodes bodies; remembers the series' texts. `extra` labels are set on every series, and a
    label of the same name that the body has is kept as `exported_<name>` (as Prometheus does with
    `honor_labels: false`), unless *honor_labels*."""

    def __init__(self, table: SeriesTable, extra: Labels = (), honor_labels: bool = False) -> None:
        self._table = table
        self._extra = dict(extra)
        self._honor = honor_labels
        self._known: dict[str, int] = {}
        self._generation = table.generation

    def decode(self, body: bytes, default_ms: int, openmetrics: bool = False) -> SampleBatch:
        """Samples of *body*; those without a time get *default_ms*. Times are milliseconds, in
        OpenMetrics seconds. Raises BadBody with the line's number."""
        if self._generation != self._table.generation:
            self._known.clear()
            self._generation = self._table.generation
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise BadBody("the text is not UTF-8") from None
        numbers: list[int] = []
        stamps: list[int] = []
        values: list[float] = []
        known = self._known.get
        for at, line in enumerate(text.split("\n"), 1):
            if not line or line[0] == "#":
                continue
            # the usual line: `series value`, seen before
            head, _, tail = line.rpartition(" ")
            number = known(head)
            if number is None:
                if not line.strip():
                    continue
                try:
                    number, value, stamp = self._slowly(line, default_ms, openmetrics)
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
        return batch_of(numbers, stamps, values)

    def _slowly(self, line: str, default_ms: int, openmetrics: bool) -> tuple[int, float, int]:
        series, rest = _split_series(line)
        rest = rest.partition("#")[0]  # an exemplar
        parts = rest.split()
        if not parts or len(parts) > 2:
            raise ValueError("wants a value, and perhaps a time, behind the series")
        value = float(parts[0])
        stamp = default_ms
        if len(parts) == 2:
            stamp = round(float(parts[1]) * 1000) if openmetrics else int(parts[1])
        number = self._table.number(self._labelled(series))
        if len(parts) == 1:
            self._known[line[: len(line) - len(line.rpartition(" ")[2]) - 1]] = number
        return number, value, stamp

    def _labelled(self, pairs: list[tuple[str, str]]) -> Labels:
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
