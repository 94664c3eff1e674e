"""Label sets: the identity of a series.

A label set is a tuple of (name, value) pairs sorted by name, the metric's name among them
as `__name__`. Being a plain tuple it is hashable, comparable and cheap; an empty value is
the same as an absent label and never stands in a set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Labels = tuple[tuple[str, str], ...]

METRIC_NAME = "__name__"
INSTANCE = "instance"

_PORT = re.compile(r":\d{1,5}$")
_LEGACY_METRIC = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
_LEGACY_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


def labels_of(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """The label set of *pairs*: sorted, empty values left out. The last of equal names wins."""
    merged = dict(pairs)
    return tuple(sorted((n, v) for n, v in merged.items() if v != ""))


def metric(name: str, /, **labels: str) -> Labels:
    """The label set of metric *name*: `metric("up", instance="db-1")`."""
    return labels_of({METRIC_NAME: name, **labels})


def with_labels(labels: Labels, extra: Mapping[str, str]) -> Labels:
    """*labels* with those of *extra* set over them; an empty value removes a label."""
    return labels_of({**dict(labels), **extra})


def get_label(labels: Labels, name: str) -> str:
    """The value of label *name*, or the empty string."""
    for n, v in labels:
        if n == name:
            return v
    return ""


def quote_value(value: str) -> str:
    """*value* as PromQL and the text format write it, in double quotes."""
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'


def format_labels(labels: Labels) -> str:
    """A series as PromQL writes it: `up{instance="db-1"}`; UTF-8 names are quoted."""
    name = get_label(labels, METRIC_NAME)
    parts = []
    if name and not _LEGACY_METRIC.match(name):
        parts.append(quote_value(name))
        name = ""
    for n, v in labels:
        if n != METRIC_NAME:
            key = n if _LEGACY_LABEL.match(n) else quote_value(n)
            parts.append(f"{key}={quote_value(v)}")
    if name and not parts:
        return name
    return f"{name}{{{', '.join(parts)}}}"


def host_of(labels: Labels) -> str:
    """The host that a series or alert is about: `instance` without a port; empty where there is none."""
    return _PORT.sub("", get_label(labels, INSTANCE))
