"""Metrics that other programs leave as `*.prom` files in a folder (Prometheus text format).

A file counts whole or not at all: one bad line, a missing last line end (half written), a
timestamp, and the file is left out and `node_textfile_scrape_error` is 1. Files are parsed only
when their time, size or inode changed. Write elsewhere and rename into the folder.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.limits import TEXTFILE_BYTES_MAX, TEXTFILES_MAX
from vezha.model.labels import METRIC_NAME, Labels, labels_of, metric

_SAMPLE = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(\{.*\})?[ \t]*([^ \t{}]+)(?:[ \t]+(\S+))?[ \t]*$"
)
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_OURS = ("instance", "job")
"""Labels that say where a series comes from; a file's own are kept with a prefix."""


class TextError(ValueError):
    """A file is not in the text format; the message names the line."""


class _File(NamedTuple):
    stamp: tuple[int, int, int]
    series: tuple[Labels, ...]
    values: tuple[float, ...]
    is_good: bool
    mtime_s: float


def parse(text: str) -> list[tuple[Labels, float]]:
    """The samples of *text*. Raises `TextError`."""
    if text and not text.endswith("\n"):
        raise TextError("the last line has no end: the file may be half written")
    samples = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise TextError(f"line {number}: not a sample")
        name, braces, value, timestamp = match.groups()
        if timestamp is not None:
            raise TextError(f"line {number}: timestamps are not allowed")
        try:
            # Python also reads 1_000, which the format does not know.
            as_float = float(value if "_" not in value else "x")
        except ValueError:
            raise TextError(f"line {number}: {value} is not a number") from None
        samples.append((_labels(name, braces, number), as_float))
    return samples


def _labels(name: str, braces: str | None, line: int) -> Labels:
    labels = {METRIC_NAME: name}
    inside = braces[1:-1].strip() if braces else ""
    at = 0
    while at < len(inside):
        match = _LABEL.match(inside, at)
        if match is None:
            raise TextError(f"line {line}: labels are not well formed")
        key, value, _ = match.groups()
        labels[f"exported_{key}" if key in _OURS else key] = _ESCAPE.sub(_unescape, value)
        at = match.end()
    return labels_of(labels)


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group(0))


class Collector(base.Collector):
    """The files' own metrics, node_textfile_scrape_error and node_textfile_mtime_seconds."""

    families = (
        Family("node_textfile_scrape_error", "gauge", "1 where a file could not be read."),
        Family("node_textfile_mtime_seconds", "gauge", "When the file was last written.", "file"),
    )

    def start(self) -> None:
        self._folder = self.host.text("folder") or f"{self.host.state_folder}/textfile"
        self._files: dict[str, _File] = {}
        self._parts: list[tuple[str, tuple[Labels, ...]]] = []
        self.series = ()

    def read(self, now: float) -> list[float]:
        files = self._look()
        self._files = files
        parts = [(name, file.series) for name, file in files.items()]
        if not self.series or not _same(parts, self._parts):
            self._parts = parts
            self.series = (
                metric("node_textfile_scrape_error"),
                *(
                    metric("node_textfile_mtime_seconds", file=f"{self._folder}/{name}")
                    for name, file in files.items()
                    if file.is_good
                ),
                *(labels for _, series in parts for labels in series),
            )
        values = [0.0 if all(file.is_good for file in files.values()) else 1.0]
        values += [file.mtime_s for file in files.values() if file.is_good]
        for file in files.values():
            values += file.values
        return values

    def _look(self) -> dict[str, _File]:
        files: dict[str, _File] = {}
        try:
            entries = sorted(
                (e for e in os.scandir(self._folder) if e.name.endswith(".prom")),
                key=lambda e: e.name,
            )
        except FileNotFoundError:
            # The folder is made by whoever first has something to say.
            return files
        for entry in entries[:TEXTFILES_MAX]:
            try:
                stat = os.stat(entry.path)
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            known = self._files.get(entry.name)
            if known is None or known.stamp != stamp:
                known = self._parse(entry.path, stamp, known)
            files[entry.name] = known
        return files

    def _parse(self, path: str, stamp: tuple[int, int, int], before: _File | None) -> _File:
        mtime_s = stamp[0] / 1e9
        try:
            if stamp[1] > TEXTFILE_BYTES_MAX:
                raise TextError(f"larger than {TEXTFILE_BYTES_MAX} bytes")
            with open(path, "rb") as file:
                text = file.read(TEXTFILE_BYTES_MAX).decode("utf-8")
            samples = parse(text)
        except (OSError, ValueError):
            return _File(stamp, (), (), False, mtime_s)
        series = tuple(labels for labels, _ in samples)
        if before is not None and before.series == series:
            series = before.series
        return _File(stamp, series, tuple(value for _, value in samples), True, mtime_s)


def _same(a: list[tuple[str, tuple[Labels, ...]]], b: list[tuple[str, tuple[Labels, ...]]]) -> bool:
    return len(a) == len(b) and all(
        x[0] == y[0] and x[1] is y[1] for x, y in zip(a, b, strict=True)
    )
