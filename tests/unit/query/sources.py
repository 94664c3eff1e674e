"""Small data that the tests of this folder ask."""

from __future__ import annotations

import math

from vezha.model.columns import STALE_NAN
from vezha.model.labels import metric
from vezha.query.histogram import Histogram
from vezha.query.memory import MemorySource


def counters(hosts: int = 3, seconds: int = 600) -> MemorySource:
    """`hits_total{host}`: one sample a second, host h grows by h + 1."""
    source = MemorySource()
    for host in range(hosts):
        labels = metric("hits_total", host=str(host), job="web")
        source.extend(labels, ((t * 1000, float(t * (host + 1))) for t in range(seconds)))
    return source


def everything() -> MemorySource:
    """A bit of each: counters, gauges with gaps, NaN, infinities, stale markers, histograms."""
    source = counters(2, 120)
    gauge = metric("level", host="0")
    for t in range(0, 120, 7):
        source.append(gauge, t * 1000, math.sin(t))
    odd = metric("odd", host="1", job="web")
    values = (math.nan, math.inf, -math.inf, STALE_NAN, 0.0, -0.0, 1e308)
    for index, value in enumerate(values):
        source.append(odd, index * 15_000, value)
    for bound, count in (("0.1", 1.0), ("1", 3.0), ("+Inf", 4.0)):
        source.append(metric("wait_bucket", le=bound, host="0"), 60_000, count)
    native = metric("wait", host="0")
    for t in (30, 60, 90):
        buckets = {0: 1.0 * t, 1: 2.0 * t}
        source.append(native, t * 1000, math.nan, Histogram(0, 3.0 * t, 4.0 * t, positive=buckets))
    return source
