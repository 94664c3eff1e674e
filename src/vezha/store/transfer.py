"""Export and import: series as lines of JSON, the form that VictoriaMetrics uses as well.

    {"metric":{"__name__":"up","instance":"db-1"},"values":[1,1],"timestamps":[1700000000000,…]}

One line holds a piece of one series (a day at most). Values that JSON has no numbers for are
texts: "NaN", "+Inf", "-Inf", and "stale" for the marker of a series' end. Not kept: the payload
of other NaNs. Times are milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson

from vezha.model.columns import STALE_NAN, Matcher, MatchOp, SampleSource, Selection, is_stale
from vezha.model.labels import Labels, labels_of
from vezha.store.limits import DAY_MS, IMPORT_SAMPLES
from vezha.store.store import Store

_WORDS = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf, "stale": STALE_NAN,
          "Infinity": math.inf, "-Infinity": -math.inf, "Inf": math.inf}  # fmt: skip


class ImportRefused(ValueError):
    """A line is not of the form; the text says which and why."""


def export_lines(
    source: SampleSource, matchers: Iterable[Matcher], start_ms: int, end_ms: int
) -> Iterator[bytes]:
    """Lines (each with its newline) of samples in [start, end], day by day."""
    wanted = tuple(matchers)
    first, last = start_ms // DAY_MS, end_ms // DAY_MS
    for day in range(first, last + 1):
        low, high = max(start_ms, day * DAY_MS), min(end_ms, (day + 1) * DAY_MS - 1)
        # one host at a time, so that memory stays bounded whatever the fleet
        for instance in ["", *source.label_values("instance", wanted, low, high)]:
            one_host = (*wanted, _instance(instance))
            data = source.select(Selection(one_host, low - 1, high, samples_max=1 << 40))
            for i, labels in enumerate(data.labels):
                part = slice(int(data.offsets[i]), int(data.offsets[i + 1]))
                yield _line(labels, data.ts[part], data.values[part])


def _instance(value: str) -> Matcher:
    return Matcher("instance", MatchOp.EQ, value)


def _line(labels: Labels, ts: Any, values: Any) -> bytes:
    numbers: Any = values
    if not np.isfinite(values).all():
        numbers = values.tolist()
        stale = is_stale(values)
        for at in np.flatnonzero(~np.isfinite(values)).tolist():
            value = numbers[at]
            if stale[at]:
                numbers[at] = "stale"
            elif math.isnan(value):
                numbers[at] = "NaN"
            else:
                numbers[at] = "+Inf" if value > 0 else "-Inf"
    document = {
        "metric": dict(labels),
        "values": np.ascontiguousarray(numbers) if numbers is values else numbers,
        "timestamps": np.ascontiguousarray(ts),
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def import_lines(store: Store, lines: Iterable[bytes]) -> int:
    """Write lines of that form; how many samples. Durable on return. Raises ImportRefused."""
    total = waiting = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        labels, ts, values = _parsed(number, line)
        refs = store.resolve([labels])
        store.write(np.full(len(ts), refs[0], np.int64), ts, values)
        total += len(ts)
        waiting += len(ts)
        if waiting >= IMPORT_SAMPLES:
            store.flush()
            waiting = 0
    store.flush()
    return total


def _parsed(number: int, line: bytes) -> tuple[Labels, Any, Any]:
    try:
        document = orjson.loads(line)
        metric, values, stamps = (document[k] for k in ("metric", "values", "timestamps"))
        labels = labels_of({str(k): str(v) for k, v in metric.items()})
        ts = np.array(stamps, np.int64)
        floats = np.array([_WORDS[v] if isinstance(v, str) else v for v in values], np.float64)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ImportRefused(f"line {number} is not a series: {why}") from None
    if not labels or len(ts) != len(floats) or ts.ndim != 1:
        raise ImportRefused(f"line {number}: as many values as timestamps, and labels, please")
    # null is what others write for a missing value
    return labels, ts, floats
