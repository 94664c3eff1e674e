"""Native histograms as they are stored: one float series for each part.

A sample of a native histogram becomes samples of the series that bear its labels and, beside them,
`PART_LABEL` with the part's name; all have the histogram's time. So every promise of the store for
samples holds for histograms too. Parts:

    count, sum                 what was observed
    schema                     -4 to 8, or -53 for custom bounds
    zero, threshold            the zero bucket, where there is one
    gauge                      1 where it is a gauge histogram, else absent
    +S:I and -S:I              positive and negative buckets with index I of schema S, if not empty
    le:B                       custom buckets by their upper bound, empty ones too; `le:inf` the last

Where a part of a time is absent it is 0. The marker of a series' end is a `sum` with its bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vezha.model.labels import Labels, get_label

PART_LABEL = "__histogram__"
COUNT, SUM, SCHEMA, ZERO, THRESHOLD, GAUGE = (
    "count", "sum", "schema", "zero", "threshold", "gauge",
)  # fmt: skip
CUSTOM_SCHEMA = -53
SCHEMA_MIN, SCHEMA_MAX = -4, 8


@dataclass(slots=True)
class NativeSample:
    """One sample. Index i of `positive` covers (2**(2**-schema * (i-1)), 2**(2**-schema * i)];
    with `bounds` it covers up to bounds[i], or to infinity."""

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    threshold: float = 0.0
    zero: float = 0.0
    positive: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    gauge: bool = False


def parts_of(sample: NativeSample) -> list[tuple[str, float]]:
    """Names and values of the parts of a sample."""
    schema = sample.schema
    parts = [(COUNT, sample.count), (SUM, sample.sum), (SCHEMA, float(schema))]
    if sample.zero or sample.threshold:
        parts += [(ZERO, sample.zero), (THRESHOLD, sample.threshold)]
    if sample.gauge:
        parts.append((GAUGE, 1.0))
    if schema == CUSTOM_SCHEMA:
        for i, bound in enumerate((*sample.bounds, math.inf)):
            parts.append((f"le:{bound!r}", sample.positive.get(i, 0.0)))
        return parts
    parts += [(f"+{schema}:{i}", count) for i, count in sample.positive.items() if count]
    parts += [(f"-{schema}:{i}", count) for i, count in sample.negative.items() if count]
    return parts


def ends_series(labels: Labels) -> bool:
    """Whether a series that is gone needs the marker of an end: of a histogram's parts only count
    and sum, since a bucket that is not shown is empty, and the histogram lives on."""
    return get_label(labels, PART_LABEL) in ("", COUNT, SUM)


def without_part(labels: Labels) -> Labels:
    """The labels of the histogram that a part is of."""
    return tuple(pair for pair in labels if pair[0] != PART_LABEL)


def bucket_of(part: str) -> tuple[str, int, float] | None:
    """(sign or "le", schema, index or bound) of a bucket's part; None for others."""
    sign = part[:1]
    try:
        if sign in ("+", "-"):
            schema, _, index = part[1:].partition(":")
            return sign, int(schema), int(index)
        if part.startswith("le:"):
            return "le", CUSTOM_SCHEMA, float(part[3:])
    except ValueError:
        pass
    return None


def coarser(buckets: dict[int, float], shift: int) -> dict[int, float]:
    """Buckets of a schema that is lower by *shift*."""
    merged: dict[int, float] = {}
    for index, count in buckets.items():
        target = ((index - 1) >> shift) + 1
        merged[target] = merged.get(target, 0.0) + count
    return merged
