"""Samples in the Prometheus text format: for people, and for the comparison with node_exporter."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

from vezha.agent.collect.collector import Family
from vezha.agent.collect.group import Sample
from vezha.model.labels import METRIC_NAME, Labels, get_label

_STALE = 0x7FF0000000000002


def format_samples(samples: Iterable[Sample], families: Iterable[Family]) -> str:
    """*samples* as text, families sorted by name; missing values are left out."""
    by_name: dict[str, list[str]] = {}
    for sample in samples:
        for labels, value in zip(sample.series, sample.values, strict=True):
            if not is_missing(value):
                name = get_label(labels, METRIC_NAME)
                line = f"{name}{_braces(labels)} {format_value(value)}"
                by_name.setdefault(name, []).append(line)
    known = FamilyTable(families)
    lines = []
    for name in sorted(by_name):
        family = known.find(name)
        if family is not None:
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.type}"]
        lines += sorted(by_name[name])
    return "\n".join(lines) + "\n"


class FamilyTable:
    """Families by name; a name in the table may hold `*`. The longest that fits is meant."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._exact: dict[str, Family] = {}
        self._patterns: list[tuple[re.Pattern[str], Family]] = []
        for family in families:
            if "*" in family.name:
                pattern = ".+".join(re.escape(part) for part in family.name.split("*"))
                self._patterns.append((re.compile(pattern + r"\Z"), family))
            else:
                self._exact.setdefault(family.name, family)
        self._patterns.sort(key=lambda pair: -len(pair[1].name))

    def find(self, name: str) -> Family | None:
        """The family of metric *name*, or None."""
        if name in self._exact:
            return self._exact[name]
        return next((family for pattern, family in self._patterns if pattern.match(name)), None)


def is_missing(value: float) -> bool:
    """Whether *value* is the stale marker (`collector.MISSING`), compared by bits."""
    return value != value and struct.unpack("<Q", struct.pack("<d", value))[0] == _STALE


def format_value(value: float) -> str:
    """A number as the format writes it; whole numbers without a fraction."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _braces(labels: Labels) -> str:
    pairs = [f'{n}="{_escape(v)}"' for n, v in labels if n != METRIC_NAME]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
